"""Judgements that wait for a machine: asked for with results from outside, given by a worker."""

from __future__ import annotations

from uuid import UUID

from procrastinate.contrib.django import app

from results.models import Evaluation
from results.models.results import EvaluationQuerySet
from results.settling import settlement
from runs.models import TestRun

JUDGE_PENDING = "judge_pending"
NO_JUDGE = "No judge model is set up for this evaluator, so nothing could judge."
CHUNK = 200


def expect_judgements(run: TestRun) -> None:
    """Give a worker the run's pending machine evaluations, if it has any: in the transaction that made them."""
    if pending_in(run.pk).exists():
        app.configure_task(JUDGE_PENDING).defer(run_id=str(run.pk))


def judge_pending(run_id: UUID) -> int:
    """Settle the run's pending machine evaluations and say how many: what nothing can judge ends as an error."""
    settled_rows = 0
    while True:
        result_ids = list(pending_in(run_id).values_list("result_id", flat=True).distinct()[:CHUNK])
        if not result_ids:
            return settled_rows
        with settlement(run_id, result_ids) as settled:
            for rows in settled.rows.values():
                for row in rows:
                    if row.source == Evaluation.Source.MACHINE and row.state == Evaluation.State.PENDING:
                        settled.change(row, state=Evaluation.State.ERROR, error=NO_JUDGE)
                        settled_rows += 1


def pending_in(run_id: UUID) -> EvaluationQuerySet:
    return Evaluation.objects.filter(run=run_id).by_machine().filter(state=Evaluation.State.PENDING, is_current=True)
