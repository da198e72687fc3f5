"""Rows of runs for lists: values only, and what belongs to them in one query each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, OuterRef, QuerySet

from evalhub.database.prepared import Prepared
from evalhub.web.paging import Page, read_page
from runs.filters import RunFilter
from runs.models import TestRun

SPARK_RUNS: Final = 10

FIELDS: Final = (
    "id",
    "external_id",
    "number",
    "name",
    "status",
    "via",
    "project_id",
    "project__name",
    "configuration_id",
    "configuration__name",
    "configuration__endpoint__name",
    "configuration__test_set__name",
    "branch",
    "commit",
    "model",
    "tags",
    "created_by_id",
    "created_by__name",
    "created_by__email",
    "created_at",
    "started_at",
    "finished_at",
    "archived_at",
    "planned_count",
    "result_count",
    "case_count",
    "passed",
    "failed",
    "errors",
    "unjudged",
    "machine_passed",
    "machine_failed",
    "reviews_required",
    "reviews_done",
    "reviewed",
    "corrected",
    "conflicts",
    "pass_rate",
    "pass_low",
    "pass_high",
)


def read_runs(
    found: RunFilter, *, cursor: str | None = None, size: int = 50, fields: Sequence[str] = FIELDS
) -> Page[dict[str, Any]]:
    """A page of the list that the filter describes, in its order."""
    order = found.order
    page = read_page(found.qs.values(*(column.path for column in order.columns)), order, cursor, size)
    ids = [row["id"] for row in page.rows]
    whole = _whole(tuple(fields))(found.actor.organization.pk, ids) if ids and found.actor else []
    return page.with_rows("id", whole)


@cache
def _whole(fields: tuple[str, ...]) -> Prepared[dict[str, Any]]:
    """Rows that a filter has found: what lists show of them is much to write in SQL, and always the same."""

    def build(organization: UUID, ids: list[UUID]) -> QuerySet[TestRun, dict[str, Any]]:
        return TestRun.objects.visible_in(organization).filter(pk__among=ids).values(*dict.fromkeys(("id", *fields)))

    return Prepared(build, UUID, list)


def rates_until(run_ids: Sequence[UUID]) -> dict[UUID, list[float]]:
    """run -> the pass rates of its project's last runs, oldest first, its own at the end."""
    if not run_ids:
        return {}
    earlier = (
        TestRun.objects.listed()
        .current()
        .filter(project=OuterRef("project_id"), created_at__lte=OuterRef("created_at"), pass_rate__isnull=False)
        .order_by("-created_at", "-id")
        .values("pass_rate")[:SPARK_RUNS]
    )
    rows = (
        TestRun.objects.filter(pk__in=list(run_ids)).annotate(rates=ArraySubquery(earlier)).values_list("pk", "rates")
    )
    return {pk: rates[::-1] for pk, rates in rows}


def count_by_status(found: RunFilter) -> dict[str, int]:
    """How many runs each status would show, whatever status the filter names; ``all`` and ``active`` are sums."""
    rest = found.data.copy()
    for name in ("status", "sort"):
        rest.pop(name, None)
    others = RunFilter(rest, found.queryset, actor=found.actor)
    others.named = dict(found.named)  # looked up already
    counts = dict(others.qs.order_by().values_list("status").annotate(n=Count("pk")).values_list("status", "n"))
    counts["active"] = sum(counts.get(status, 0) for status in TestRun.ACTIVE)
    counts["all"] = sum(number for status, number in counts.items() if status != "active")
    return counts
