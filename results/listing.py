"""Rows of results for lists: values only, the heavy columns never, what belongs to the rows in one query each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Left

from evalhub.database.prepared import Prepared
from evalhub.web.paging import Order, Page, read_page
from results.filters import ResultFilter, judged_by
from results.models import Evaluation, ReviewAssignment, TestResult

SHOWN: Final = 58  # characters of a preview, what a cell shows on a wide screen
ORDERS: Final = {
    "outcome": ("outcome", "position"),
    "position": ("position",),
    "latency": ("latency_ms",),
    "created": ("created_at",),
}

#: What a list shows, in the order of the model; ``input_start`` and ``output_start`` join them.
FIELDS: Final = (
    "id",
    "external_id",
    "run_id",
    "case_id",
    "case__number",
    "variant_id",
    "variant__label",
    "repetition",
    "position",
    "name",
    "machine_outcome",
    "outcome",
    "human_verdict",
    "review_state",
    "reviews_required",
    "reviews_done",
    "review_count",
    "corrected",
    "error_code",
    "latency_ms",
    "cost",
    "tokens",
    "tags",
    "created_at",
)


def read_results(
    found: ResultFilter,
    *,
    cursor: str | None = None,
    size: int = 50,
    fields: Sequence[str] = FIELDS,
    preview: int = SHOWN,
) -> Page[dict[str, Any]]:
    """A page of the list that the filter describes, in its order."""
    if found.sorts_by_score:
        return _by_score(found, cursor, size, fields, preview)
    sort = found.sorted_by if found.sorted_by.lstrip("-") in ORDERS else "position"
    sign = "-" if sort.startswith("-") else ""
    order = Order(*(f"{sign}{column}" for column in ORDERS[sort.lstrip("-")]))
    needed = {column.path for column in order.columns}
    if found.follows_an_index:
        return read_page(_rows(found.qs, {*fields, *needed}, preview), order, cursor, size)
    # What has to be sorted is sorted without what the page shows; only the page's rows are then fetched whole.
    return _fetch(found, read_page(found.qs.values(*needed), order, cursor, size), "id", fields, preview)


def _by_score(
    found: ResultFilter, cursor: str | None, size: int, fields: Sequence[str], preview: int
) -> Page[dict[str, Any]]:
    """Walks the index of the evaluator's judgements, then fetches the page's rows."""
    sign = "-" if found.sorted_by.startswith("-") else ""
    order = Order(f"{sign}value", tie="result_id")
    page = read_page(judgements_to_walk(found).values("value", "result_id"), order, cursor, size)
    return _fetch(found, page, "result_id", fields, preview)


def judgements_to_walk(found: ResultFilter) -> QuerySet[Evaluation]:
    """The judgements that a list sorted by score is made of; they repeat run and outcome, so one index knows them."""
    evaluations = judged_by(found.evaluators).filter(found.judgements, run_id=found.run_id)
    outcomes = found.values.get("outcome", ())
    if outcomes:
        evaluations = evaluations.filter(outcome__in=outcomes)
    if found.narrows:
        evaluations = evaluations.filter(result__in=found.without_judgements.order_by().values("pk"))
    else:
        evaluations = evaluations.filter(result__deleted_at__isnull=True, result__archived_at__isnull=True)
        if not found.sorted_by.startswith("-"):  # no index has this order: all of the run is looked up, at once
            evaluations = evaluations.filter(result__run=found.run_id)
    return evaluations


def _fetch(
    found: ResultFilter, page: Page[dict[str, Any]], key: str, fields: Sequence[str], preview: int
) -> Page[dict[str, Any]]:
    """The page's rows whole, in its order; the filters have been applied, here the actor's own rows are looked up."""
    ids = [row[key] for row in page.rows]
    whole = _whole(tuple(fields), preview)(found.actor.organization.pk, ids) if ids and found.actor else []
    return page.with_rows(key, whole)


@cache
def _whole(fields: tuple[str, ...], preview: int) -> Prepared[dict[str, Any]]:
    def build(organization: UUID, ids: list[UUID]) -> QuerySet[TestResult, dict[str, Any]]:
        results = TestResult.objects.visible_in(organization).filter(pk__among=ids)
        return _rows(results, dict.fromkeys(("id", *fields)), preview)

    return Prepared(build, UUID, list)


def _rows(results: QuerySet[TestResult], fields: Iterable[str], preview: int) -> QuerySet[TestResult, dict[str, Any]]:
    """The rows as dicts; previews are cut by PostgreSQL."""
    return results.values(
        *fields, input_start=Left("input_preview", preview), output_start=Left("output_preview", preview)
    )


def judgements_of(result_ids: Sequence[UUID]) -> dict[UUID, dict[UUID, dict[str, Any]]]:
    """result -> evaluator -> what the machine said (state, value, label, passed) and what counts now (effective)."""
    found: dict[UUID, dict[UUID, dict[str, Any]]] = defaultdict(dict)
    if not result_ids:
        return found
    for row in _JUDGEMENTS(list(result_ids)):
        found[row["result_id"]][row["evaluator_id"]] = dict(row)
    return found


_JUDGEMENTS: Final = Prepared(
    lambda result_ids: whole_judgements(result_ids).values(
        "result_id", "evaluator_id", "state", "value", "label", "passed", "effective"
    ),
    list,
)


def whole_judgements(result_ids: list[UUID]) -> QuerySet[Evaluation]:
    """What machines say now of the whole results."""
    return Evaluation.objects.filter(
        result_id__among=result_ids, source=Evaluation.Source.MACHINE, is_current=True, turn__isnull=True
    )


def reviewers_of(result_ids: Sequence[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """result -> the people asked and still to be counted, each once: id, name, state."""
    found: dict[UUID, dict[UUID, dict[str, Any]]] = defaultdict(dict)
    if not result_ids:
        return {}
    for row in _ASKED(list(result_ids)):
        name = row["reviewer__name"] or row["reviewer__email"]
        found[row["result_id"]].setdefault(
            row["reviewer_id"], {"id": row["reviewer_id"], "name": name, "state": row["state"]}
        )
    return {result_id: list(people.values()) for result_id, people in found.items()}


_ASKED: Final = Prepared(
    lambda result_ids: (
        ReviewAssignment.objects.live()
        .filter(result_id__among=result_ids, reviewer__isnull=False)
        .order_by("slot", "id")
        .values("result_id", "reviewer_id", "reviewer__name", "reviewer__email", "state")
    ),
    list,
)
