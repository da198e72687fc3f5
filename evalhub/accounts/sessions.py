"""Signing in and out, and what the audit trail says about it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest

from evalhub.accounts.middleware import SESSION_KEY
from evalhub.accounts.models import Membership, User
from evalhub.accounts.throttling import begin_attempt, client_address, forgive
from evalhub.audit.models import record_event


class WrongPassword(Exception):
    """E-mail and password don't match, or nobody has this e-mail: the same answer, in the same time."""

    def __init__(self, left: int) -> None:
        tries = f" {left} {'try' if left == 1 else 'tries'} left." if left < 5 else ""
        super().__init__(f"E-mail and password don’t match.{tries}")


def sign_in(request: HttpRequest, email: str, password: str, *, remember: bool = False) -> User:
    """Open a session; raises WrongPassword, or TooManyAttempts before the password was looked at."""
    left = begin_attempt(email, request)
    user = authenticate(request, username=email, password=password)
    if not isinstance(user, User):
        known = find_user(email)
        record_for(known, "login.failed", request, email=email)
        if left == 0:
            record_for(known, "login.throttled", request, email=email)
        raise WrongPassword(left)
    forgive(email, request)
    open_session(request, user, remember=remember)
    return user


def open_session(request: HttpRequest, user: User, *, remember: bool = False) -> None:
    login(request, user)
    request.session.set_expiry(None if remember else 0)  # None: as the settings say; 0: until the browser closes
    record_for(user, "login", request, by_themselves=True)


def sign_out(request: HttpRequest) -> None:
    user = request.user
    if isinstance(user, User):
        record_for(user, "logout", request, by_themselves=True)
    logout(request)


def choose_organization(request: HttpRequest, membership: Membership) -> None:
    request.session[SESSION_KEY] = str(membership.organization_id)


def find_user(email: str) -> User | None:
    return User.objects.filter(email=email.strip().lower()).first()


def record_for(
    user: User | None, action: str, request: HttpRequest, *, by_themselves: bool = False, **data: Any
) -> None:
    """One event in the trail of each organisation that the person belongs to; else one that operators see."""
    organizations: list[UUID | None] = []
    if user is not None:
        organizations += user.memberships.values_list("organization_id", flat=True)
    for organization_id in organizations or [None]:
        record_event(
            action,
            user,
            by=None,
            organization_id=organization_id,
            user_id=user.pk if user and by_themselves else None,
            address=client_address(request),
            **data,
        )
