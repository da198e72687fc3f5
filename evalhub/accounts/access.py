"""The door of every page: signed in, member somewhere, and allowed to."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse

from evalhub.accounts.actor import ActorRequest

View = Callable[..., HttpResponse]


def requires(action: str = "read") -> Callable[[View], View]:
    """Let in who may do ``action`` in the current organisation; others: sign in first, or 403.

    The wrapped view carries the action as ``requires``, which the tenancy test reads.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: ActorRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if request.actor is None:
                raise PermissionDenied("You are not a member of any organisation. Ask an admin for an invitation.")
            if not request.actor.may(action):
                raise PermissionDenied("Your role does not allow this. Ask an admin of your organisation.")
            return view(request, *args, **kwargs)

        guarded.requires = action  # type: ignore[attr-defined]
        return guarded

    return decorate
