"""Rows as a file to take home: CSV for spreadsheets, JSON Lines for programs; written while it is read."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from django.http import HttpResponseBase, StreamingHttpResponse

from evalhub.web.json import dumps

FORMATS: Final = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


class _Echo:
    def write(self, line: str) -> str:
        return line


def download(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, name: str, kind: str = "csv"
) -> HttpResponseBase:
    """The rows' columns as an attachment; unknown kinds are CSV."""
    kind = kind if kind in FORMATS else "csv"
    lines = csv_lines(rows, columns) if kind == "csv" else json_lines(rows, columns)
    return StreamingHttpResponse(
        lines,
        content_type=FORMATS[kind],
        headers={"Content-Disposition": f'attachment; filename="{name}.{kind}"', "Cache-Control": "no-store"},
    )


def csv_lines(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield "\ufeff" + writer.writerow(columns)  # the mark tells spreadsheets that it is UTF-8
    for row in rows:
        yield writer.writerow([cell(row.get(column)) for column in columns])


def json_lines(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Iterator[bytes]:
    for row in rows:
        yield dumps({column: row.get(column) for column in columns}) + b"\n"


def cell(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    text = (
        value if isinstance(value, str) else str(value) if not isinstance(value, dict | list) else dumps(value).decode()
    )
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
