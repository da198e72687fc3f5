"""Puts ``request.actor`` on every request: who is asking, in which organisation."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from evalhub.accounts.actor import Actor, ActorRequest
from evalhub.accounts.models import memberships_of

SESSION_KEY = "organization"


class ActorMiddleware:
    """The actor of the web session: the signed-in user in the current organisation, or None.

    Memberships are read on every request, so that who is removed is out at once; the page around takes them from here.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: ActorRequest) -> HttpResponse:
        request.memberships = memberships_of(request.user) if request.user.is_authenticated else []
        request.actor = session_actor(request)
        return self.get_response(request)


def session_actor(request: ActorRequest) -> Actor | None:
    if not request.memberships:
        return None
    chosen = request.session.get(SESSION_KEY)
    current = next((m for m in request.memberships if str(m.organization_id) == chosen), request.memberships[0])
    return Actor.from_membership(current)
