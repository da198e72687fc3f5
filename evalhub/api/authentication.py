"""Who asks: a program with a token, or a person with a session. Both become ``request.actor``."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from evalhub.accounts.actor import Actor
from evalhub.accounts.models import User
from evalhub.accounts.tokens import TokenRefused, actor_from_bearer
from evalhub.api.allowance import Allowance
from evalhub.api.problems import Problem


def actor_of(request: Request) -> Actor | None:
    """Who asks, once authentication has run."""
    return getattr(request._request, "actor", None)


class BearerAuthentication(BaseAuthentication):
    """``Authorization: Bearer ehb_...``; a header that is there must be right, whatever session comes with it."""

    def authenticate(self, request: Request) -> tuple[User, Any] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        try:
            actor = actor_from_bearer(header)
        except TokenRefused as refused:
            raise AuthenticationFailed(str(refused)) from None
        request._request.actor = actor  # type: ignore[attr-defined]
        return actor.user, actor.token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="EvalHub"'


class PageSession(SessionAuthentication):
    """The session of the pages, with their CSRF token (X-CSRFToken); the middleware has found the actor already."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        found = super().authenticate(request)
        if found is not None and actor_of(request) is None:
            raise PermissionDenied("You are not a member of any organisation. Ask an admin for an invitation.")
        return found


class MayDoIt(BasePermission):
    """The rights table decides, by the action that the operation names."""

    def has_permission(self, request: Request, view: Any) -> bool:
        operation = view.operation_of(request.method)
        if operation is None or operation.action is None:  # 405, or open to everybody
            return True
        actor = actor_of(request)
        if actor is None:
            return False
        if not actor.may(operation.action):
            what = "Your token’s scopes do" if actor.token else "Your role does"
            raise Problem(403, f"{what} not allow this ({operation.action}).")
        return True


class PerToken(BaseThrottle):
    """Each token, and each person's session, has an allowance of requests."""

    allowance = Allowance()

    def allow_request(self, request: Request, view: Any) -> bool:
        actor = actor_of(request)
        if actor is None:
            return True
        self.seconds = self.allowance.take(actor.token.pk if actor.token else actor.user.pk)
        return self.seconds == 0

    def wait(self) -> float:
        return self.seconds
