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
from django.http import HttpRequest, HttpResponseBase

from evalhub.accounts.actor import Actor, ActorRequest
from evalhub.audit.models import record_event

type View = Callable[..., HttpResponseBase]

SIGNED_IN: Final = "signed in"
PUBLIC: Final = "public"


def requires(action: str = "read") -> Callable[[View], View]:
    """Let in who may do ``action`` in the current organisation; others: sign in first, or 403."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: ActorRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if request.actor is None:
                raise PermissionDenied("You are not a member of any organisation. Ask an admin for an invitation.")
            if not request.actor.may(action):
                note_denial(request.actor, request, right=action)
                raise PermissionDenied("Your role does not allow this. Ask an admin of your organisation.")
            return view(request, *args, **kwargs)

        return ruled(guarded, action)

    return decorate


def note_denial(actor: Actor, request: HttpRequest, **why: Any) -> None:
    """Somebody we know was refused, through whichever door: it stays in the trail."""
    record_event("access.denied", by=actor, method=request.method, path=request.path[:500], **why)


def signed_in(view: View) -> View:
    """Let in everybody who is signed in, member of an organisation or not."""

    @wraps(view)
    def guarded(request: ActorRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return view(request, *args, **kwargs)

    return ruled(guarded, SIGNED_IN)


def public(view: View) -> View:
    """Let in everybody."""
    return ruled(view, PUBLIC)


def ruled(view: View, rule: str) -> View:
    view.requires = rule  # type: ignore[attr-defined]
    return view
