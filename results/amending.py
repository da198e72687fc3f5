"""A sender's second thoughts about a recorded result: what came back was told wrongly, or should not be there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from evalhub.accounts.actor import Actor
from evalhub.audit.models import record_event
from results.judging import row_of
from results.models import Evaluation, SearchText, TestResult
from results.models.results import text_of
from results.recording import last_answer, one_line, searchable
from results.records import Judgement
from results.settling import settlement
from results.tallies import Counted, RollupKey, RollupShift, Shift, counts_in_rollup, shift_rollups, shift_run
from runs.evaluators import EvaluatorSpec, ensure_evaluators
from runs.models import Evaluator

AMENDABLE = frozenset(
    {"output", "conversation", "session_id", "latency_ms", "error", "reported_outcome", "attributes", "tags"}
)


def amend_result(
    result: TestResult, changes: Mapping[str, Any], *, by: Actor, judgements: Sequence[Judgement] = (), via: str
) -> None:
    """Change what was recorded; ``judgements`` are added as the machine's newest. The result is settled again.

    Earlier judgements stay as they are, and what people said is never touched.
    """
    unknown = set(changes) - AMENDABLE
    assert not unknown, unknown
    changed = {name: value for name, value in changes.items() if getattr(result, name) != value}
    if not changed and not judgements:
        return
    specs = [
        EvaluatorSpec(name=one.evaluator) if isinstance(one.evaluator, str) else one.evaluator
        for one in judgements
        if isinstance(one.evaluator, str | EvaluatorSpec)
    ]
    described = ensure_evaluators(result.run.project, specs)
    with settlement(result.run_id, [result.pk]) as settled:
        locked = settled.results[result.pk]
        for name in ("latency_ms", "error", "reported_outcome"):
            if name in changed:
                setattr(locked, name, changed[name])
        for judgement in judgements:
            settled.add(row_of(judgement, described, locked, via))
        if changed:
            TestResult.objects.filter(pk=result.pk).update(updated_at=timezone.now(), **changed)
            if {"output", "conversation", "error"} & changed.keys():
                _show_again(result, changed)
        record_event("result.changed", result, by=by, changed=sorted({*changed, *(["scores"] if judgements else [])}))


def _show_again(result: TestResult, changed: Mapping[str, Any]) -> None:
    """What lists and the search show of what came back."""
    said = {name: changed.get(name, getattr(result, name)) for name in ("output", "conversation", "error")}
    answer = text_of(said["output"]) or last_answer(said["conversation"])
    TestResult.objects.filter(pk=result.pk).update(output_preview=one_line(answer or said["error"]))
    SearchText.objects.filter(pk=result.pk).update(text=searchable(text_of(result.inputs), answer))


def delete_result(result: TestResult, *, by: Actor) -> bool:
    """Take a result out of its run, and of the run's numbers; says whether this call did it."""
    with transaction.atomic():
        locked = TestResult.objects.select_for_update(no_key=True).get(pk=result.pk)
        if locked.deleted_at is not None:
            return False
        rows = list(Evaluation.objects.filter(result=locked, is_current=True, evaluator__isnull=False))
        humans = set(
            Evaluator.objects.filter(
                pk__in={row.evaluator_id for row in rows}, who=Evaluator.Who.HUMAN
            ).values_list("pk", flat=True)
        )  # fmt: skip
        rollups: dict[RollupKey, RollupShift] = defaultdict(RollupShift.empty)
        for row in rows:
            if row.evaluator_id and counts_in_rollup(row, humans):
                key = (locked.variant_id, row.evaluator_id)
                rollups[key].add(row.state, row.value, row.passed, row.effective, -1)
        run = shift_run(locked.run_id, [Shift(locked.case_id, Counted.of(locked), None)])
        locked.mark_deleted()
        shift_rollups(run, rollups)
        record_event("result.deleted", locked, by=by)
    return True
