"""The frame of every call: who asks, what it sends, errors in Gentrace's shape. Nothing answers 500 to input."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.db import DataError, IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from evalhub.accounts.access import note_denial
from evalhub.accounts.actor import Actor
from evalhub.accounts.tokens import TokenRefused, actor_from_bearer
from evalhub.api.authentication import PerToken
from evalhub.compat.gentrace.reading import Body, Refusal
from evalhub.compat.gentrace.words import Speech
from evalhub.web.errors import Refused
from evalhub.web.json import BadJson, dumps, loads_strict
from results.recording import RecordingError

log = logging.getLogger("evalhub.gentrace")
JSON = "application/json"  # exactly: Python's client rejects any other spelling
LARGEST = 64 * 1024 * 1024  # bytes of a body: 10,000 results with their steps
CHUNK = 256 * 1024


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
            return Body(loads_strict(self.read()))
        except BadJson as problem:
            raise Refusal(str(problem)) from None

    def read(self, largest: int = LARGEST) -> bytes:
        """The whole body, or 413. What is too much is read on for a while, so that the sender gets to see why."""
        raw = self.request.read(largest + 1)
        if len(raw) <= largest:
            return raw
        for _ in range(largest // CHUNK):
            if not self.request.read(CHUNK):
                break
        raise Refusal(f"The request is larger than {largest // (1024 * 1024)} MiB.", 413)

    def parameter(self, name: str) -> str:
        """A query parameter, or an empty text."""
        return self.request.GET.get(name, "")

    def must(self, action: str) -> None:
        if not self.actor.may(action):
            raise Refusal(f"This API key does not allow that ({action}).", 403)


Verb = Callable[..., Any]


def door(**verbs: Verb) -> Callable[..., HttpResponseBase]:
    """A view from functions by method, ``door(GET=..., POST=...)``, that give what is said as JSON, or a response."""

    @csrf_exempt
    def view(request: HttpRequest, **named: str) -> HttpResponseBase:
        verb, call = verbs.get(request.method or ""), None
        try:
            call = Call(request, who_asks(request))
            if verb is None:
                raise Refusal(f"{request.method} is not served here.", 405)
            if any("\0" in text for key, texts in request.GET.lists() for text in (key, *texts)):
                raise Refusal("The address holds a NUL character.")
            if request.method == "GET":
                answer = verb(call, **named)
            else:
                with transaction.atomic():  # all of a request or nothing of it
                    answer = verb(call, **named)
        except Refusal as refusal:
            if refusal.status == 403 and call is not None:
                note_denial(call.actor, request, reason=refusal.message)
            return failed(refusal.message, refusal.status, refusal.errors, refusal.headers)
        except Refused as refusal:
            return failed(str(refusal), 400)
        except RecordingError as error:
            return failed(f"testRuns[{error.index}], {error.field}: {error.message}", 400)
        except (MultiPartParserError, SuspiciousOperation, UnicodeError):
            return failed("The request cannot be read.", 400)
        except (DataError, IntegrityError) as error:  # a value that the database cannot hold
            log.warning("refused by the database: %s", error)
            return failed("A value of the request cannot be stored.", 400)
        return answer if isinstance(answer, HttpResponseBase) else said(answer)

    view.methods = frozenset(verbs)  # type: ignore[attr-defined]
    view.requires = "bearer"  # type: ignore[attr-defined]
    return view


def who_asks(request: HttpRequest) -> Actor:
    try:
        actor = actor_from_bearer(request.headers.get("Authorization"))
    except TokenRefused as refused:
        raise Refusal(str(refused), 401) from None
    seconds = PerToken.allowance.take(actor.token.pk if actor.token else actor.user.pk)
    if seconds:
        raise Refusal("Too many requests with this API key.", 429, headers={"Retry-After": str(seconds)})
    return actor


def said(answer: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    return HttpResponse(dumps(answer), status=status, content_type=JSON, headers=dict(headers or {}))


def failed(
    message: str, status: int, errors: Iterable[str] = (), headers: Mapping[str, str] | None = None
) -> HttpResponse:
    return said({"message": message, "errors": list(errors)}, status, headers)


def nowhere(call: Call, **named: str) -> Any:
    raise Refusal("There is no such address.", 404)
