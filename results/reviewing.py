"""A person's verdict on a result: from the review form, the drawer, the API and both SDK doors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from evalhub.accounts.models import User
from results.models import Evaluation, Review, ReviewAssignment, TestResult
from results.settling import Settlement, recount_reviews, settlement
from runs.models import Evaluator


class ReviewConflict(Exception):
    """The review cannot be taken as it is; the message is for the reviewer. Nothing was changed."""


@dataclass(slots=True, kw_only=True)
class Correction:
    """What a person says of one evaluator on one result: agreement and correction look the same.

    ``label`` or ``value`` for an evaluator with options or a scale; ``passed`` None lets the evaluator decide.
    """

    evaluator: Evaluator
    passed: bool | None = None
    label: str | None = None
    value: float | None = None
    explanation: str = ""
    turn: int | None = None


def submit_review(
    result: TestResult,
    *,
    by: User,
    verdict: str,
    comment: str = "",
    corrections: Sequence[Correction] = (),
    assignment: ReviewAssignment | None = None,
    replaces: Review | None = None,
    via: str = "page",
    seconds: float | None = None,
) -> Review:
    """Keep one review: its verdict and corrections become the reviewer's evaluations, and the result is settled.

    An open assignment of the reviewer is done by it, named or not. A reviewer who has a current review already must
    name it in ``replaces`` (a change of mind); otherwise, and where the assignment is no longer open, ReviewConflict.
    """
    if not verdict and not corrections:
        raise ReviewConflict("Choose a verdict or judge at least one evaluator.")
    with settlement(result.run_id, [result.pk]) as settled:
        locked = settled.results.get(result.pk)
        if locked is None or locked.deleted_at is not None:
            raise ReviewConflict("This result is gone.")
        _retire(locked, by, replaces)
        assignment = _finish_assignment(locked, by, assignment)
        review = Review.objects.create(
            organization_id=locked.organization_id,
            result=locked,
            reviewer=by,
            assignment=assignment,
            verdict=verdict,
            comment=comment,
            via=via,
            seconds=seconds,
        )
        if verdict:
            settled.add(
                Evaluation(
                    result=locked,
                    source=Evaluation.Source.HUMAN,
                    author=by,
                    passed={"passed": True, "failed": False}.get(verdict),
                    label=Review.Verdict(verdict).label,
                    explanation=comment,
                    via=via,
                    review=review,
                )
            )
        for correction in corrections:
            _keep_correction(settled, locked, review, correction)
        if assignment is not None:
            recount_reviews(settled, [locked.pk])
    return review


def withdraw_review(review: Review) -> None:
    """Take a review back: its evaluations no longer count, older ones of the same person do again."""
    with settlement(review.result.run_id, [review.result_id]) as settled:
        for row in settled.rows[review.result_id]:
            if row.review_id == review.pk and row.withdrawn_at is None:
                settled.withdraw(row)
        Review.objects.filter(pk=review.pk).update(
            is_current=False, withdrawn_at=timezone.now(), updated_at=timezone.now()
        )


def _retire(result: TestResult, by: User, replaces: Review | None) -> None:
    current = Review.objects.filter(result=result, reviewer=by, is_current=True).first()
    if current is None:
        return
    if replaces is None or replaces.pk != current.pk:
        raise ReviewConflict("You have reviewed this result already. Open your review to change it.")
    Review.objects.filter(pk=current.pk).update(is_current=False, updated_at=timezone.now())


def _finish_assignment(result: TestResult, by: User, named: ReviewAssignment | None) -> ReviewAssignment | None:
    """The result's lock is held, so nobody else changes its assignments meanwhile."""
    open_ones = ReviewAssignment.objects.filter(result=result, reviewer=by).open()
    if named is not None:
        found = open_ones.filter(pk=named.pk).first()
        if found is None:
            raise ReviewConflict("This assignment is no longer open: it was finished, declined or withdrawn meanwhile.")
    else:
        found = open_ones.order_by("id").first()
    if found is not None:
        now = timezone.now()
        found.state, found.finished_at = ReviewAssignment.State.DONE, now
        found.started_at = found.started_at or now
        found.draft, found.lease_until = None, None
        found.save(update_fields=["state", "finished_at", "started_at", "draft", "lease_until", "updated_at"])
    return found


def _keep_correction(settled: Settlement, result: TestResult, review: Review, correction: Correction) -> None:
    evaluator = correction.evaluator
    value, passed = correction.value, correction.passed
    if value is None and correction.label is not None:
        value = evaluator.option_value(correction.label)
    if passed is None:
        passed = evaluator.verdict(value, correction.label)
    answer: dict[str, Any] = {
        "state": Evaluation.State.SCORED,
        "value": value,
        "label": correction.label,
        "passed": passed,
        "explanation": correction.explanation,
        "evaluator_version": evaluator.version,
        "threshold": evaluator.threshold,
        "via": review.via,
    }
    pending = next(
        (
            row
            for row in settled.current(result.pk)
            if row.evaluator_id == evaluator.pk
            and row.turn == correction.turn
            and row.source == Evaluation.Source.HUMAN
            and row.state == Evaluation.State.PENDING
        ),
        None,
    )
    mine = any(
        row.evaluator_id == evaluator.pk and row.author_id == review.reviewer_id and row.turn == correction.turn
        for row in settled.current(result.pk)
        if row.source == Evaluation.Source.HUMAN
    )
    if pending is not None and not mine:
        settled.change(pending, author_id=review.reviewer_id, review_id=review.pk, **answer)
    else:
        settled.add(
            Evaluation(
                result=result,
                evaluator=evaluator,
                turn=correction.turn,
                source=Evaluation.Source.HUMAN,
                author_id=review.reviewer_id,
                review=review,
                **answer,
            )
        )
