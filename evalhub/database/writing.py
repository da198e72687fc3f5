"""Rows written all day: plain SQL from the model's fields, without asking Django to write it anew each time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Model

from evalhub.database.prepared import preparing_cursor


def insert_row(row: Model) -> None:
    """Insert a new instance as ``save()`` would, without signals; its key and its defaults are there already."""
    fields = row._meta.local_concrete_fields
    values = [field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in fields]
    columns = ", ".join(f'"{field.column}"' for field in fields)
    places = ", ".join(["%s"] * len(fields))
    with preparing_cursor() as cursor:
        cursor.execute(f'INSERT INTO "{row._meta.db_table}" ({columns}) VALUES ({places})', values)  # noqa: S608
    row._state.adding, row._state.db = False, connection.alias


def update_rows(model: type[Model], ids: Iterable[UUID], changes: Mapping[str, Any]) -> None:
    """Set the same plain values (by attribute name, ``author_id``) on the rows with these ids."""
    fields = {field.attname: field for field in model._meta.local_concrete_fields}
    columns = ", ".join(f'"{fields[name].column}" = %s' for name in changes)
    values = [fields[name].get_db_prep_save(value, connection) for name, value in changes.items()]
    with preparing_cursor() as cursor:
        cursor.execute(f'UPDATE "{model._meta.db_table}" SET {columns} WHERE "id" = ANY(%s)', [*values, list(ids)])  # noqa: S608
