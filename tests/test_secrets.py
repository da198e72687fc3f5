"""What is secret is in no log, however talkative, and in no table: passwords, tokens, keys of endpoints."""

import logging

import pytest
from django.apps import apps
from django.db import connection
from django.urls import reverse

from evalhub.accounts.models import User
from evalhub.accounts.rights import Role
from evalhub.web.log_lines import JsonLines
from runs.models import Endpoint
from tests.api.conftest import Api
from tests.factories import PASSWORD, make_organization, make_project

pytestmark = pytest.mark.django_db

KEY = "sk-canary-5f0c2b9e"


def tables():
    """Every row of every table, as text."""
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            cursor.execute(f'SELECT t::text FROM "{model._meta.db_table}" t')
            for (row,) in cursor.fetchall():
                yield model.__name__, row


def test_a_fresh_installation_lets_nobody_in(client):
    assert User.objects.count() == 0
    assert client.get("/admin/").status_code == 302  # to the login
    assert client.get("/signup/").status_code == client.get("/register/").status_code == 404


def test_secrets_are_in_no_log_and_in_no_table(client, caplog):
    caplog.set_level(logging.DEBUG)
    api = Api(make_organization(), Role.ADMIN)
    project = make_project(api.organization)
    client.post("/login/", {"username": api.user.email, "password": PASSWORD})
    client.post("/login/", {"username": api.user.email, "password": PASSWORD + "?"})
    made = api.post(
        "/api/endpoints/",
        {"project": str(project.pk), "name": "Bot", "url": "https://bot.example.com/chat", "auth_type": "bearer_token",
         "auth_token": KEY, "client_secret": KEY},
        headers={"Idempotency-Key": "once"},
    )  # fmt: skip
    endpoint = Endpoint.objects.get()
    api.patch(f"/api/endpoints/{endpoint.pk}/", {"auth_token": KEY + "2"})
    api.get(f"/api/endpoints/?token={api.token}")
    shown = [made.content.decode(), api.get(f"/api/endpoints/{endpoint.pk}/").content.decode()]
    shown.append(client.get(reverse("runs:endpoint-edit", args=[endpoint.pk])).text)
    shown.append(client.get(reverse("runs:endpoint-detail", args=[endpoint.pk])).text)

    secrets = (KEY, PASSWORD, api.token, api.token.removeprefix("ehb_"))
    logged = "\n".join(JsonLines().format(record) for record in caplog.records)
    assert made.status_code == 201
    assert endpoint.secrets["auth_token"] == KEY
    assert [secret for secret in secrets if secret in logged] == []
    assert [(name, secret) for name, row in tables() for secret in secrets if secret in row] == []
    assert [secret for secret in secrets for page in shown if secret in page] == []
