"""Tells how far an import is while its transaction is open: written on a connection of its own."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from evalhub.importers.storing import Progress
from runs.models import Import

EVERY = 0.5  # seconds


class LiveProgress:
    """Called with (done, total)."""

    def __init__(self, entry: Import, also: Progress | None = None) -> None:
        self.entry, self.also = entry, also
        self.second: Any = None
        self.said = 0.0

    def __enter__(self) -> LiveProgress:
        self.second = connections.create_connection(DEFAULT_DB_ALIAS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.second.close()

    def __call__(self, done: int, total: int | None) -> None:
        self.entry.done, self.entry.total = done, total
        if self.also:
            self.also(done, total)
        if time.monotonic() - self.said >= EVERY:
            self.said = time.monotonic()
            with self.second.cursor() as cursor:
                table = Import._meta.db_table
                cursor.execute(
                    f"UPDATE {table} SET done = %s, total = %s WHERE id = %s",  # noqa: S608
                    [done, total, self.entry.pk],
                )

    def finish(self) -> None:
        """The last word is the import's own, in its transaction."""
        self.entry.total = self.entry.done
