"""EvalHub, and under /floor/ the bare views without any middleware, in one process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.wsgi import get_wsgi_application

evalhub = get_wsgi_application()


class BareRequest(WSGIRequest):
    urlconf = "evalhub.benchmark.floors"


class Bare(WSGIHandler):
    request_class = BareRequest

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        self._middleware_chain = convert_exception_to_response(self._get_response)  # type: ignore[attr-defined]


bare = Bare()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    if environ["PATH_INFO"].startswith("/floor/"):
        return bare(environ, start_response)
    return evalhub(environ, start_response)
