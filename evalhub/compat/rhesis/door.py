"""The frame of every call: who asks, in which project, and errors in Rhesis' shape. Nothing answers 500 to input."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from django.core.exceptions import RequestDataTooBig, ValidationError
from django.db import DataError, IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from evalhub.accounts.access import note_denial
from evalhub.accounts.actor import Actor
from evalhub.accounts.tokens import TokenRefused, actor_from_bearer
from evalhub.api.authentication import PerToken
from evalhub.compat.rhesis.odata import BadFilter
from evalhub.compat.rhesis.reading import LONGEST_ID, Body, Invalid, Refusal, read_time
from evalhub.web.errors import Refused
from evalhub.web.json import BadJson, dumps, loads_strict
from results.recording import RecordingError
from results.reviewing import ReviewConflict
from runs.models import Project

log = logging.getLogger("evalhub.rhesis")
JSON: Final = "application/json"
MOST_PARAMETERS: Final = 1000


@dataclass
class Call:
    """One request through this door."""

    request: HttpRequest
    actor: Actor

    def body(self) -> Body:
        """The object sent; nothing at all counts as an empty one, as the early SDKs send it."""
        text = self.request.body
        if not text.strip():
            return Body({})
        try:
            value = loads_strict(text)
        except BadJson as problem:
            raise Invalid("json_invalid", ("body",), str(problem)) from None
        return Body({} if value is None else value)

    def parameter(self, name: str) -> str | None:
        values = self.parameters(name)
        return values[-1] if values else None

    def parameters(self, name: str) -> list[str]:
        """A query parameter's values; an empty one counts as absent, and NUL cannot be in anything that we have."""
        values = [value for value in self.request.GET.getlist(name) if value]
        if any("\0" in value for value in values):
            raise Refusal(f"{name} holds a NUL character.")
        if len(values) > MOST_PARAMETERS:
            raise Refusal(f"{name} is given more than {MOST_PARAMETERS} times.")
        return values

    def whole(self, name: str) -> int | None:
        text = self.parameter(name)
        if text is None:
            return None
        digits = text.removeprefix("-")
        if not digits.isascii() or not digits.isdigit() or len(digits) > 12:
            raise Invalid("int_parsing", ("query", name), "Input should be a valid integer")
        return int(text)

    def flag(self, name: str) -> bool | None:
        text = self.parameter(name)
        if text is None:
            return None
        word = text.lower()
        if word not in ("true", "false", "1", "0"):
            raise Invalid("bool_parsing", ("query", name), "Input should be a valid boolean")
        return word in ("true", "1")

    def time(self, name: str) -> Any:
        text = self.parameter(name)
        return None if text is None else read_time(text, ("query", name))

    def must(self, *actions: str) -> None:
        """One of these rights."""
        if not any(self.actor.may(action) for action in actions):
            raise Refusal(f"This API key does not allow that ({' or '.join(actions)}).", 403)

    @cached_property
    def project(self) -> Project | None:
        """The project that X-Project-Id names: everything else is then out of sight."""
        ident = self.request.headers.get("X-Project-Id", "").strip()
        if not ident:
            return None
        found = Project.objects.visible_to(self.actor).by_id(ident[:LONGEST_ID])
        if found is None:
            raise Refusal("This API key has no access to the project of X-Project-Id.", 403)
        return found

    @cached_property
    def home(self) -> Project:
        """The project that takes what is made without naming one."""
        return self.project or Project.default_of(self.actor.organization)


Verb = Callable[..., Any]


def calls_out[V: Verb](verb: V) -> V:
    """A verb that waits for somebody else's answer: it runs without a transaction around it."""
    verb.calls_out = True  # type: ignore[attr-defined]
    return verb


def door(verbs: Mapping[str, Verb], *, open_to_all: bool = False) -> Callable[..., HttpResponseBase]:
    """A view from functions by method, that give what is said as JSON, or a response."""

    @csrf_exempt
    def view(request: HttpRequest, **named: str) -> HttpResponseBase:
        actor = None
        try:
            verb = verbs.get(request.method or "")
            if open_to_all and verb is not None:
                return said(verb())
            try:
                actor = actor_from_bearer(request.headers.get("Authorization"))
            except TokenRefused:
                raise Refusal("Authentication required", 401) from None
            seconds = PerToken.allowance.take(actor.token.pk if actor.token else actor.user.pk)
            if seconds:
                raise Refusal("Too many requests with this API key.", 429, {"Retry-After": str(seconds)})
            if verb is None:
                raise Refusal("Method Not Allowed", 405)
            return _answer(verb, Call(request, actor), named)
        except Refusal as refusal:
            if refusal.status == 403 and actor is not None:
                note_denial(actor, request, reason=str(refusal))
            return failed(refusal.detail, refusal.status, refusal.headers)
        except BadFilter as refusal:
            return failed(str(refusal), 400)
        except Refused as refusal:
            return failed(str(refusal), refusal.status, refusal.headers)
        except ReviewConflict as conflict:
            return failed(str(conflict), 409)
        except ValidationError as problem:
            return failed(" ".join(problem.messages), 400)
        except RecordingError as error:
            return failed(f"{error.field}: {error.message}", 400)
        except RequestDataTooBig:
            return failed("The request is too large.", 413)
        except (MultiPartParserError, UnicodeDecodeError):
            return failed("The request cannot be read.", 400)
        except (DataError, IntegrityError) as error:  # a value that the database cannot hold
            log.warning("refused by the database: %s", error)
            return failed("A value of the request cannot be stored.", 400)

    view.methods = frozenset(verbs)  # type: ignore[attr-defined]
    view.requires = "bearer"  # type: ignore[attr-defined]
    return view


def _answer(verb: Verb, call: Call, named: dict[str, str]) -> HttpResponseBase:
    alone = call.request.method == "GET" or getattr(verb, "calls_out", False)
    if any("\0" in value for value in named.values()):
        raise Refusal("There is no such address: Not found", 404)
    with nullcontext() if alone else transaction.atomic():
        answer = verb(call, **named)
    return answer if isinstance(answer, HttpResponseBase) else said(answer)


def said(answer: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    return HttpResponse(dumps(answer), status=status, content_type=JSON, headers=dict(headers or {}))


def failed(detail: Any, status: int, headers: Mapping[str, str] | None = None) -> HttpResponse:
    return said({"detail": detail}, status, headers)


def nowhere(call: Call, **named: str) -> Any:
    raise Refusal("There is no such address: Not found", 404)


def no_experiments(call: Call, **named: str) -> Any:
    raise Refusal("Not found: EvalHub keeps no experiments: what a run was made with is in its configuration.", 404)
