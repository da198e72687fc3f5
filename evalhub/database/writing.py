"""Rows written all day: plain SQL from the model's fields, without asking Django to write it anew each time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Field, Model

from evalhub.database.prepared import numbered, preparing_cursor

#: What goes to PostgreSQL as it is, by the kind of the field.
AS_IT_IS: Final[dict[str, type]] = {
    "BooleanField": bool,
    "CharField": str,
    "FloatField": float,
    "ForeignKey": UUID,
    "PositiveIntegerField": int,
    "PositiveSmallIntegerField": int,
    "TextField": str,
    "UUIDField": UUID,
}

FEW: Final = 10  # ids


class Write(NamedTuple):
    """One statement that changes rows, with its parameters."""

    sql: str
    values: Sequence[Any]


def insert_row(row: Model) -> None:
    """Insert a new instance as ``save()`` would, without signals; its key and its defaults are there already."""
    write(insertion(row))


def update_rows(model: type[Model], ids: Iterable[UUID], changes: Mapping[str, Any]) -> None:
    """Set the same plain values (by attribute name, ``author_id``) on the rows with these ids."""
    write(change(model, ids, changes))


def insertion(row: Model) -> Write:
    """Of the row as it is now; it counts as kept from here on."""
    there = vars(row)
    values = [
        there[name] if column.takes(there[name]) else _sent(column, column.field.pre_save(row, add=True))
        for name, column in _columns_of(type(row)).items()
    ]
    row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS
    return Write(_insertion_into(type(row)), values)


def change(
    model: type[Model], ids: Iterable[UUID], changes: Mapping[str, Any], added: Mapping[str, float] | None = None
) -> Write:
    """``changes`` are set, ``added`` is added to what the rows have."""
    columns = _columns_of(model)
    names = [f'"{columns[name].name}" = %s' for name in changes]
    names += [f'"{columns[name].name}" = "{columns[name].name}" + %s' for name in added or ()]
    values = [_sent(columns[name], value) for name, value in changes.items()]
    wanted = list(ids)
    # PostgreSQL keeps a plan where it sees how many they are, and makes it anew each time for a list.
    few = 0 < len(wanted) <= FEW
    which = f"IN ({', '.join(['%s'] * len(wanted))})" if few else "= ANY(%s)"
    sql = f'UPDATE "{model._meta.db_table}" SET {", ".join(names)} WHERE "id" {which}'  # noqa: S608
    return Write(sql, [*values, *(added or {}).values(), *(wanted if few else [wanted])])


def write(*writes: Write) -> None:
    """All in one statement: a question to PostgreSQL costs more than what most of them do.

    None sees what the others write, and their order is not promised: no two may concern the same row or unique key. In
    fact PostgreSQL makes the main one first and the parts from the last to the first, so locks are taken as they stand.
    """
    first, *others = writes
    others.reverse()
    parts = ", ".join(f"w{n} AS ({one.sql})" for n, one in enumerate(others))
    values = [value for one in (*others, first) for value in one.values]
    with preparing_cursor() as cursor:
        cursor.execute(numbered(f"WITH {parts} {first.sql}" if parts else first.sql), values)


class Column(NamedTuple):
    field: Field[Any, Any]
    name: str
    plain: type | None  # of values that need no preparing; nor does None then

    def takes(self, value: Any) -> bool:
        return type(value) is self.plain or (value is None and self.plain is not None)


@cache
def _columns_of(model: type[Model]) -> dict[str, Column]:
    return {
        field.attname: Column(field, str(field.column), AS_IT_IS.get(field.get_internal_type()))
        for field in model._meta.local_concrete_fields
    }


@cache
def _insertion_into(model: type[Model]) -> str:
    names = [f'"{column.name}"' for column in _columns_of(model).values()]
    return f'INSERT INTO "{model._meta.db_table}" ({", ".join(names)}) VALUES ({", ".join(["%s"] * len(names))})'  # noqa: S608


def _sent(column: Column, value: Any) -> Any:
    """The value as its field would send it; most need no asking."""
    return value if column.takes(value) else column.field.get_db_prep_save(value, connections[DEFAULT_DB_ALIAS])
