"""Lists: bare arrays with their total in a header, filtered, sorted and paged; without a limit everything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final
from uuid import UUID

from django.db.models import F, QuerySet
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase

from evalhub.compat.rhesis.door import JSON, Call, said
from evalhub.compat.rhesis.odata import Fields, as_query, matches, read_filter
from evalhub.compat.rhesis.reading import Invalid, Refusal
from evalhub.compat.rhesis.words import Words
from evalhub.web.json import dumps

PIECE: Final = 500  # rows that are read and written at once
MOST: Final = 100_000  # rows of one answer without a limit
LONGEST_PAGE: Final = 100

type Show = Callable[[Call, Sequence[UUID]], list[Words]]


@dataclass(frozen=True, slots=True)
class Page:
    skip: int
    limit: int | None

    def cut[T](self, rows: Sequence[T]) -> Sequence[T]:
        return rows[self.skip :] if self.limit is None else rows[self.skip : self.skip + self.limit]


def page_of(call: Call) -> Page:
    skip, limit = call.whole("skip"), call.whole("limit")
    if skip is not None and skip < 0:
        raise Refusal("skip must not be negative.")
    if limit is not None and not 1 <= limit <= LONGEST_PAGE:
        raise Refusal(f"limit must be between 1 and {LONGEST_PAGE}.")
    return Page(skip or 0, limit)


def chosen_keys(call: Call, known: Iterable[str]) -> set[str] | None:
    """The keys that $select keeps; None for all of them."""
    text = call.parameter("$select")
    if text is None:
        return None
    names = {name.strip() for name in text.split(",") if name.strip()}
    unknown = sorted(names - set(known))
    if unknown:
        raise Refusal(f"There is no field “{unknown[0][:60]}” to select.")
    return {"id", *names}


def list_rows(
    call: Call, rows: QuerySet[Any], fields: Fields, show: Show, keys: Sequence[str], *, order: str = "created_at"
) -> HttpResponseBase:
    """The answer to GET /resource."""
    page, chosen = page_of(call), chosen_keys(call, keys)
    text = call.parameter("$filter")
    if text is not None:
        rows = rows.filter(as_query(read_filter(text), fields))
    found = rows.order_by(*order_of(call, fields, order)).values_list("pk", flat=True)
    if page.limit is None:
        ids = list(found[: MOST + page.skip])
        total = len(ids) if len(ids) < MOST + page.skip else rows.count()
        ids = ids[page.skip :]
    else:
        total = rows.count()
        ids = list(found[page.skip : page.skip + page.limit])
    return send(call, ids, show, total, chosen)


def order_of(call: Call, fields: Fields, usual: str) -> list[Any]:
    name, direction = call.parameter("sort_by") or usual, call.parameter("sort_order")
    if direction is None:
        direction = "desc" if name in ("created_at", "updated_at") else "asc"
    if direction.lower() not in ("asc", "desc"):
        raise Invalid("enum", ("query", "sort_order"), "Input should be 'asc', 'desc'")
    if name not in fields:
        raise Refusal(f"There is no field “{name[:60]}” to sort by.")
    expression, down = fields[name].expression, direction.lower() == "desc"
    first = expression.desc(nulls_last=True) if down else expression.asc(nulls_last=True)
    return [first, F("pk").desc() if down else F("pk").asc()]


def send(call: Call, ids: Sequence[UUID], show: Show, total: int, chosen: set[str] | None = None) -> HttpResponseBase:
    """The rows as an array: at once where they are few, else piece by piece."""
    pieces = (show(call, ids[start : start + PIECE]) for start in range(0, len(ids), PIECE))
    first = next(pieces, [])  # what is wrong shows before anything is sent
    if len(ids) <= PIECE:
        answer: HttpResponseBase = said([pick(row, chosen) for row in first])
        answer.headers["X-Total-Count"] = str(total)
        return answer
    texts = _array(first, pieces, chosen)
    return StreamingHttpResponse(texts, content_type=JSON, headers={"X-Total-Count": str(total)})


def _array(first: list[Words], rest: Iterator[list[Words]], chosen: set[str] | None) -> Iterator[bytes]:
    begin = b"["
    for piece in chain([first], rest):
        for row in piece:
            yield begin + dumps(pick(row, chosen))
            begin = b","
    yield b"]"


def pick(row: Words, chosen: set[str] | None) -> Words:
    return row if chosen is None else {key: value for key, value in row.items() if key in chosen}


def list_plain(call: Call, rows: list[Words], keys: Sequence[str], *, filtered: Sequence[str]) -> HttpResponseBase:
    """The same for the small lists that are no tables; ``filtered``: the keys that a filter may name."""
    page, chosen = page_of(call), chosen_keys(call, keys)
    text = call.parameter("$filter")
    if text is not None:
        node = read_filter(text)
        rows = [row for row in rows if matches(node, row, filtered)]
    name = call.parameter("sort_by")
    if name is not None:
        if name not in filtered:
            raise Refusal(f"There is no field “{name[:60]}” to sort by.")
        down = (call.parameter("sort_order") or "asc").lower() == "desc"
        rows = sorted(rows, key=lambda row: str(row.get(name) or ""), reverse=down)
    shown = [{key: row[key] for key in keys} for row in page.cut(rows)]
    answer = said([pick(row, chosen) for row in shown])
    answer.headers["X-Total-Count"] = str(len(rows))
    return answer


def in_order(ids: Sequence[UUID], rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows in the order of their ids; what vanished meanwhile is left out."""
    by_id = {row["id"]: row for row in rows}
    return [by_id[pk] for pk in ids if pk in by_id]
