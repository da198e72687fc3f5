"""When something is wrong: the same look for every mistake on pages, problem details (RFC 9457) under /api/."""

from __future__ import annotations

import logging
import sys
from http import HTTPStatus
from typing import Any

from django.core.exceptions import BadRequest
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from evalhub.web.json import dumps
from evalhub.web.pages import is_here, path_of, wants_fragment
from evalhub.web.request_ids import current_request_id

log = logging.getLogger("evalhub.web")


class Refused(BadRequest):
    """A request that cannot be answered as it is; the message is a sentence for the person who sent it."""

    status = 400
    seconds = 0  # to wait, where the same request may be answered later

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.seconds)} if self.seconds else {}


class TooOften(Refused):
    """What may be asked again after some seconds."""

    status = 429

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


def in_time(response: HttpResponse, refusal: Refused | None) -> HttpResponse:
    """A form that was sent too often says when it may be sent again."""
    if isinstance(refusal, TooOften):
        response.status_code = refusal.status
        response.headers["Retry-After"] = str(refusal.seconds)
    return response


def problem(status: int, detail: str, *, title: str = "", kind: str = "about:blank", **more: Any) -> HttpResponse:
    """An error as RFC 9457 problem details."""
    body = {"type": kind, "title": title or HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return HttpResponse(dumps(body), status=status, content_type="application/problem+json")


def answer(
    request: HttpRequest, status: int, title: str, text: str, *, alone: bool = False, form: str = ""
) -> HttpResponse:
    """The mistake as the asker can read it: problem details, a fragment, or a page.

    ``alone`` pages ask the database nothing: it may be what broke. ``form``: where the form can be opened again.
    """
    number = current_request_id.get() or ""
    if request.path.startswith("/api/"):
        response = problem(status, text, request_id=number)
    elif request.path.startswith("/rhesis/"):  # its SDK reads this key
        said = {"detail": text, "request_id": number}
        response = HttpResponse(dumps(said), status=status, content_type="application/json")
    else:
        values = {"status": status, "heading": title, "text": text, "request_id": number, "form_url": form}
        template = "errors/fragment.html" if wants_fragment(request) else f"errors/{'alone' if alone else 'page'}.html"
        if alone:
            body = render_to_string(template, values)
        else:
            body = render_to_string(template, values, request)
        response = HttpResponse(body, status=status)
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    said = str(exception) if isinstance(exception, Refused) else ""
    if isinstance(exception, TooOften):
        return in_time(answer(request, exception.status, "One moment, please", said), exception)
    text = said or "The address or the form holds something that cannot be read. Go back and try it again."
    return answer(request, 400, "This request can’t be read", text)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    text = str(exception or "") or "Your role doesn’t include this. An admin of your organisation can change it."
    return answer(request, 403, "You can’t do this here", text)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    text = (
        "The link may be old, or it belongs to an organisation you are not a member of. "
        "For your colleagues’ privacy we show the same page in both cases."
    )
    return answer(request, 404, "This page isn’t here", text)


def not_allowed(request: HttpRequest, allowed: str) -> HttpResponse:
    """The address is right, the method is not: somebody opened what only a button may ask for, or the reverse."""
    if request.method in ("GET", "HEAD"):
        title = "There is nothing to open here"
        text = "This address does something when its button is pressed. Opening it did nothing: go back to the button."
    else:
        title, text = "This page can only be read", "What was sent was not taken, and nothing was changed."
    response = answer(request, 405, title, text)
    response.headers["Allow"] = allowed
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    if isinstance(sys.exception(), OperationalError | InterfaceError):
        return database_away(request)
    text = "Something broke on our side. Nothing that was saved before is lost. Try again in a moment."
    return answer(request, 500, "That didn’t work", text, alone=True)


def database_away(request: HttpRequest) -> HttpResponse:
    """A database that restarts is no fault of the request: say when to come back."""
    text = "The database is not answering just now. Nothing that was saved before is lost. Try again in a few seconds."
    response = answer(request, 503, "One moment, please", text, alone=True)
    response.headers["Retry-After"] = "5"
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Who signed in anew in another tab has forms of the old session open here; their scripts know it by the header."""
    log.warning("CSRF check failed: %s", reason)
    text = (
        "It was open for too long, or in another session. Nothing was changed. "
        "Open it again, and send it once more. Cookies have to be allowed for this site."
    )
    came_from = path_of(request.headers.get("Referer", ""))
    response = answer(
        request, 403, "This form has expired", text, form=came_from if is_here(request, came_from) else ""
    )
    response.headers["X-Form-Expired"] = "true"
    return response
