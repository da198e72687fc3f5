"""A whole test result with everything in it, in a fixed number of queries, sent piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from evalhub.compat.gentrace.finding import dataset_ids, evaluators_of, golden_ids, rows_of
from evalhub.compat.gentrace.words import (
    COLUMNS,
    Around,
    Row,
    Speech,
    as_evaluator,
    as_pipeline,
    as_test_case,
    as_test_result,
    as_test_run,
    wire_id,
)
from evalhub.web.json import dumps
from results.models import Evaluation, Feedback, Step, TestResult
from runs.models import Case, Evaluator, Project, TestRun


def expanded(run: TestRun, say: Speech) -> Iterator[bytes]:
    """The JSON text of ExpandedTestResult."""
    (run_row,) = rows_of(TestRun.objects.filter(pk=run.pk))
    (project,) = rows_of(Project.objects.filter(pk=run.project_id))
    pipeline_id = wire_id(project)
    pipeline = as_pipeline(project, say, golden_ids([run.project_id]))
    pipeline["evaluators"] = [as_evaluator(row, say, pipeline_id) for row in evaluators_of(run.project)]
    around = Around(wire_id(run_row), pipeline_id, str(run.organization_id))
    head = dumps({**as_test_result(run_row, say, pipeline_id), "pipeline": pipeline})
    yield head[:-1] + b',"runs":['
    pieces = _test_runs(run, say, around)
    first = next(pieces, None)
    if first is not None:
        yield dumps(first)
    for piece in pieces:
        yield b"," + dumps(piece)
    yield b"]}"


def _test_runs(run: TestRun, say: Speech, around: Around) -> Iterator[dict[str, Any]]:
    results = rows_of(TestResult.objects.filter(run=run, deleted_at__isnull=True).order_by("position", "id"))
    ids = [result["id"] for result in results]
    steps = _grouped(Step.objects.filter(result__run=run).order_by("position", "id").values(*COLUMNS[Step]))
    evaluations = _grouped(shown_evaluations(run, say))
    evaluator_ids = own_evaluator_ids(run)
    cases = _cases(result["case_id"] for result in results)
    feedback = dict(
        Feedback.objects.filter(result__in=ids).order_by("recorded_at").values_list("result_id", "score")
        if run.kind == TestRun.Kind.PRODUCTION
        else ()
    )
    sets = dataset_ids(cases.values())
    said_cases = {pk: as_test_case(case, say, around.pipeline_id, sets[pk]) for pk, case in cases.items()}
    for result in results:
        pk = result["id"]
        yield as_test_run(
            result,
            say,
            around,
            case=said_cases.get(result["case_id"]),
            steps=steps.get(pk, []),
            evaluations=evaluations.get(pk, []),
            feedback=feedback.get(pk),
            evaluator_ids=evaluator_ids,
        )


def shown_evaluations(run: TestRun, say: Speech) -> Iterable[Row]:
    """The judgements that a version of the API shows: v1 and v2 only those of the pipeline's own evaluators."""
    found = Evaluation.objects.filter(
        run=run, result__deleted_at__isnull=True, withdrawn_at__isnull=True, evaluator__isnull=False
    )
    if say.version < 3:
        found = found.filter(evaluator__origin=Evaluator.Origin.OWN)
    return found.order_by("created_at", "id").values(*COLUMNS[Evaluation])


def own_evaluator_ids(run: TestRun) -> dict[UUID, str]:
    """Also of templates and deleted ones: whatever judged the run's results."""
    used = Evaluator.objects.filter(evaluations__run=run).distinct()
    return {row["id"]: wire_id(row) for row in used.values("id", "external_id")}


def _cases(ids: Iterable[UUID | None]) -> Mapping[UUID, Row]:
    """Deleted ones too: old results keep showing them."""
    wanted = {pk for pk in ids if pk is not None}
    return {case["id"]: case for case in rows_of(Case.objects.filter(pk__in=wanted))}


def _grouped(rows: Iterable[Row]) -> dict[UUID, list[Row]]:
    groups: dict[UUID, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["result_id"], []).append(row)
    return groups
