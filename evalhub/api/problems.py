"""What is wrong, as problem details (RFC 9457): never a page, never a traceback, always the same keys."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from psycopg import errors as postgres
from rest_framework import exceptions

from evalhub.accounts.access import note_denial
from evalhub.api.rows import Object
from evalhub.api.shapes import Ident, Items, Misfit, Path, Schema, Text, Whole, spelled
from evalhub.web import json
from evalhub.web.errors import TooOften
from evalhub.web.request_ids import current_request_id

log = logging.getLogger("evalhub.api")

CONTENT_TYPE: Final = "application/problem+json"

INVALID: Final = "/api/docs/#invalid"
CONFLICT: Final = "/api/docs/#conflict"
STALE: Final = "/api/docs/#stale"
KEY_REUSED: Final = "/api/docs/#key-reused"
THROTTLED: Final = "/api/docs/#throttled"

_ONE: Final = Object(
    "ProblemEntry",
    {
        "index": Whole(doc="Which item of the batch, from 0."),
        "field": Text(doc="Which value, such as evaluations[2].value; empty for the whole.", example="name"),
        "message": Text(example="is required"),
    },
    optional=["index"],
)


class _Problem(Object):
    def schema(self) -> Schema:
        schema = Object.schema(self)
        return {
            **schema,
            "properties": {**schema["properties"], "errors": {"type": "array", "items": _ONE.reference()}},
        }


PROBLEM: Final = _Problem(
    "Problem",
    {
        "type": Text(doc="What kind of problem; about:blank says no more than the status.", example="about:blank"),
        "title": Text(example="Not Found"),
        "status": Whole(example=404),
        "detail": Text(doc="What happened here, for people."),
        "errors": Items(of=Text()),
        "request_id": Ident(null=True, doc="Name it when you ask the operator."),
    },
    doc="What is wrong (RFC 9457).",
    optional=["errors"],
)


class Problem(Exception):
    """A request that cannot be done; becomes the answer."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str = "about:blank",
        title: str = "",
        errors: list[dict[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.kind, self.title = status, detail, kind, title
        self.errors, self.headers = errors, dict(headers or {})


def invalid(problems: Iterable[tuple[Path, str]], *, batch: bool = False) -> Problem:
    """400 with each value that does not fit. In a batch the first number of a place is the item's index."""
    errors: list[dict[str, Any]] = []
    for path, message in problems:
        if batch and path and isinstance(path[0], int):
            errors.append({"index": path[0], "field": spelled(path[1:]), "message": message})
        else:
            errors.append({"field": spelled(path), "message": message})
    first = errors[0]
    where = f"Item {first['index']}: " if "index" in first else ""
    more = "" if len(errors) == 1 else f" (and {len(errors) - 1} more)"
    said = first["message"].rstrip(".")
    glue = " " if said[:1].islower() else ": "  # most messages go on after the field's name, some are sentences
    detail = f"{where}{first['field'] or 'The body'}{glue}{said}{more}."
    return Problem(400, detail, kind=INVALID, title="Invalid request", errors=errors)


def field_problem(field: str, message: str) -> Problem:
    return invalid([((field,), message)])


def conflict(detail: str, *fields: tuple[str, str]) -> Problem:
    errors = [{"field": field, "message": message} for field, message in fields]
    return Problem(409, detail, kind=CONFLICT, errors=errors or None)


def answer_to(problem: Problem) -> HttpResponse:
    body: dict[str, Any] = {
        "type": problem.kind,
        "title": problem.title or HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.errors is not None:
        body["errors"] = problem.errors
    body["request_id"] = current_request_id.get()
    return HttpResponse(json.dumps(body), status=problem.status, content_type=CONTENT_TYPE, headers=problem.headers)


def handle(exc: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """DRF's exception handler: whatever was raised becomes an answer."""
    problem = problem_of(exc)
    request: HttpRequest = context["request"]._request
    actor = getattr(request, "actor", None)
    if problem.status == 403 and actor is not None:
        note_denial(actor, request, reason=problem.detail)
    if problem.status >= 500:
        log.error("%s %s failed", request.method, request.path, exc_info=exc)
        if problem.status == 500:
            got_request_exception.send(sender=None, request=request)  # so that tests see it, and monitors
    return answer_to(problem)


def problem_of(exc: Exception) -> Problem:
    match exc:
        case Problem():
            return exc
        case Misfit():
            return invalid(exc.problems)
        case Http404():
            return Problem(404, "There is nothing here that you can see.")
        case PermissionDenied():
            return Problem(403, str(exc) or "Your role or token does not allow this.")
        case RequestDataTooBig():
            return Problem(413, "The body is too large.")
        case TooOften():
            return Problem(429, str(exc), kind=THROTTLED, headers=exc.headers)
        case BadRequest():
            return Problem(400, str(exc), kind=INVALID)
        case SuspiciousOperation():
            return Problem(400, "The request cannot be read.")
        case exceptions.Throttled():
            seconds = max(1, round(getattr(exc, "wait", None) or 1))
            detail = f"Too many requests with this token. Try again in {seconds} s."
            return Problem(429, detail, kind=THROTTLED, headers={"Retry-After": str(seconds)})
        case exceptions.APIException():
            return of_framework(exc)
        case DatabaseError() | InterfaceError():
            return of_database(exc)
    return Problem(500, "Something broke on our side; nothing was changed. The operator finds it by the request id.")


def of_framework(exc: exceptions.APIException) -> Problem:
    headers = {}
    if getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = exc.auth_header  # type: ignore[attr-defined]
    details = {
        exceptions.NotAuthenticated: "Sign in, or send a token: Authorization: Bearer ehb_...",
        exceptions.MethodNotAllowed: "This address does not know this method; the Allow header has those it knows.",
        exceptions.NotAcceptable: "The API answers in JSON only; accept application/json.",
    }
    return Problem(exc.status_code, details.get(type(exc)) or str(exc.detail), headers=headers)


def of_database(exc: Exception) -> Problem:
    cause = exc.__cause__
    if isinstance(exc, IntegrityError) and isinstance(cause, postgres.UniqueViolation):
        return conflict("Something with the same id or name exists already.")
    if isinstance(exc, IntegrityError) and isinstance(cause, postgres.ForeignKeyViolation):
        return conflict("Something that this refers to was removed in the meantime.")
    if isinstance(exc, DataError):
        return Problem(400, "A value cannot be stored.", kind=INVALID)
    if isinstance(cause, postgres.LockNotAvailable | postgres.DeadlockDetected | postgres.SerializationFailure):
        return Problem(
            409, "Another request is changing the same thing. Try again.", kind=CONFLICT, headers={"Retry-After": "1"}
        )
    if isinstance(cause, postgres.DiskFull):
        return Problem(503, "The server's disk is full; nothing was changed.", headers={"Retry-After": "60"})
    if isinstance(exc, OperationalError | InterfaceError):
        return Problem(503, "The database is not answering just now.", headers={"Retry-After": "5"})
    return Problem(500, "Something broke on our side; nothing was changed. The operator finds it by the request id.")
