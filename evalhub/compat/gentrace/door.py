"""The frame of every call: who asks, what it sends, errors in Gentrace's shape. Nothing answers 500 to input."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import DataError, IntegrityError
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from evalhub.accounts.actor import Actor
from evalhub.accounts.tokens import TokenRefused, actor_from_bearer
from evalhub.compat.gentrace.reading import Body, Refusal
from evalhub.compat.gentrace.words import Speech
from evalhub.web.errors import Refused
from evalhub.web.json import BadJson, dumps, loads_strict
from results.recording import RecordingError

log = logging.getLogger("evalhub.gentrace")
JSON = "application/json"  # exactly: Python's client rejects any other spelling


@dataclass(slots=True)
class Call:
    """One request through this door."""

    request: HttpRequest
    actor: Actor

    def say(self, version: int) -> Speech:
        agent = self.request.headers.get("User-Agent", "")
        return Speech(version, to_python=agent.startswith("OpenAPI-Generator/"))

    def body(self) -> Body:
        try:
            return Body(loads_strict(self.request.body))
        except BadJson as problem:
            raise Refusal(str(problem)) from None

    def parameter(self, name: str) -> str:
        """A query parameter, or an empty text; NUL cannot be in anything that we have."""
        value = self.request.GET.get(name, "")
        if "\0" in value:
            raise Refusal(f"{name} holds a NUL character.")
        return value

    def must(self, action: str) -> None:
        if not self.actor.may(action):
            raise Refusal("This API key does not allow that.", 403)


Verb = Callable[..., Any]


def door(**verbs: Verb) -> Callable[..., HttpResponseBase]:
    """A view from functions by method, ``door(GET=..., POST=...)``, that give what is said as JSON, or a response."""

    @csrf_exempt
    def view(request: HttpRequest, **named: str) -> HttpResponseBase:
        verb = verbs.get(request.method or "")
        try:
            try:
                actor = actor_from_bearer(request.headers.get("Authorization"))
            except TokenRefused as refused:
                raise Refusal(str(refused), 401) from None
            if verb is None:
                raise Refusal(f"{request.method} is not served here.", 405)
            answer = verb(Call(request, actor), **named)
        except Refusal as refusal:
            return failed(refusal.message, refusal.status, refusal.errors)
        except Refused as refusal:
            return failed(str(refusal), 400)
        except RecordingError as error:
            return failed(f"testRuns[{error.index}], {error.field}: {error.message}", 400)
        except RequestDataTooBig:
            return failed("The request is too large.", 413)
        except (MultiPartParserError, UnicodeDecodeError):
            return failed("The request cannot be read.", 400)
        except (DataError, IntegrityError) as error:  # a value that the database cannot hold
            log.warning("refused by the database: %s", error)
            return failed("A value of the request cannot be stored.", 400)
        return answer if isinstance(answer, HttpResponseBase) else said(answer)

    view.methods = frozenset(verbs)  # type: ignore[attr-defined]
    view.requires = "bearer"  # type: ignore[attr-defined]
    return view


def said(answer: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(dumps(answer), status=status, content_type=JSON)


def failed(message: str, status: int, errors: Iterable[str] = ()) -> HttpResponse:
    return said({"message": message, "errors": list(errors)}, status)


def nowhere(call: Call, **named: str) -> Any:
    raise Refusal("There is no such address.", 404)
