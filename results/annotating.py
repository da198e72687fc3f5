"""One verdict at a time: on a result, on one evaluator's judgement of it, or on one turn of its conversation.

The review form takes everything that a person thinks of a result at once (``reviewing``). Here each verdict comes
alone, and replaces only what its author said of the same target. They land in the same evaluations; a person's verdicts
on one result hang together by one review, whose verdict is the one on the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from evalhub.accounts.actor import Actor
from results.models import Evaluation, Review, TestResult
from results.reviewing import (
    Correction,
    ReviewConflict,
    ask_again,
    finish_assignment,
    keep_correction,
    reopen_assignment,
)
from results.settling import Settlement, recount_reviews, settlement
from results.trail import note
from runs.models import Evaluator

VERDICTS: Final = {True: Review.Verdict.PASSED, False: Review.Verdict.FAILED, None: Review.Verdict.CANT_TELL}


@dataclass(frozen=True, slots=True)
class Target:
    """What is judged: the whole result where nothing is named."""

    evaluator: Evaluator | None = None
    turn: int | None = None

    @property
    def is_whole(self) -> bool:
        return self.evaluator is None and self.turn is None


def annotate(
    result: TestResult,
    *,
    by: Actor,
    target: Target,
    passed: bool | None,
    comment: str = "",
    metadata: dict[str, Any] | None = None,
    via: str,
) -> Evaluation:
    """Keep the verdict (None: cannot tell) as the newest of its author on the target, and settle the result.

    One on the whole result also does an open assignment of its author.
    """
    with settlement(result.run_id, [result.pk]) as settled:
        locked = settled.results.get(result.pk)
        if locked is None or locked.deleted_at is not None:
            raise ReviewConflict("This result is gone.")
        review = _review_of(settled, locked, by, via)
        if target.evaluator is not None:
            correction = Correction(
                evaluator=target.evaluator, passed=passed, explanation=comment, turn=target.turn,
                label=None if passed is not None else Review.Verdict.CANT_TELL.label,
            )  # fmt: skip
            row = keep_correction(settled, locked, review, correction)
        else:
            row = settled.add(
                Evaluation(
                    result=locked,
                    turn=target.turn,
                    source=Evaluation.Source.HUMAN,
                    author=by.user,
                    passed=passed,
                    label=VERDICTS[passed].label,
                    explanation=comment,
                    via=via,
                    review=review,
                )
            )
        if metadata:
            settled.change(row, metadata=metadata)
        if target.is_whole:
            assignment = finish_assignment(locked, by.user, None)
            if assignment is not None and review.assignment_id is None:
                Review.objects.filter(pk=review.pk).update(assignment=assignment)
        _sync(settled, review)
        recount_reviews(settled, [locked.pk])
        _note("annotation.added", row, by, target=_named(target), passed=passed)
    return row


def change_annotation(row: Evaluation, *, by: Actor, passed: bool | None, comment: str, target: Target) -> None:
    """Say it differently: the verdict keeps its place and its id, and is the newest of its author on its target."""
    with settlement(row.result.run_id, [row.result_id]) as settled:
        kept = _kept(settled, row)
        before = {"passed": kept.passed, "comment": kept.explanation, "target": _named(_target_of(kept))}
        verdict_changed = kept.passed is not passed
        if (kept.evaluator_id, kept.turn) != (target.evaluator.pk if target.evaluator else None, target.turn) or (
            verdict_changed and not kept.is_current
        ):
            _move(settled, kept, target)
        if verdict_changed:
            label = VERDICTS[passed].label if target.evaluator is None or passed is None else None
            settled.change(kept, passed=passed, label=label, value=None)
        if kept.explanation != comment:
            settled.change(kept, explanation=comment)
        if kept.review_id:
            _sync(settled, Review.objects.get(pk=kept.review_id))
            recount_reviews(settled, [kept.result_id])
        _note("annotation.changed", kept, by, before=before, passed=passed)


def resolve_annotation(row: Evaluation, resolved: bool, *, by: Actor) -> None:
    """Close a disagreement, or open it again; the outcome stays as it is."""
    if (row.resolved_at is not None) is resolved:
        return
    with transaction.atomic():
        Evaluation.objects.filter(pk=row.pk).update(
            resolved_at=timezone.now() if resolved else None,
            resolved_by=by.user if resolved else None,
            updated_at=timezone.now(),
        )
        _note("annotation.resolved" if resolved else "annotation.reopened", row, by)


def withdraw_annotation(row: Evaluation, *, by: Actor) -> None:
    """Take a verdict back: the newest remaining one on its target counts again, else the machine's."""
    with settlement(row.result.run_id, [row.result_id]) as settled:
        kept = _kept(settled, row)
        settled.withdraw(kept)
        ask_again(settled, settled.results[kept.result_id])
        if kept.review_id:
            _sync(settled, Review.objects.get(pk=kept.review_id))
            recount_reviews(settled, [kept.result_id])
        _note("annotation.withdrawn", kept, by)


def _kept(settled: Settlement, row: Evaluation) -> Evaluation:
    for kept in settled.rows.get(row.result_id, ()):
        if kept.pk == row.pk and kept.withdrawn_at is None:
            return kept
    raise ReviewConflict("This verdict is gone.")


def _review_of(settled: Settlement, result: TestResult, by: Actor, via: str) -> Review:
    """The review that holds the author's verdicts on this result; one from elsewhere hands over what it said."""
    current = Review.objects.filter(result=result, reviewer=by.user, is_current=True).first()
    if current is not None and current.via == via:
        return current
    if current is not None:
        Review.objects.filter(pk=current.pk).update(is_current=False, assignment=None, updated_at=timezone.now())
    review = Review.objects.create(
        organization_id=result.organization_id,
        result=result,
        reviewer=by.user,
        assignment=current.assignment if current else None,
        verdict=current.verdict if current else "",
        comment=current.comment if current else "",
        via=via,
    )
    for row in settled.current(result.pk):
        if current is not None and row.review_id == current.pk:
            settled.change(row, review_id=review.pk)
    return review


def _move(settled: Settlement, row: Evaluation, target: Target) -> None:
    """Make it the newest of its author on a target, which may be another one than before."""
    others = [other for other in settled.rows[row.result_id] if other is not row and other.author_id == row.author_id]
    others = [other for other in others if other.source == row.source and other.author_name == row.author_name]
    left = [
        one for one in others
        if (one.evaluator_id, one.turn) == (row.evaluator_id, row.turn) and one.withdrawn_at is None
    ]  # fmt: skip
    key = (target.evaluator.pk if target.evaluator else None, target.turn)
    comes_back = key != (row.evaluator_id, row.turn) and row.is_current and left
    same = [other for other in others if (other.evaluator_id, other.turn) == key]
    for other in same:
        if other.is_current:
            settled.change(other, is_current=False)
    nth = 1 + max((other.nth for other in same), default=-1)
    settled.change(row, evaluator_id=key[0], turn=target.turn, nth=nth, is_current=True)
    if comes_back:  # changes are written in this order, and the row has to be away before
        settled.change(max(left, key=lambda one: one.nth), is_current=True)


def _sync(settled: Settlement, review: Review) -> None:
    """The review says what its rows say; without any that counts it is withdrawn, and what asked for it waits again."""
    rows = [row for row in settled.current(review.result_id) if row.review_id == review.pk]
    if not rows:
        if review.is_current:
            reopen_assignment(review)
            Review.objects.filter(pk=review.pk).update(
                is_current=False, assignment=None, withdrawn_at=timezone.now(), updated_at=timezone.now()
            )
            mine = [row for row in settled.current(review.result_id) if row.author_id == review.reviewer_id]
            earlier = {row.review_id for row in mine if row.review_id}
            if earlier:
                Review.objects.filter(pk=max(earlier)).update(is_current=True, updated_at=timezone.now())
        return
    whole = next((row for row in rows if row.evaluator_id is None and row.turn is None), None)
    verdict = VERDICTS[whole.passed].value if whole else Review.Verdict.NONE.value
    comment = whole.explanation if whole else ""
    if (review.verdict, review.comment) != (verdict, comment):
        Review.objects.filter(pk=review.pk).update(verdict=verdict, comment=comment, updated_at=timezone.now())


def _target_of(row: Evaluation) -> Target:
    return Target(row.evaluator, row.turn)


def _named(target: Target) -> str:
    if target.evaluator is not None:
        return target.evaluator.name
    return "whole result" if target.turn is None else f"turn {target.turn}"


def _note(action: str, row: Evaluation, by: Actor, **data: Any) -> None:
    note(action, row, by, organization_id=row.organization_id, result=str(row.result_id), **data)
