"""What every answer has in common: an id, careful headers, and one line in the log."""

import logging
import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware

from evalhub.web.errors import not_allowed
from evalhub.web.request_ids import accept_or_make, current_request_id

log = logging.getLogger("evalhub.request")

type Answer = Callable[[HttpRequest], HttpResponse]


class RequestIdMiddleware:
    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = accept_or_make(request.headers.get("X-Request-Id"))
        request.id = request_id  # type: ignore[attr-defined]
        token = current_request_id.set(request_id)
        started = time.perf_counter()
        try:
            response = self.get_response(request)
            response["X-Request-Id"] = request_id
            if not response.has_header("Cache-Control"):  # static files have their own
                response["Cache-Control"] = "private, no-store"
            facts = {
                "method": request.method,
                "path": path_without_secrets(request),
                "status": response.status_code,
                "milliseconds": round((time.perf_counter() - started) * 1000, 1),
            }
            log.info("answered", extra={"facts": facts})
            return response
        finally:
            current_request_id.reset(token)


class HostMiddleware(CommonMiddleware):
    """Django's, which refuses unknown hosts; a probe is answered by whatever name or number it finds a machine."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        if request.path in settings.PROBES:
            return None
        return super().process_request(request)


class NotAllowedMiddleware:
    """A method that an address does not take is told like every other mistake: Django's own answer is empty."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if isinstance(response, HttpResponseNotAllowed) and not response.content:
            return not_allowed(request, response["Allow"])
        return response


def path_without_secrets(request: HttpRequest) -> str:
    """The path as it may be written down: what an address calls ``secret`` opens a door."""
    secret = request.resolver_match.kwargs.get("secret") if request.resolver_match else None
    return request.path.replace(secret, "…") if secret else request.path
