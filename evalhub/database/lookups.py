"""Lookups and expressions that Django lacks."""

from __future__ import annotations

from typing import Any

from django.db.models import (
    BooleanField,
    Count,
    Expression,
    Field,
    ForeignObject,
    Func,
    IntegerField,
    Lookup,
    Model,
    OuterRef,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Coalesce


@ForeignObject.register_lookup
@Field.register_lookup
class Among(Lookup):
    """``pk__among=ids``: any of a list. Unlike ``in`` it is one parameter, so the SQL is the same for every length."""

    lookup_name = "among"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, params = self.process_lhs(compiler, connection)
        return f"{left} = ANY(%s)", (*params, self.rhs)


class ILike(Func):
    """A pattern without case, as the trigram indexes know it (Django's icontains compares UPPER(column) instead)."""

    template = "%(expressions)s"
    arg_joiner = " ILIKE "
    output_field: Field[Any, Any] = BooleanField()


def contains(column: str | Expression, text: str) -> ILike:
    """Whether the column holds the text, whatever its case; no sign in it is a wildcard."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return ILike(column, Value(f"%{escaped}%"))


def count_of(rows: QuerySet[Any, Any], by: str) -> Coalesce:
    """How many of ``rows`` point at the outer row by that column; one subquery, however many rows are shown."""
    counted = rows.filter(**{by: OuterRef("pk")}).order_by().values(by).annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


def looked_up(row: Model) -> QuerySet[Any, Any]:
    """The row's key, to be found by the database only when it runs the query: ``filter(run=looked_up(run))``.

    Of a key that its statistics do not know yet the planner thinks that nothing has it: it takes any index that begins
    with the key, and so reads everything of a run that is just coming in, batch after batch.
    """
    return type(row)._default_manager.filter(pk=row.pk).values("pk")[:1]
