"""Judgements that wait for a machine: asked for with results from outside, given by a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from procrastinate.contrib.django import app

from results.bench import Bench
from results.heuristics import Evidence
from results.model_judges import Transcript
from results.models import Evaluation, TestResult
from results.models.results import EvaluationQuerySet
from results.recording import score_evaluation
from results.records import Judgement
from results.settling import settlement
from runs.asking import Caller
from runs.launching import snapshots_of
from runs.models import TestRun

JUDGE_PENDING = "judge_pending"
CHUNK = 200
AT_ONCE = 8  # judge models asked at once
FILLED = (
    *("state", "value", "label", "passed", "threshold", "evaluator_version"),
    *("explanation", "error", "usage", "cost", "latency_ms"),
)


def expect_judgements(run: TestRun) -> None:
    """Give a worker the run's pending machine evaluations, if it has any: in the transaction that made them."""
    if pending_in(run.pk).exists():
        app.configure_task(JUDGE_PENDING).defer(run_id=str(run.pk))


def judge_pending(run_id: UUID) -> int:
    """Judge the run's pending machine evaluations and say how many: what nothing can judge ends as an error."""
    settled_rows = 0
    while True:
        rows = list(pending_in(run_id).select_related("evaluator").order_by("result_id")[:CHUNK])
        if not rows:
            return settled_rows
        results = TestResult.objects.in_bulk({row.result_id for row in rows})
        evaluators = list({row.evaluator_id: row.evaluator for row in rows if row.evaluator}.values())
        bench = Bench.set_up(rows[0].organization_id, snapshots_of(evaluators))
        judged = asyncio.run(_judged(bench, rows, results))
        with settlement(run_id, results) as settled:
            for waiting in settled.rows.values():
                for row in waiting:
                    judgement = judged.get(row.pk)
                    if judgement is not None and row.state == Evaluation.State.PENDING:
                        _fill(row, judgement)
                        settled.change(row, **{name: getattr(row, name) for name in FILLED})
                        settled_rows += 1


async def _judged(bench: Bench, rows: Sequence[Evaluation], results: dict[UUID, TestResult]) -> dict[UUID, Judgement]:
    """What each row's own evaluator says of its result."""
    places = asyncio.Semaphore(AT_ONCE)
    async with Caller() as caller:
        bench.open_models(caller, lambda endpoint: lambda: places)

        async def one(row: Evaluation) -> tuple[UUID, Judgement]:
            result = results[row.result_id]
            alone = bench.only(row.evaluator_id)
            if result.error or result.error_code:
                said = alone.cannot_judge(None)
            else:
                evidence = Evidence.of(result)
                said = await alone.ask_models(evidence, Transcript.of(result), None)
                said = said or await asyncio.to_thread(alone.apply_checks, evidence, None)
            return row.pk, said[0]

        return dict(await asyncio.gather(*(one(row) for row in rows)))


def _fill(row: Evaluation, judgement: Judgement) -> None:
    evaluator: Any = judgement.evaluator
    row.explanation, row.error, row.usage = judgement.explanation, judgement.error, judgement.usage
    row.cost, row.latency_ms, row.evaluator_version = judgement.cost, judgement.latency_ms, evaluator.version
    score_evaluation(row, evaluator, judgement)


def pending_in(run_id: UUID) -> EvaluationQuerySet:
    return Evaluation.objects.filter(run=run_id).by_machine().filter(state=Evaluation.State.PENDING, is_current=True)
