"""Pages of a list by keyset: the cursor says after which row to go on, so a late page costs what the first does.

    order = Order("-started_at")                     # by id where that is equal, in the same direction
    page = read_page(runs.values(...), order, request.GET.get("cursor"), size=50)
    page.rows, page.next, page.previous, page.first, page.last

The index of such a list names the same columns, with NULLS LAST for those that may be null, and the id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import FieldDoesNotExist
from django.core.signing import BadSignature, Signer
from django.db.models import BooleanField, F, Field, Func, Model, Q, QuerySet, Value
from django.db.models.constants import LOOKUP_SEP

from evalhub.web.errors import Refused

EXACT_UP_TO: Final = 10_000
LONGEST_CURSOR: Final = 4_000


class BadCursor(Refused):
    """The cursor was not made by us for this list and this order."""

    def __init__(self) -> None:
        super().__init__("This link to a page of the list is damaged or of another sort order. Open the list anew.")


@dataclass(frozen=True, slots=True)
class Column:
    path: str
    descending: bool
    nullable: bool | None = None  # None: as the model says; annotations count as nullable


class Order:
    """A sort order that is complete: its last column is the id, so no two rows are equal."""

    def __init__(self, *names: str, nullable: Mapping[str, bool] | None = None, tie: str = "id") -> None:
        known = nullable or {}
        columns = [Column(name.lstrip("-"), name.startswith("-"), known.get(name.lstrip("-"))) for name in names]
        if tie not in (column.path for column in columns):
            columns.append(Column(tie, columns[0].descending if columns else True, False))
        self.columns: tuple[Column, ...] = tuple(columns)

    def __str__(self) -> str:
        return ",".join(("-" if column.descending else "") + column.path for column in self.columns)

    def clauses(self, *, backwards: bool = False) -> list[Any]:
        """Nulls come last, whatever the direction; read backwards they come first."""
        found = []
        for column in self.columns:
            descending = column.descending != backwards
            nulls: dict[str, bool] = {"nulls_first": True} if backwards else {"nulls_last": True}
            if column.nullable is False:
                nulls = {}  # an index without NULLS LAST serves these
            expression = F(column.path)
            found.append(expression.desc(**nulls) if descending else expression.asc(**nulls))
        return found


@dataclass(frozen=True, slots=True)
class Page[T]:
    rows: list[T]
    next: str | None = None
    previous: str | None = None
    first: int = 0  # the place of the first row in the list, from 1; an estimate after rows came or went
    size: int = 50

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1 if self.rows else 0

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def with_rows(self, key: str, found: Iterable[dict[str, Any]]) -> Page[dict[str, Any]]:
        """The page with the rows that its own name under ``key``, in its order; what went meanwhile is left out."""
        whole = {row["id"]: row for row in found}
        keys: Any = self
        return replace(keys, rows=[whole[row[key]] for row in keys if row[key] in whole])


@dataclass(frozen=True, slots=True)
class Position:
    """What a cursor says: the row to go on from, the direction, and how many rows lie before the page."""

    values: tuple[Any, ...]
    backwards: bool
    before: int


def read_page[T: (Any)](
    queryset: QuerySet[Any, Any], order: Order, cursor: str | None = None, size: int = 50
) -> Page[Any]:
    """The page at the cursor, or the first one. ``.values()`` must name the order's columns."""
    columns = tuple(resolved(queryset, order))
    order = copy_of(order, columns)
    if not cursor:
        rows = list(queryset.order_by(*order.clauses())[: size + 1])
        return page_of(rows[:size], order, size, before=0, more_after=len(rows) > size, more_before=False)
    position = decode(cursor, order)
    backwards = position.backwards
    rows = []
    for region in regions(columns, position.values, backwards):
        rows += queryset.filter(region).order_by(*order.clauses(backwards=backwards))[: size + 1 - len(rows)]
        if len(rows) > size:
            break
    more = len(rows) > size
    rows = rows[:size]
    if backwards:
        rows.reverse()
        before = max(position.before - len(rows), 0) if more else 0
        return page_of(rows, order, size, before=before, more_after=True, more_before=more)
    return page_of(rows, order, size, before=position.before, more_after=more, more_before=True)


def page_of(rows: list[Any], order: Order, size: int, *, before: int, more_after: bool, more_before: bool) -> Page[Any]:
    following = previous = None
    if rows and more_after:
        following = encode(Position(values_of(rows[-1], order), False, before + len(rows)), order)
    if rows and more_before:
        previous = encode(Position(values_of(rows[0], order), True, before), order)
    return Page(rows, following, previous, before + 1 if rows else 0, size)


# --- where to go on ---------------------------------------------------------------------------------------------------


class Row(Func):
    template = "(%(expressions)s)"
    output_field: Field[Any, Any] = BooleanField()


class Before(Func):
    template = "%(expressions)s"
    arg_joiner = " < "
    output_field: Field[Any, Any] = BooleanField()


class After(Before):
    arg_joiner = " > "


def regions(columns: Sequence[Column], values: Sequence[Any], backwards: bool) -> Iterable[Q | Func]:
    """The rows behind the position, as conditions to be read one after the other.

    Where all columns run the same way and only the first may be null, each condition is one row comparison, which an
    index can start from; the nulls, being last, are a region of their own.
    """
    first, rest = columns[0], columns[1:]
    straight = all(column.descending == first.descending for column in rest)
    if not straight or any(column.nullable for column in rest):
        return [step_by_step(columns, values, backwards)]
    if not first.nullable:
        return [row_comparison(columns, values, backwards)]
    is_null = Q((f"{first.path}__isnull", True))
    if values[0] is None:
        inside = Q(row_comparison(rest, values[1:], backwards)) & is_null
        return [inside, ~is_null] if backwards else [inside]
    inside = Q(row_comparison(columns, values, backwards))
    return [inside] if backwards else [inside, is_null]


def row_comparison(columns: Sequence[Column], values: Sequence[Any], backwards: bool) -> Func:
    compare = Before if columns[0].descending != backwards else After
    sides = Row(*(F(column.path) for column in columns)), Row(*(Value(value) for value in values))
    return compare(*sides)


def step_by_step(columns: Sequence[Column], values: Sequence[Any], backwards: bool) -> Q:
    """Behind in the first column, or equal there and behind in the second, and so on."""
    steps, equal = [], Q()
    for column, value in zip(columns, values, strict=True):
        steps.append(equal & behind(column, value, backwards))
        equal &= Q((f"{column.path}__isnull", True)) if value is None else Q((column.path, value))
    return reduce(or_, steps)


def behind(column: Column, value: Any, backwards: bool) -> Q:
    if value is None:
        # Nothing comes after the nulls; before them, everything else does.
        return Q((f"{column.path}__isnull", False)) if backwards else Q(pk__in=[])
    lookup = "lt" if column.descending != backwards else "gt"
    step = Q((f"{column.path}__{lookup}", value))
    if column.nullable and not backwards:
        step |= Q((f"{column.path}__isnull", True))
    return step


def resolved(queryset: QuerySet[Any, Any], order: Order) -> Iterable[Column]:
    for column in order.columns:
        nullable = may_be_null(queryset.model, column.path) if column.nullable is None else column.nullable
        yield Column(column.path, column.descending, nullable)


def may_be_null(model: type[Model], path: str) -> bool:
    nullable = False
    for name in path.split(LOOKUP_SEP):
        try:
            found = model._meta.pk if name == "pk" else model._meta.get_field(name)
        except FieldDoesNotExist:
            return True  # an annotation, or a foreign key's column
        nullable |= bool(getattr(found, "null", True))
        if getattr(found, "related_model", None):
            model = found.related_model  # type: ignore[assignment]
    return nullable


def copy_of(order: Order, columns: tuple[Column, ...]) -> Order:
    copy = Order.__new__(Order)
    copy.columns = columns
    return copy


def values_of(row: Any, order: Order) -> tuple[Any, ...]:
    if isinstance(row, Mapping):
        return tuple(row[column.path] for column in order.columns)
    return tuple(reduce(getattr, column.path.split(LOOKUP_SEP), row) for column in order.columns)


# --- cursors ----------------------------------------------------------------------------------------------------------


def signer(order: Order) -> Signer:
    return Signer(salt=f"evalhub.web.paging:{order}", sep="~")


def encode(position: Position, order: Order) -> str:
    payload = [int(position.backwards), position.before, *map(packed, position.values)]
    return signer(order).sign_object(payload)


def decode(cursor: str, order: Order) -> Position:
    if len(cursor) > LONGEST_CURSOR or not cursor.isascii():
        raise BadCursor
    try:
        backwards, before, *values = signer(order).unsign_object(cursor)
    except (BadSignature, ValueError, TypeError):
        raise BadCursor from None
    return Position(tuple(map(unpacked, values)), bool(backwards), int(before))


def packed(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"t": value.isoformat()}
    if isinstance(value, date):
        return {"d": value.isoformat()}
    if isinstance(value, timedelta):
        return {"s": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, UUID):
        return {"u": str(value)}
    if isinstance(value, Decimal):
        return {"n": str(value)}
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"a list cannot be sorted by a {type(value).__name__}")


def unpacked(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    [(kind, text)] = value.items()
    if kind == "s":
        days, seconds, microseconds = text
        return timedelta(days, seconds, microseconds)
    return UNPACK[kind](text)


UNPACK: Final[dict[str, Callable[[str], Any]]] = {
    "t": datetime.fromisoformat,
    "d": date.fromisoformat,
    "u": UUID,
    "n": Decimal,
}


# --- how many ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows there are, or about how many."""

    value: int
    exact: bool = field(default=True)

    def __int__(self) -> int:
        return self.value

    def __bool__(self) -> bool:
        return self.value > 0


def count_rows(queryset: QuerySet[Any, Any], up_to: int = EXACT_UP_TO, order: Sequence[str] = ()) -> Count:
    """Counted up to a limit; beyond it what PostgreSQL's planner expects, so that no list waits for its count.

    ``order``: the list's, where others' rows lie between its own and an index in that order leads to them.
    """
    found = queryset.order_by(*order)[: up_to + 1].count()
    if found <= up_to:
        return Count(found)
    return Count(max(int(estimate_rows(queryset)), found), exact=False)


def estimate_rows(queryset: QuerySet[Any, Any]) -> Count:
    """What PostgreSQL's planner expects."""
    [plan] = json.loads(queryset.order_by().explain(format="json"))
    return Count(int(plan["Plan"]["Plan Rows"]), exact=False)
