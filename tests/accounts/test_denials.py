"""Who is refused is in the trail, through whichever door they came."""

import pytest

from evalhub.audit.models import AuditEvent
from tests.factories import make_organization, make_token, make_user

pytestmark = pytest.mark.django_db


def trail():
    return list(AuditEvent.objects.filter(action="access.denied").values_list("user", "data"))


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/projects/new/", {"right": "set_up"}),
        ("/api/projects/", {"reason": "Your token’s scopes do not allow this (set_up)."}),
        ("/api/v1/run", {"reason": "This API key does not allow that (record)."}),
        ("/rhesis/test_sets/", {"reason": "This API key does not allow that (set_up or record)."}),
    ],
    ids=["page", "API", "Gentrace", "Rhesis"],
)
def test_a_refusal_is_noted(client, path, why):
    acme = make_organization()
    viewer = make_user(acme, "viewer")
    client.force_login(viewer)
    headers = {} if path == "/projects/new/" else {"Authorization": f"Bearer {make_token(viewer, acme)}"}

    refused = client.post(path, {"name": "x"}, content_type="application/json", headers=headers)

    assert refused.status_code == 403
    assert trail() == [(viewer.pk, {"method": "POST", "path": path, **why})]


def test_who_is_nobody_leaves_no_trail(client):
    for path in ("/api/projects/", "/api/v1/run", "/rhesis/test_sets/"):
        assert client.post(path, headers={"Authorization": "Bearer ehb_none"}).status_code == 401

    assert trail() == []
