"""Rows written all day: plain SQL from the model's fields, without asking Django to write it anew each time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Field, Model

from evalhub.database.prepared import preparing_cursor

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


def insert_row(row: Model) -> None:
    """Insert a new instance as ``save()`` would, without signals; its key and its defaults are there already."""
    values = [_sent(column, column.field.pre_save(row, add=True)) for column in _columns_of(type(row)).values()]
    with preparing_cursor() as cursor:
        cursor.execute(_insertion_into(type(row)), values)
    row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


def update_rows(model: type[Model], ids: Iterable[UUID], changes: Mapping[str, Any]) -> None:
    """Set the same plain values (by attribute name, ``author_id``) on the rows with these ids."""
    columns = _columns_of(model)
    names = ", ".join(f'"{columns[name].name}" = %s' for name in changes)
    values = [_sent(columns[name], value) for name, value in changes.items()]
    wanted = list(ids)
    # PostgreSQL keeps its plan for one id, and makes it anew each time for a list, which may be long.
    which, named = ("= %s", wanted[0]) if len(wanted) == 1 else ("= ANY(%s)", wanted)
    with preparing_cursor() as cursor:
        cursor.execute(f'UPDATE "{model._meta.db_table}" SET {names} WHERE "id" {which}', [*values, named])  # noqa: S608


class Column(NamedTuple):
    field: Field[Any, Any]
    name: str
    plain: type | None


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
    if (value is None and column.plain) or type(value) is column.plain:
        return value
    return column.field.get_db_prep_save(value, connections[DEFAULT_DB_ALIAS])
