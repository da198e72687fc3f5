"""Programs that call the API: each has a token."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from evalhub.accounts.models import Organization
from evalhub.accounts.rights import Role
from evalhub.api.authentication import PerToken
from tests.factories import make_organization, make_project, make_token, make_user


class Api:
    """One program of one person in one organisation."""

    def __init__(self, organization: Organization, role: str = Role.LEAD, scopes: list[str] | None = None) -> None:
        self.organization = organization
        self.user = make_user(organization, role)
        self.token = make_token(self.user, organization, scopes)
        self.client = Client()
        self.ids: dict[str, Any] = {}

    def call(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        content_type = more.pop("content_type", "application/json")
        return self.client.generic(method, path, data, content_type=content_type, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Any:
        return self.call("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.call("POST", path, body, **more)

    def patch(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.call("PATCH", path, body, **more)

    def delete(self, path: str, **more: Any) -> Any:
        return self.call("DELETE", path, **more)


@pytest.fixture(autouse=True)
def full_allowance():
    PerToken.allowance.full_at.clear()


@pytest.fixture
def organization(db: None) -> Organization:
    return make_organization()


@pytest.fixture
def api(organization: Organization) -> Api:
    """A lead's."""
    return Api(organization)


@pytest.fixture
def api_of(organization: Organization) -> Callable[..., Api]:
    def made(role: str = Role.LEAD, scopes: list[str] | None = None) -> Api:
        return Api(organization, role, scopes)

    return made


@pytest.fixture
def stranger(db: None) -> Api:
    """An admin, but of another organisation."""
    return Api(make_organization(), Role.ADMIN)


@pytest.fixture
def project(organization: Organization):
    return make_project(organization, name="Support bot", slug="support-bot")


def problem(response: Any) -> dict[str, Any]:
    """The problem details of a refusal, without the request's own id."""
    assert response["Content-Type"] == "application/problem+json"
    body = dict(response.json())
    assert body["status"] == response.status_code
    assert body.pop("request_id")
    return body


def errors_of(response: Any) -> list[tuple[str, str]]:
    return [(error["field"], error["message"]) for error in problem(response)["errors"]]
