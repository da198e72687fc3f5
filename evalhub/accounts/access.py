"""The door of every page: signed in, member somewhere, and allowed to.

Each decorated view carries its rule as ``requires``, which the tenancy test reads: an action of the rights table,
SIGNED_IN, or PUBLIC.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect

from evalhub.accounts.actor import Actor, ActorRequest
from evalhub.audit.models import record_event
from evalhub.web.pages import is_here, path_of

type View = Callable[..., HttpResponseBase]

SIGNED_IN: Final = "signed in"
PUBLIC: Final = "public"


def requires(action: str = "read") -> Callable[[View], View]:
    """Let in who may do ``action`` in the current organisation; others: sign in first, or 403."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: ActorRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return ask_who(request)
            if request.actor is None:
                raise PermissionDenied("You are not a member of any organisation. Ask an admin for an invitation.")
            if not request.actor.may(action):
                note_denial(request.actor, request, right=action)
                raise PermissionDenied("Your role does not allow this. Ask an admin of your organisation.")
            return view(request, *args, **kwargs)

        return ruled(guarded, action)

    return decorate


def ask_who(request: HttpRequest) -> HttpResponseRedirect:
    """Sign in, and go on where you were: a form's address may not be for opening, the page that it stood on is."""
    here = request.get_full_path()
    came_from = "" if request.method in ("GET", "HEAD") else path_of(request.headers.get("Referer", ""))
    return redirect_to_login(came_from if is_here(request, came_from) else here)


def note_denial(actor: Actor, request: HttpRequest, **why: Any) -> None:
    """Somebody we know was refused, through whichever door: it stays in the trail."""
    record_event("access.denied", by=actor, method=request.method, path=request.path[:500], **why)


def signed_in(view: View) -> View:
    """Let in everybody who is signed in, member of an organisation or not."""

    @wraps(view)
    def guarded(request: ActorRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return ask_who(request)
        return view(request, *args, **kwargs)

    return ruled(guarded, SIGNED_IN)


def public(view: View) -> View:
    """Let in everybody."""
    return ruled(view, PUBLIC)


def ruled(view: View, rule: str) -> View:
    view.requires = rule  # type: ignore[attr-defined]
    return view
