"""Who is asking: a user in one organisation, with a role and, for tokens, scopes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from django.http import HttpRequest

from evalhub.accounts.rights import RIGHTS, Role, Scope

if TYPE_CHECKING:
    from evalhub.accounts.models import ApiToken, Membership, Organization, User


@dataclass(frozen=True, slots=True)
class Actor:
    """Made by authentication only. ``scopes`` is None for a web session, else what the token may do."""

    user: User
    organization: Organization
    role: Role
    scopes: frozenset[Scope] | None = None
    token: ApiToken | None = None

    @classmethod
    def from_membership(cls, membership: Membership) -> Actor:
        return cls(membership.user, membership.organization, Role(membership.role))

    @classmethod
    def from_token(cls, token: ApiToken, membership: Membership) -> Actor:
        scopes = frozenset(Scope(scope) for scope in token.scopes)
        return cls(membership.user, membership.organization, Role(membership.role), scopes, token)

    @property
    def organization_id(self) -> UUID:
        return self.organization.pk

    def may(self, action: str) -> bool:
        """Whether the rights table allows it; an unknown action is a programming error (KeyError)."""
        roles, scopes = RIGHTS[action]
        return self.role in roles and (self.scopes is None or bool(self.scopes & scopes))


class ActorRequest(HttpRequest):
    """What every view gets: the middleware has said who is asking."""

    actor: Actor | None
    memberships: list[Membership]  # the session's user's, by the organisations' names


class MemberRequest(HttpRequest):
    """What a view behind ``@requires`` gets: there is an actor."""

    actor: Actor
    memberships: list[Membership]
    user: User
