"""Queries that are asked all day: Django writes their SQL once per process, afterwards only the parameters differ.

Writing the SQL of a wide query takes Django several times as long as PostgreSQL needs to answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import QuerySet


class Prepared[R]:
    """
    STEPS = Prepared(lambda result: Step.objects.filter(result=result).values("name"), UUID)
    STEPS(result_id)  # [{"name": ...}, ...]

    ``build`` may do nothing with its arguments but hand them to lookups that keep them as they are; ``kinds`` are their
    types, UUID or str. The rows are those of the queryset: dicts of ``.values()``, else instances. A query that locks
    is asked inside a transaction.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, R]], *kinds: type) -> None:
        self.build, self.kinds = build, kinds
        self.sql: str | None = None

    def __call__(self, *values: Any) -> list[R]:
        if self.sql is None:
            self._write()
        assert self.sql is not None
        with connection.cursor() as cursor:
            cursor.execute(self.sql, [values[at] if at is not None else fixed for at, fixed in self.slots])
            rows: Any = cursor.fetchall()
        if self.converters:
            rows = self.compiler.apply_converters(rows, self.converters)
        return [self.as_row(row) for row in rows]

    def _write(self) -> None:
        """Build the query with values that nobody has, and see where they end up."""
        samples = [kind(uuid4()) if kind is str else uuid4() for kind in self.kinds]
        queryset = self.build(*samples)
        query = queryset.query
        self.compiler = query.get_compiler(connection=connection)
        sql, params = self.compiler.as_sql()
        self.slots = [(samples.index(value) if value in samples else None, value) for value in params]
        missing = set(range(len(samples))) - {at for at, _ in self.slots}
        assert not missing, f"parameters {missing} do not reach the SQL as they are"
        self.converters = self.compiler.get_converters([column for column, _, _ in self.compiler.select])
        if query.values_select or query.annotation_select:
            self.as_row = as_dict(list(query.selected or [*query.values_select, *query.annotation_select]))
        else:
            names = [column.target.attname for column, _, _ in self.compiler.select]
            self.as_row = lambda row: queryset.model.from_db(DEFAULT_DB_ALIAS, names, row)
        self.sql = sql


def as_dict(names: Sequence[str]) -> Callable[[Any], Any]:
    return lambda row: dict(zip(names, row, strict=True))
