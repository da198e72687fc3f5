"""The door for programs: who stands behind an Authorization header."""

from __future__ import annotations

from django.db.models import OuterRef, Subquery

from evalhub.accounts.actor import Actor
from evalhub.accounts.models import ApiToken, Membership, digest_of
from evalhub.accounts.rights import Role, Scope

LONGEST = 200  # characters; our own have 47


class TokenRefused(Exception):
    """No actor stands behind the header. The answer is 401, and the same for every reason."""


def actor_from_bearer(header: str | bytes | None) -> Actor:
    """The actor of ``Authorization: Bearer <secret>``, in one query (and one more a minute, for the last use)."""
    token = (
        ApiToken.objects.usable()
        .filter(digest=digest_of(_secret_in(header)))
        .annotate(
            role=Subquery(
                Membership.objects.filter(
                    organization_id=OuterRef("organization_id"), user_id=OuterRef("user_id")
                ).values("role")[:1]
            )
        )
        .select_related("user", "organization")
        .first()
    )
    role = getattr(token, "role", None)
    if token is None or role is None:  # unknown, expired, revoked, switched off, or no longer a member
        raise TokenRefused("The token is unknown, expired or revoked.")
    token.touch()
    return Actor(token.user, token.organization, Role(role), frozenset(map(Scope, token.scopes)), token)


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
