"""Many rows at once: COPY, inside the current transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from django.db import connection


def copy_rows(table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Append rows of plain values (JSON columns as text from ``json_text``); the database's constraints hold."""
    rows = list(rows)
    if not rows:
        return
    statement = f"COPY {table} ({', '.join(f'"{name}"' for name in columns)}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def json_text(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # integers beyond 64 bits
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
