"""Things that are set up all work alike: list, make, read, change, archive, delete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from django.db.models import Model
from django.db.models.functions import Lower
from django.urls import URLPattern, path, reverse
from rest_framework.request import Request
from rest_framework.response import Response

from evalhub.accounts.actor import Actor
from evalhub.accounts.tenancy import Deletable
from evalhub.api.finding import get, get_values, resolve
from evalhub.api.operations import PAGING, ApiView, Operation, check_not_stale, etag_of, pages_of
from evalhub.api.problems import conflict
from evalhub.api.rows import Row
from evalhub.api.shapes import Choice, Field, Shape
from evalhub.web.errors import Refused
from evalhub.web.paging import Order
from runs.archiving import archive, delete, restore
from runs.setup_filters import SetUpFilter

ARCHIVED: Final[dict[str, Field]] = {
    "archived": Choice(of=("false", "true", "all"), doc="`false`, which is usual, leaves archived ones out."),
}
SORTS: Final = {
    "name": Order("folded_name", nullable={"folded_name": False}),
    "-name": Order("-folded_name", nullable={"folded_name": False}),
    "created": Order("created_at"),
    "-created": Order("-created_at"),
    "changed": Order("updated_at"),
    "-changed": Order("-updated_at"),
}


@dataclass(frozen=True, kw_only=True)
class Noun:
    """What is particular about one kind of thing."""

    word: str  # as in addresses: "test-set"
    words: str  # as in addresses: "test-sets"
    label: str  # as in sentences: "a test set"
    labels: str
    model: type[Deletable]
    row: Row
    shown: Row
    create: Shape
    change: Shape
    make: Callable[[Actor, dict[str, Any]], Model]
    edit: Callable[[Any, Actor, dict[str, Any]], Any]
    filters: type[SetUpFilter]  # the page's
    more_filters: Mapping[str, Field] = field(default_factory=dict)
    example: Any = None
    sort: str = "name"
    sorts: Mapping[str, Order] = field(default_factory=lambda: SORTS)
    note: str = ""

    def urls(self) -> list[URLPattern]:
        lists: Any = type(f"{self.model.__name__}List", (NounList,), {"noun": self, "operations": self._of_list()})
        detail: Any = type(f"{self.model.__name__}Detail", (NounDetail,), {"noun": self, "operations": self._of_one()})
        archival: Any = type(
            f"{self.model.__name__}Archival", (NounArchival,), {"noun": self, "operations": archival_of(self)}
        )
        return [
            path(f"{self.words}/", lists.as_view(), name=f"{self.word}-list"),
            path(f"{self.words}/<ident:id>/", detail.as_view(), name=f"{self.word}-detail"),
            path(f"{self.words}/<ident:id>/archival/", archival.as_view(), name=f"{self.word}-archival"),
        ]

    def _of_list(self) -> dict[str, Operation]:
        sort = {"sort": Choice(of=tuple(self.sorts), doc=f"`{self.sort}` where nothing is said.")}
        return {
            "GET": Operation(
                summary=f"List {self.labels}",
                action="read",
                doc=self.note,
                query={**self.more_filters, **ARCHIVED, **sort, **PAGING},
                filters=self.filters,
                answer=pages_of(self.row, f"{self.row.name}Page"),
            ),
            "POST": Operation(
                summary=f"Set up {self.label}",
                action="set_up",
                body=self.create,
                answer=self.shown,
                status=201,
                also=(409,),
                etag=True,
                example=self.example,
            ),
        }

    def _of_one(self) -> dict[str, Operation]:
        return {
            "GET": Operation(summary=f"Read {self.label}", action="read", answer=self.shown, etag=True),
            "PATCH": Operation(
                summary=f"Change {self.label}",
                action="set_up",
                doc="Keys that are not sent stay as they are; an empty object changes nothing.",
                body=self.change,
                answer=self.shown,
                etag=True,
            ),
            "DELETE": Operation(
                summary=f"Delete {self.label}",
                action="archive",
                doc="It is gone for everybody; what was recorded with it stays.",
                status=204,
                etag=True,
            ),
        }


class OfNoun(ApiView):
    noun: ClassVar[Noun]

    def shown(self, row_id: Any) -> dict[str, Any]:
        """The thing as it is now, by our id."""
        noun = self.noun
        return noun.shown.show(get_values(noun.shown, noun.model, self.actor, str(row_id)))

    def answer(self, shown: dict[str, Any], status: int = 200) -> Response:
        headers = {"ETag": etag_of(shown, self.noun.change.fields)}
        if status == 201:
            url = reverse(f"api:{self.noun.word}-detail", args=[shown["id"]])
            headers["Location"] = self.request._request.build_absolute_uri(url)
        return Response(shown, status=status, headers=headers)


class NounList(OfNoun):
    def get(self, request: Request) -> Response:
        noun, query = self.noun, self.query
        rows = noun.model._default_manager.visible_to(self.actor)
        rows = self.filtered(noun.filters, by_archived(rows, query.get("archived", "false"))).qs
        rows = rows.filter(**{name: query[name] for name in noun.more_filters if name in query})
        order = noun.sorts[query.get("sort", noun.sort)]
        if any(column.path == "folded_name" for column in order.columns):
            rows = rows.annotate(folded_name=Lower("name"))
        return self.page(rows, order, noun.row)

    def post(self, request: Request) -> Response:
        noun, actor = self.noun, self.actor
        values = resolve(noun.create.fields, self.read_body(), actor)
        refuse_taken_id(noun.model, actor, values.get("external_id"))
        made = noun.make(actor, values)
        return self.answer(self.shown(made.pk), 201)


class NounDetail(OfNoun):
    def get(self, request: Request, id: str) -> Response:
        noun = self.noun
        return self.answer(noun.shown.show(get_values(noun.shown, noun.model, self.actor, id)))

    def patch(self, request: Request, id: str) -> Response:
        noun, actor = self.noun, self.actor
        row = get(noun.model, actor, id, lock=True)
        said = self.read_body()
        before = self.shown(row.pk)
        check_not_stale(request, etag_of(before, noun.change.fields))
        values = resolve(noun.change.fields, said, actor)
        if not values:
            return self.answer(before)
        noun.edit(row, actor, values)
        return self.answer(self.shown(row.pk))

    def delete(self, request: Request, id: str) -> Response:
        noun, actor = self.noun, self.actor
        row = get(noun.model, actor, id, lock=True)
        if request.headers.get("If-Match"):
            check_not_stale(request, etag_of(self.shown(row.pk), noun.change.fields))
        try:
            delete(row, by=actor)
        except Refused as reason:
            raise conflict(str(reason)) from None
        return Response(status=204)


class NounArchival(OfNoun):
    """POST archives, DELETE restores; doing it twice is no mistake."""

    def post(self, request: Request, id: str) -> Response:
        row = get(self.noun.model, self.actor, id)
        archive(row, by=self.actor)
        return self.answer(self.shown(row.pk))

    def delete(self, request: Request, id: str) -> Response:
        row = get(self.noun.model, self.actor, id)
        restore(row, by=self.actor)
        return self.answer(self.shown(row.pk))


def archival_of(noun: Noun) -> dict[str, Operation]:
    return {
        "POST": Operation(
            summary=f"Archive {noun.label}",
            action="archive",
            doc="It leaves the lists. Archiving it twice is no mistake.",
            answer=noun.shown,
            etag=True,
        ),
        "DELETE": Operation(
            summary=f"Restore {noun.label}", action="archive", doc="Back into the lists.", answer=noun.shown
        ),
    }


def by_archived(rows: Any, wanted: str) -> Any:
    return rows if wanted == "all" else rows.filter(archived_at__isnull=wanted == "false")


def refuse_taken_id(model: Any, actor: Actor, external_id: str | None) -> None:
    """409 before PostgreSQL says so: with the field, and the row that has the id."""
    if external_id and model.objects.visible_to(actor).with_id(external_id).exists():
        raise conflict(f"The id “{external_id}” is taken.", ("external_id", "is taken"))
