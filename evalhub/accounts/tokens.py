"""The door for programs: who stands behind an Authorization header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import F, Model, Q
from django.db.models.functions import Now

from evalhub.accounts.actor import Actor
from evalhub.accounts.models import ApiToken, Organization, User, digest_of
from evalhub.accounts.rights import Role, Scope
from evalhub.database.prepared import Prepared, instance_of

LONGEST = 200  # characters; our own have 47


class TokenRefused(Exception):
    """No actor stands behind the header. The answer is 401, and the same for every reason."""


def _columns(model: type[Model], path: str = "") -> dict[str, str]:
    """Where the answer has the model's columns: {field: name in the answer}."""
    return {field.attname: f"{path}{field.attname}" for field in model._meta.concrete_fields}


TOKEN, USER, ORGANIZATION = _columns(ApiToken), _columns(User, "user__"), _columns(Organization, "organization__")

# Every request of every program asks this.
_find = Prepared(
    lambda digest: ApiToken.objects.filter(
        Q(expires_at__isnull=True) | Q(expires_at__gt=Now()),
        digest=digest,
        revoked_at__isnull=True,
        user__is_active=True,
        user__memberships__organization=F("organization"),
    ).values(*TOKEN.values(), *USER.values(), *ORGANIZATION.values(), role=F("user__memberships__role")),
    str,
)


def actor_from_bearer(header: str | bytes | None) -> Actor:
    """The actor of ``Authorization: Bearer <secret>``, in one query (and one more a minute, for the last use)."""
    found = _find(digest_of(_secret_in(header)))
    if not found:  # unknown, expired, revoked, switched off, or no longer a member
        raise TokenRefused("The token is unknown, expired or revoked.")
    (row,) = found
    token = _made(ApiToken, TOKEN, row)
    token.user, token.organization = _made(User, USER, row), _made(Organization, ORGANIZATION, row)
    token.touch()
    return Actor(token.user, token.organization, Role(row["role"]), frozenset(map(Scope, token.scopes)), token)


def _made[M: Model](model: type[M], columns: Mapping[str, str], row: Mapping[str, Any]) -> M:
    return instance_of(model, ((attname, row[name]) for attname, name in columns.items()))


def _secret_in(header: str | bytes | None) -> str:
    text = header.decode("latin-1") if isinstance(header, bytes) else header or ""
    scheme, _, secret = text.strip().partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer":
        raise TokenRefused("A token is needed: Authorization: Bearer, then the token.")
    well_formed = secret.isascii() and secret.isprintable() and " " not in secret and 0 < len(secret) <= LONGEST
    if not well_formed:
        raise TokenRefused("The token is malformed.")
    return secret
