"""Judgements that come after their result was recorded: by a machine that took longer, or by a person outside."""

from __future__ import annotations

from collections.abc import Sequence

from results.models import Evaluation, TestResult
from results.recording import score_evaluation
from results.records import Judgement
from results.settling import settlement
from runs.evaluators import EvaluatorSpec, ensure_evaluators, fitting_name
from runs.models import Evaluator


def add_judgements(result: TestResult, judgements: Sequence[Judgement], *, via: str) -> list[Evaluation]:
    """Add them, each as the newest of its evaluator, turn and author, and settle the result."""
    specs = [
        EvaluatorSpec(name=one.evaluator) if isinstance(one.evaluator, str) else one.evaluator
        for one in judgements
        if isinstance(one.evaluator, str | EvaluatorSpec)
    ]
    described = ensure_evaluators(result.run.project, specs)
    added = []
    with settlement(result.run_id, [result.pk]) as settled:
        for judgement in judgements:
            row = row_of(judgement, described, result, via)
            added.append(settled.add(row))
    return added


def row_of(judgement: Judgement, described: dict[str, Evaluator], result: TestResult, via: str) -> Evaluation:
    named = judgement.evaluator
    assert named is not None  # whole-result verdicts are reviews
    if isinstance(named, EvaluatorSpec):
        named = named.name
    evaluator = described[fitting_name(named)] if isinstance(named, str) else named
    row = Evaluation(
        result=result,
        evaluator=evaluator,
        evaluator_version=evaluator.version,
        turn=judgement.turn,
        source=judgement.source,
        author_id=judgement.author_id,
        author_name=judgement.author_name,
        explanation=judgement.explanation,
        error=judgement.error,
        debug=judgement.debug,
        usage=judgement.usage,
        cost=judgement.cost,
        latency_ms=judgement.latency_ms,
        metadata=judgement.metadata,
        via=via,
    )
    score_evaluation(row, evaluator, judgement)
    return row
