"""A whole test result with everything in it: a fixed number of queries, read and sent piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from evalhub.compat.gentrace.finding import columns_of, dataset_ids, evaluators_of, golden_id, rows_of
from evalhub.compat.gentrace.words import (
    Around,
    Row,
    Speech,
    as_evaluator,
    as_pipeline,
    as_test_result,
    as_test_run,
    checked_id,
    wire_id,
)
from evalhub.web.json import dumps
from results.models import Evaluation, Feedback, Step, TestResult
from runs.models import Evaluator, Project, TestRun, TestSetCase

PIECE = 64 * 1024  # bytes
FETCHED = 1000  # rows at a time

Place = tuple[int, UUID]  # of a result in its run


def expanded(run: TestRun, say: Speech) -> Iterator[bytes]:
    """The JSON text of ExpandedTestResult."""
    with transaction.atomic():  # cursors live in a transaction
        waiting = b""
        for piece in _pieces(run, say):
            waiting += piece
            if len(waiting) >= PIECE:
                yield waiting
                waiting = b""
    yield waiting


def _pieces(run: TestRun, say: Speech) -> Iterator[bytes]:
    (run_row,) = rows_of(TestRun.objects.filter(pk=run.pk))
    (project,) = rows_of(Project.objects.filter(pk=run.project_id))
    golden = golden_id(run.project)
    pipeline_id = checked_id(project)
    pipeline = as_pipeline(project, say, {run.project_id: golden})
    pipeline["evaluators"] = [as_evaluator(row, say, pipeline_id) for row in evaluators_of(run.project, run=run)]
    around = Around(
        run_id=wire_id(run_row),
        pipeline_id=pipeline_id,
        organization_id=str(run.organization_id),
        golden_id=golden,
        dataset_ids=dataset_ids(TestSetCase.objects.filter(case__results__run=run)),
    )
    yield dumps({**as_test_result(run_row, say, pipeline_id), "pipeline": pipeline})[:-1] + b',"runs":['
    comma = b""
    for words in _test_runs(run, say, around):
        yield comma + dumps(words)
        comma = b","
    yield b"]}"


def _test_runs(run: TestRun, say: Speech, around: Around) -> Iterator[dict[str, Any]]:
    results = TestResult.objects.filter(run=run, deleted_at__isnull=True).order_by("position", "id")
    steps = Step.objects.filter(result__run=run, result__deleted_at__isnull=True).order_by("position", "id")
    evaluations = shown_evaluations(run, say)
    feedback = dict(
        Feedback.objects.filter(result__run=run).order_by("recorded_at", "id").values_list("result_id", "score")
    )
    steps_of, evaluations_of = ByResult(steps), ByResult(evaluations)
    for result in columns_of(results).iterator(FETCHED):
        place = (result["position"], result["id"])
        yield as_test_run(
            result, say, around, steps_of.take(place), evaluations_of.take(place), feedback.get(result["id"])
        )


class ByResult:
    """Rows of one run, fetched in the order of their results and handed out result by result."""

    def __init__(self, rows: QuerySet[Any]) -> None:
        ordered = columns_of(rows, "result__position").order_by("result__position", "result_id", *rows.query.order_by)
        self.groups = groupby(ordered.iterator(FETCHED), key=place_of)
        self._next()

    def take(self, place: Place) -> list[Row]:
        while self.place is not None and self.place < place:  # of a result that came or went meanwhile
            self._next()
        if self.place != place:
            return []
        found = self.rows
        self._next()
        return found

    def _next(self) -> None:
        self.place, self.rows = None, []
        for place, rows in self.groups:
            self.place, self.rows = place, list(rows)
            break


def place_of(row: Row) -> Place:
    return row["result__position"], row["result_id"]


def shown_evaluations(run: TestRun, say: Speech) -> QuerySet[Evaluation]:
    """The judgements that a version of the API shows: v1 and v2 only those of the pipeline's own evaluators."""
    found = Evaluation.objects.filter(
        run=run, result__deleted_at__isnull=True, withdrawn_at__isnull=True, evaluator__isnull=False
    )
    if say.version < 3:
        found = found.filter(evaluator__origin=Evaluator.Origin.OWN)
    return found.order_by("created_at", "id")
