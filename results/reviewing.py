"""A person's verdict on a result: from the review form, the drawer, the API and both SDK doors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from evalhub.accounts.models import User
from evalhub.database.prepared import Prepared
from results.models import Evaluation, Review, ReviewAssignment, ReviewRound, TestResult
from results.settling import Settlement, recount_reviews, settlement
from results.trail import By, note, noted, person
from runs.models import Evaluator

# Locked, or a lease that runs out right now could be taken over by somebody else meanwhile.
_OPEN_OF_REVIEWER = Prepared(
    lambda result, reviewer: (
        ReviewAssignment.objects.filter(result=result, reviewer=reviewer)
        .open()
        .order_by("id")
        .select_for_update(no_key=True)
    ),
    UUID,
    UUID,
)


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
    by: By,
    verdict: str,
    comment: str = "",
    corrections: Sequence[Correction] = (),
    assignment: ReviewAssignment | None = None,
    replaces: Review | None = None,
    via: str = "page",
    seconds: float | None = None,
    locked: bool = False,
) -> Review:
    """Keep one review: its verdict and corrections become the reviewer's evaluations, and the result is settled.

    An open assignment of the reviewer is done by it, named or not. A reviewer who has a current review already must
    name it in ``replaces`` (a change of mind); otherwise, and where the assignment is no longer open, ReviewConflict.
    ``locked``: the caller read the result by ``to_settle``, in a transaction that a ReviewConflict ends.
    """
    if not verdict and not corrections:
        raise ReviewConflict("Choose a verdict or judge at least one evaluator.")
    reviewer = person(by)
    with settlement(result.run_id, [result.pk], locked=[result] if locked else ()) as settled:
        there = settled.results.get(result.pk)
        if there is None or there.deleted_at is not None:
            raise ReviewConflict("This result is gone.")
        result = there
        _retire(settled, result, reviewer, replaces)
        assignment = finish_assignment(result, reviewer, assignment)
        review = Review(
            organization_id=result.organization_id,
            result=result,
            reviewer=reviewer,
            assignment=assignment,
            verdict=verdict,
            comment=comment,
            via=via,
            seconds=seconds,
        )
        settled.insert(review)
        if verdict:
            settled.add(
                Evaluation(
                    result=result,
                    source=Evaluation.Source.HUMAN,
                    author=reviewer,
                    passed={"passed": True, "failed": False}.get(verdict),
                    label=Review.Verdict(verdict).label,
                    explanation=comment,
                    via=via,
                    review=review,
                )
            )
        for correction in corrections:
            keep_correction(settled, result, review, correction)
        ask_again(settled, result)
        if assignment is not None:
            recount_reviews(settled, [result.pk])
        settled.insert(
            noted(
                "review.submitted",
                review,
                by,
                organization_id=result.organization_id,
                result=str(result.pk),
                verdict=verdict,
                replaces=str(replaces.pk) if replaces else None,
            )
        )
    return review


def withdraw_review(review: Review, *, by: By | None = None) -> None:
    """Take a review back: it no longer counts, the one that it replaced does again, its assignment waits or ends."""
    with settlement(review.result.run_id, [review.result_id]) as settled:
        review = Review.objects.select_for_update(no_key=True).get(pk=review.pk)
        if review.withdrawn_at is not None:
            return
        for row in settled.rows[review.result_id]:
            if row.review_id == review.pk and row.withdrawn_at is None:
                settled.withdraw(row)
        previous = _previous(review) if review.is_current else None
        for row in settled.rows[review.result_id]:
            if row.review_id and row.author_id == review.reviewer_id and row.withdrawn_at is None:
                settled.change(row, is_current=previous is not None and row.review_id == previous.pk)
        ask_again(settled, settled.results[review.result_id])
        reopen_assignment(review)
        Review.objects.filter(pk=review.pk).update(
            is_current=False, assignment=None, withdrawn_at=timezone.now(), updated_at=timezone.now()
        )
        if previous is not None:
            Review.objects.filter(pk=previous.pk).update(is_current=True, updated_at=timezone.now())
        recount_reviews(settled, [review.result_id])
        note("review.withdrawn", review, by, organization_id=review.organization_id, result=str(review.result_id))


def ask_again(settled: Settlement, result: TestResult) -> None:
    """A question that people were asked, and whose only answer was taken back or left out later, waits again."""
    answers = [row for row in settled.rows[result.pk] if row.source == Evaluation.Source.HUMAN and row.evaluator_id]
    answered = {(row.evaluator_id, row.turn) for row in answers if row.is_current}
    open_again = {row.pk: row for row in answers if not row.is_current and (row.evaluator_id, row.turn) not in answered}
    if not open_again:
        return
    asked = Evaluation.objects.filter(
        pk__in=open_again,
        evaluator__who=Evaluator.Who.HUMAN,
        created_at__lt=F("review__created_at"),  # it was there, pending, before somebody answered it
    )
    questions = {
        (row.evaluator_id, row.turn): row for row in (open_again[pk] for pk in asked.values_list("pk", flat=True))
    }
    for row in questions.values():
        settled.add(
            Evaluation(
                result=result,
                evaluator_id=row.evaluator_id,
                evaluator_version=row.evaluator_version,
                turn=row.turn,
                source=Evaluation.Source.HUMAN,
                state=Evaluation.State.PENDING,
                threshold=row.threshold,
                via=row.via,
            )
        )


def _previous(review: Review) -> Review | None:
    rows = Evaluation.objects.filter(review=OuterRef("pk"), withdrawn_at__isnull=True)  # none: it went on elsewhere
    same = Review.objects.filter(
        Exists(rows), result=review.result_id, reviewer=review.reviewer_id, withdrawn_at__isnull=True
    )
    return same.exclude(pk=review.pk).order_by("-created_at", "-id").first()


def reopen_assignment(review: Review) -> None:
    """What the assignment asked for is missing again, unless its round is closed; what was written is its draft."""
    done = ReviewAssignment.objects.filter(review=review, state=ReviewAssignment.State.DONE)
    now, draft = timezone.now(), {"verdict": review.verdict, "comment": review.comment}
    done.filter(round__state=ReviewRound.State.CLOSED).update(
        state=ReviewAssignment.State.WITHDRAWN, finished_at=now, draft=draft, updated_at=now
    )
    done.update(state=ReviewAssignment.State.STARTED, finished_at=None, draft=draft, updated_at=now)


def _retire(settled: Settlement, result: TestResult, by: User, replaces: Review | None) -> None:
    """The review that is replaced no longer counts, with everything that it said."""
    if not any(row.review_id and row.author_id == by.pk for row in settled.rows[result.pk]):
        return  # a review leaves judgements, so this is the first one
    current = Review.objects.filter(result=result, reviewer=by, is_current=True).first()
    if current is None:
        return
    if replaces is None or replaces.pk != current.pk:
        raise ReviewConflict("You have reviewed this result already. Open your review to change it.")
    Review.objects.filter(pk=current.pk).update(is_current=False, updated_at=timezone.now())
    for row in settled.current(result.pk):
        if row.review_id == current.pk:
            settled.change(row, is_current=False)


def finish_assignment(result: TestResult, by: User, named: ReviewAssignment | None) -> ReviewAssignment | None:
    """The result's lock is held: nobody else asks for reviews of it or ends one meanwhile."""
    waiting = named is not None or result.reviews_done < result.reviews_required  # it counts those that are asked for
    open_ones = _OPEN_OF_REVIEWER(result.pk, by.pk) if waiting else []
    if named is None:
        found = open_ones[0] if open_ones else None
    else:
        found = next((one for one in open_ones if one.pk == named.pk), None)
        if found is None:
            raise ReviewConflict("This assignment is no longer open: it was finished, declined or withdrawn meanwhile.")
    if found is not None:
        now = timezone.now()
        found.state, found.finished_at = ReviewAssignment.State.DONE, now
        found.started_at = found.started_at or now
        found.draft, found.lease_until = None, None
        found.save(update_fields=["state", "finished_at", "started_at", "draft", "lease_until", "updated_at"])
    return found


def keep_correction(settled: Settlement, result: TestResult, review: Review, correction: Correction) -> Evaluation:
    """The correction as the reviewer's evaluation: the answer to a pending one, else a new one."""
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
    mine = [
        row
        for row in settled.rows[result.pk]
        if row.evaluator_id == evaluator.pk and row.author_id == review.reviewer_id and row.turn == correction.turn
        if row.source == Evaluation.Source.HUMAN
    ]
    if pending is not None and not any(row.is_current for row in mine):
        answer["nth"] = 1 + max((row.nth for row in mine), default=-1)
        return settled.change(pending, author_id=review.reviewer_id, review_id=review.pk, **answer)
    return settled.add(
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
