"""Many rows at once: COPY, inside the current transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import orjson
from django.db import connection

type Append = Callable[[Sequence[Any]], None]


@contextmanager
def copying(table: str, columns: Sequence[str]) -> Iterator[Append]:
    """Append rows of plain values (JSON columns as text from ``json_text``); the database's constraints hold.

    PostgreSQL takes them in while the next ones are made. Nothing else can be asked of it inside.
    """
    statement = f"COPY {table} ({', '.join(f'"{name}"' for name in columns)}) FROM STDIN"
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
        yield copy.write_row


def copy_rows(table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """All of ``rows``, which may be made one by one; without any there is nothing to ask."""
    waiting = iter(rows)
    first = next(waiting, None)
    if first is None:
        return
    with copying(table, columns) as append:
        for row in chain((first,), waiting):
            append(row)


def array_text(values: Sequence[str]) -> Sequence[str]:
    """For an array column; nothing to look through where it is empty, as most are."""
    return values or "{}"


def json_text(value: Any) -> str:
    if value == {}:  # most of them
        return "{}"
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # integers beyond 64 bits
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
