"""Uploaded files come back as files, to members only."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from evalhub.accounts.rights import Role
from runs.archiving import delete
from runs.attaching import attach
from runs.models import Attachment, Project
from tests.factories import make_actor, make_project, make_token

pytestmark = pytest.mark.django_db

PAGE = b"<script>alert(document.cookie)</script>"


@pytest.fixture
def media(settings: Any, tmp_path: Any) -> None:
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def lead() -> Any:
    return make_actor()


def attached(lead: Any, name: str = "page.html", content_type: str = "text/html") -> Attachment:
    project = make_project(lead.organization)
    return attach(SimpleUploadedFile(name, PAGE, content_type), "project", project.pk, by=lead)


def address_of(attachment: Attachment) -> str:
    return reverse("runs:attachment", args=[attachment.pk])


def test_a_member_saves_the_file_under_its_name(media: None, lead: Any) -> None:
    client = Client()
    client.force_login(lead.user)

    answer = client.get(address_of(attached(lead)))

    assert b"".join(answer.streaming_content) == PAGE
    assert answer["Content-Disposition"] == 'attachment; filename="page.html"'
    assert answer["Content-Type"] == "text/html"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"


def test_a_program_gets_it_with_its_token(media: None, lead: Any) -> None:
    token = make_token(lead.user, lead.organization, ["read"])

    answer = Client().get(address_of(attached(lead)), headers={"Authorization": f"Bearer {token}"})

    assert b"".join(answer.streaming_content) == PAGE


def test_nobody_else_gets_it(media: None, lead: Any) -> None:
    stranger = make_actor(role=Role.ADMIN)
    theirs = Client()
    theirs.force_login(stranger.user)
    address = address_of(attached(lead))
    bearer = {"Authorization": f"Bearer {make_token(stranger.user, stranger.organization)}"}

    assert theirs.get(address).status_code == 404
    assert Client().get(address, headers=bearer).status_code == 404
    assert Client().get(address, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert Client().get(address)["Location"] == f"/login/?next={address}"


@pytest.mark.parametrize("said", ["text/html\r\nX-Evil: 1", "nonsense", "text/html; charset=utf-7", ""])
def test_a_type_that_is_none_becomes_a_plain_file(media: None, lead: Any, said: str) -> None:
    attachment = attached(lead)
    Attachment.objects.filter(pk=attachment.pk).update(content_type=said)
    client = Client()
    client.force_login(lead.user)

    answer = client.get(address_of(attachment))

    assert (answer.status_code, answer["Content-Type"]) == (200, "application/octet-stream")


def test_a_file_that_was_lost_is_not_found(media: None, lead: Any) -> None:
    attachment = attached(lead)
    attachment.file.delete(save=False)
    client = Client()
    client.force_login(lead.user)

    assert client.get(address_of(attachment)).status_code == 404


def test_a_file_goes_with_its_project(media: None, lead: Any) -> None:
    attachment = attached(lead)
    client = Client()
    client.force_login(lead.user)
    before = client.get(address_of(attachment)).status_code

    delete(Project.objects.get(pk=attachment.entity_id), by=lead)

    assert (before, client.get(address_of(attachment)).status_code) == (200, 404)
