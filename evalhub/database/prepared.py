"""Queries that are asked all day: Django writes their SQL once per process, PostgreSQL plans it once per connection.

Writing the SQL of a wide query takes Django several times as long as PostgreSQL needs to answer it, and reading and
planning it takes PostgreSQL as long as finding the rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import count
from typing import Any
from uuid import uuid4

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import FETCH_ONE, Model, QuerySet
from django.db.models.base import ModelState
from django.db.models.query import get_related_populators
from psycopg import RawCursor


class Prepared[R]:
    """
    STEPS = Prepared(lambda result: Step.objects.filter(result=result).values("name"), UUID)
    STEPS(result_id)  # [{"name": ...}, ...]

    ``build`` may do nothing with its arguments but hand them to lookups that keep them as they are; ``kinds`` are their
    types: UUID, str, or list for what ``among`` is asked. The rows are those of the queryset: dicts of ``.values()``,
    else instances. A query that locks is asked inside a transaction.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, R]], *kinds: type) -> None:
        self.build, self.kinds = build, kinds
        self.sql: str | None = None

    def __call__(self, *values: Any) -> list[R]:
        if self.sql is None:
            self._write()
        assert self.sql is not None
        with preparing_cursor() as cursor:
            cursor.execute(self.sql, [values[at] if at is not None else fixed for at, fixed in self.slots])
            rows: Any = cursor.fetchall()
        if self.converters:
            rows = self.compiler.apply_converters(rows, self.converters)
        return [self.as_row(row) for row in rows]

    def _write(self) -> None:
        """Build the query with values that nobody has, and see where they end up."""
        samples = [sample_of(kind) for kind in self.kinds]
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
            self.as_row = as_instance(self.compiler)
        self.sql = numbered(sql)


def as_dict(names: Sequence[str]) -> Callable[[Any], Any]:
    return lambda row: dict(zip(names, row, strict=True))


def as_instance(compiler: Any) -> Callable[[Any], Any]:
    """As a queryset makes them, with what ``select_related`` names."""
    select, model = compiler.select, compiler.klass_info["model"]
    first, last = compiler.klass_info["select_fields"][0], compiler.klass_info["select_fields"][-1] + 1
    names = [column.target.attname for column, _, _ in select[first:last]]
    related = get_related_populators(compiler.klass_info, select, DEFAULT_DB_ALIAS, FETCH_ONE)

    def made(row: Any) -> Any:
        instance = instance_of(model, zip(names, row[first:last], strict=True))
        for populator in related:
            populator.populate(row, instance)
        return instance

    return made


def instance_of[M: Model](model: type[M], values: Iterable[tuple[str, Any]]) -> M:
    """``model.from_db()`` without the way through ``__init__``, which takes longer than the query; no signals."""
    instance = model.__new__(model)
    instance._state = ModelState()
    instance._state.adding, instance._state.db = False, DEFAULT_DB_ALIAS
    instance.__dict__.update(values)
    return instance


def preparing_cursor() -> Any:
    """As ``connection.cursor()``, for ``numbered`` SQL: parameters travel beside it, and its plan is kept."""
    database: Any = connections[DEFAULT_DB_ALIAS]
    database.ensure_connection()
    with database.wrap_database_errors:
        return database._prepare_cursor(RawCursor(database.connection))  # what connection.cursor() does


@lru_cache(maxsize=1000)
def numbered(sql: str) -> str:
    """Django's SQL with parameters as PostgreSQL names them: psycopg need not read it again each time."""
    number = count(1)
    return re.sub("%[s%]", lambda found: f"${next(number)}" if found[0] == "%s" else "%", sql)


def sample_of(kind: type) -> Any:
    sample = uuid4()
    return str(sample) if kind is str else [sample] if kind is list else sample
