"""What a view does, said once: who may, what it takes, what it answers. Routing, checks and OpenAPI all read it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ClassVar, Final

import orjson
from django.db import transaction
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

import evalhub.api.addresses  # noqa: F401  (routes need its converter)
from evalhub.accounts.actor import Actor
from evalhub.api.authentication import BearerAuthentication, MayDoIt, PageSession, PerToken, actor_of
from evalhub.api.once import answer_once
from evalhub.api.openapi import OperationSchema
from evalhub.api.problems import STALE, Problem, handle, invalid
from evalhub.api.reading import USUAL_BODY, FastJson, StrictJson, filter_problems, read_query
from evalhub.api.rows import Object, Of, Row, Values, list_of
from evalhub.api.shapes import Described, Field, Misfit, Shape, Text, Whole
from evalhub.web.filters import TenantFilterSet
from evalhub.web.paging import Order, Page, read_page

PAGING: Final[dict[str, Field]] = {
    "limit": Whole(least=1, most=200, doc="How many at once; 50 where nothing is said."),
    "cursor": Text(least=1, most=4000, doc="Where to go on: from the `next` of the page before."),
}
USUAL_LIMIT: Final = 50


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of a view. ``action`` is the right that it needs; None lets everybody in."""

    summary: str
    action: str | None
    doc: str = ""
    query: Mapping[str, Field] = field(default_factory=dict)
    filters: type[TenantFilterSet] | None = None
    body: Shape | None = None
    upload: bool = False  # the body is multipart/form-data
    batch: bool = False  # a misfit's first number is the item's index
    answer: Described | None = None
    status: int = 200
    media: tuple[str, ...] = ("application/json",)
    also: tuple[int, ...] = ()  # further errors: 409, 412
    etag: bool = False
    example: Any = None


def pages_of(row: Described, name: str) -> Object:
    """The answer of a list."""
    return Object(
        name,
        {
            "items": list_of(row),
            "next": Text(null=True, doc="Address of the page that follows; null on the last one."),
            "previous": Text(null=True, doc="Address of the page before; null on the first one."),
        },
    )


class ApiView(APIView):
    """A view of the API. ``operations`` names its methods; a method without an entry does not exist."""

    authentication_classes = (BearerAuthentication, PageSession)
    permission_classes = (MayDoIt,)
    throttle_classes = (PerToken,)
    parser_classes: tuple[type[BaseParser], ...] = (StrictJson,)
    renderer_classes = (FastJson,)
    content_negotiation_class = DefaultContentNegotiation
    metadata_class = None
    schema = OperationSchema()
    largest_body: ClassVar[int] = USUAL_BODY
    #: False where a handler opens its own transaction, or its verb does.
    in_transaction: ClassVar[bool] = True

    operations: Mapping[str, Operation] = {}
    query: dict[str, Any]
    body_digest: bytes = b""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("post", "put", "patch", "delete"):
            if name in cls.__dict__:
                setattr(cls, name, in_one_transaction(cls.__dict__[name]))

    def operation_of(self, method: str | None) -> Operation | None:
        return self.operations.get("GET" if method == "HEAD" else method or "")

    def get_exception_handler(self) -> Callable[..., Any]:
        return handle

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        operation = self.operation_of(request.method)
        if operation is None:
            raise MethodNotAllowed(request.method or "")
        self.query = read_query(operation.query, operation.filters, request._request.GET)
        if (
            operation.body is not None
            and "HTTP_TRANSFER_ENCODING" in request.META
            and not request.META.get("CONTENT_LENGTH")
        ):
            raise Problem(411, "Send the body in one piece, with its Content-Length.")  # Django would read nothing

    @property
    def allowed_methods(self) -> list[str]:
        return [*self.operations, *(["HEAD"] if "GET" in self.operations else [])]

    @property
    def actor(self) -> Actor:
        actor = actor_of(self.request)
        assert actor is not None  # MayDoIt has seen to it
        return actor

    @property
    def operation(self) -> Operation:
        operation = self.operation_of(self.request.method)
        assert operation is not None
        return operation

    def read_body(self) -> dict[str, Any]:
        """The body, as the operation's shape reads it."""
        shape, operation = self.operation.body, self.operation
        assert shape is not None
        try:
            return shape.read(self.request.data)
        except Misfit as wrong:
            if operation.batch:
                raise invalid(items_of(wrong), batch=True) from None
            raise invalid(wrong.problems) from None

    # --- lists --------------------------------------------------------------------------------------------------------

    @property
    def limit(self) -> int:
        return self.query.get("limit", USUAL_LIMIT)

    def filtered[F: TenantFilterSet](self, filters: type[F], queryset: Any, **more: Any) -> F:
        """The FilterSet of the request's query string, valid."""
        params = self.request._request.GET.copy()
        for name in self.operation.query:
            params.pop(name, None)
        found = filters(params, queryset, actor=self.actor, **more)
        if not found.is_valid():
            raise filter_problems(found)
        return found

    def page(self, queryset: Any, order: Order, row: Row) -> Response:
        """A page of the list, in the order, as ``row`` shows it."""
        selected = row.select(queryset, *(column.path for column in order.columns))
        page = read_page(selected, order, self.query.get("cursor"), self.limit)
        return self.paged(page, row.show_all(page.rows))

    def paged(self, page: Page[Any], items: list[Any], **more: Any) -> Response:
        following, before = self.at_cursor(page.next), self.at_cursor(page.previous)
        links = [f'<{url}>; rel="{rel}"' for url, rel in ((following, "next"), (before, "prev")) if url]
        headers = {"Link": ", ".join(links)} if links else None
        return Response({"items": items, "next": following, "previous": before, **more}, headers=headers)

    def at_cursor(self, cursor: str | None) -> str | None:
        if cursor is None:
            return None
        request = self.request._request
        params = request.GET.copy()
        params["cursor"] = cursor
        return request.build_absolute_uri(f"{request.path}?{params.urlencode()}")


def items_of(wrong: Misfit) -> list[tuple[tuple[str | int, ...], str]]:
    """Places inside the batch without the name of the list itself: (3, "case") for results[3].case."""
    return [
        (path[1:] if len(path) > 1 and isinstance(path[1], int) else path, message) for path, message in wrong.problems
    ]


def in_one_transaction(handler: Callable[..., Response]) -> Callable[..., Response]:
    """Changes and their audit events are kept together or not at all; a POST that names itself is done once."""

    @wraps(handler)
    def kept(view: ApiView, request: Request, *args: Any, **kwargs: Any) -> Response:
        if request.method != "POST" or "Idempotency-Key" not in request.headers:
            with transaction.atomic() if view.in_transaction else nullcontext():
                return handler(view, request, *args, **kwargs)
        _ = request.data  # read and refused before a key is taken
        with transaction.atomic():
            return answer_once(request, view.actor, view.body_digest, lambda: handler(view, request, *args, **kwargs))

    return kept


# --- concurrent edits -------------------------------------------------------------------------------------------------


def etag_of(shown: Values, editable: Mapping[str, Any]) -> str:
    """Names the state of what PATCH can change; counters and times may move without it."""
    state = {name: shown[name] for name in editable if name in shown}
    return f'"{hashlib.sha256(orjson.dumps(state, option=orjson.OPT_UTC_Z)).hexdigest()[:32]}"'


def check_not_stale(request: Request, etag: str) -> None:
    """412 where If-Match names another state."""
    wanted = request.headers.get("If-Match")
    if wanted is None or wanted.strip() == "*":
        return
    if etag not in [one.strip() for one in wanted.split(",")]:
        raise Problem(412, "It was changed since you read it. Read it again, then repeat your change.", kind=STALE)


def named(shape: Described) -> Of:
    return Of(what=shape)
