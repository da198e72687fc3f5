"""Asking people for reviews: choosing results, dealing them out, taking, passing on and taking back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from typing import Any
from uuid import UUID

from django.db import IntegrityError, models, transaction
from django.db.models import Count, Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone

from evalhub.accounts.models import Membership, Organization, User
from evalhub.accounts.rights import RIGHTS
from evalhub.database.ids import new_id
from results.dealing import Deal, deal, deal_to_nobody, least_busy, new_seed, sample
from results.models import Outcome, Review, ReviewAssignment, ReviewRound, TestResult
from results.settling import recount_reviews, settlement
from results.trail import By, note, person
from runs.models import TestRun

MOST_REVIEWS = 10_000
LEASE = timedelta(minutes=20)

State = ReviewAssignment.State


class AssigningError(Exception):
    """Why nobody can be asked, in a sentence for the person who asks."""


def _again_on_collision[**P, R](verb: Callable[P, R]) -> Callable[P, R]:
    """Take the whole step again where somebody claimed one of its results in between."""

    @wraps(verb)
    def tried(*args: P.args, **kwargs: P.kwargs) -> R:
        for _ in range(4):
            with suppress(IntegrityError), transaction.atomic():
                return verb(*args, **kwargs)
        return verb(*args, **kwargs)

    return tried


# --- what is to be reviewed -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which of the results at hand are to be reviewed. ``everything`` beats the parts."""

    everything: bool = False
    conflicts: bool = False
    failed: bool = False
    unjudged: bool = False
    passed_percent: int = 0


# What each part of a rule finds; nobody is asked, or has reviewed, apart from conflicts and corrections.
# One that is open without being asked for waits for an evaluator's person, whoever that will be.
_UNTOUCHED = Q(
    review_state__in=(TestResult.ReviewState.NONE, TestResult.ReviewState.OPEN), reviews_required=0, review_count=0
)
_CONFLICTS = Q(review_state=TestResult.ReviewState.CONFLICT) | Q(corrected=True)
_FAILED = Q(outcome__in=(Outcome.FAILED, Outcome.ERROR)) & _UNTOUCHED
_UNJUDGED = Q(outcome=Outcome.UNJUDGED) & _UNTOUCHED
_PASSED = Q(outcome=Outcome.PASSED) & _UNTOUCHED


def count_parts(results: models.QuerySet[TestResult]) -> dict[str, int]:
    """How many results each part of a rule would find."""
    return results.order_by().aggregate(
        everything=Count("pk"),
        conflicts=Count("pk", filter=_CONFLICTS),
        failed=Count("pk", filter=_FAILED),
        unjudged=Count("pk", filter=_UNJUDGED),
        passed=Count("pk", filter=_PASSED),
    )


def pick(results: models.QuerySet[TestResult], rule: Rule, *, seed: int) -> list[UUID]:
    """The results of the rule, in the order of their runs."""
    in_order = results.order_by("run__created_at", "run_id", "position", "pk")
    if rule.everything:
        return list(in_order.values_list("pk", flat=True))
    wanted = Q(pk__in=[])
    for asked, condition in (
        (rule.conflicts, _CONFLICTS),
        (rule.failed, _FAILED),
        (rule.unjudged, _UNJUDGED),
    ):
        if asked:
            wanted |= condition
    drawn: set[UUID] = set()
    if rule.passed_percent:
        wanted |= _PASSED
        drawn = set(sample(results.filter(_PASSED).values_list("pk", flat=True), rule.passed_percent, seed))
    rows = in_order.filter(wanted).annotate(sampled=_as_flag(_PASSED & ~_CONFLICTS)).values_list("pk", "sampled")
    return [pk for pk, sampled in rows if not sampled or pk in drawn]


def _as_flag(condition: Q) -> models.ExpressionWrapper:
    return models.ExpressionWrapper(condition, output_field=models.BooleanField())


# --- who can be asked -------------------------------------------------------------------------------------------------


def possible_reviewers(organization: Organization) -> list[User]:
    """The members who may review, by name."""
    roles, _ = RIGHTS["review"]
    members = (
        Membership.objects.filter(organization=organization, role__in=roles, user__is_active=True)
        .select_related("user")
        .order_by("user__name", "user_id")
    )
    return [membership.user for membership in members]


def open_work(organization_id: UUID, user_ids: Iterable[UUID]) -> dict[UUID, int]:
    """How many reviews each of them still owes in the organisation."""
    ids = list(user_ids)
    counted = dict(
        ReviewAssignment.objects.open()
        .filter(
            organization_id=organization_id,
            reviewer_id__in=ids,
            result__deleted_at__isnull=True,
            result__run__deleted_at__isnull=True,
        )
        .exclude(lease_until__lte=Now())
        .order_by()
        .values_list("reviewer_id")
        .annotate(n=Count("pk"))
    )
    return {user_id: counted.get(user_id, 0) for user_id in ids}


def _taken(result_ids: Sequence[UUID], user_ids: Iterable[UUID]) -> dict[UUID, set[UUID]]:
    """Result -> who is being asked about it, in any round, or has reviewed it."""
    users = list(user_ids)
    taken: dict[UUID, set[UUID]] = defaultdict(set)
    asked = ReviewAssignment.objects.open().filter(result__in=result_ids, reviewer__in=users)
    reviewed = Review.objects.filter(result__in=result_ids, reviewer__in=users, is_current=True)
    for rows in (asked, reviewed):
        for result_id, user_id in rows.order_by().values_list("result_id", "reviewer_id"):
            taken[result_id].add(user_id)
    return taken


# --- dealing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Share:
    """What one reviewer has and gets."""

    reviewer: User
    open: int
    new: int

    @property
    def total(self) -> int:
        return self.open + self.new


@dataclass(frozen=True, slots=True)
class Preview:
    deal: Deal
    shares: tuple[Share, ...]

    @property
    def most(self) -> int:
        return max((share.total for share in self.shares), default=0)


def preview_deal(
    result_ids: Sequence[UUID],
    reviewers: Sequence[User],
    *,
    organization: Organization,
    seed: int,
    overlap: int = 1,
    overlap_percent: int = 100,
) -> Preview:
    """Who would get how many: what ``assign_reviewers`` with the same seed does, unless somebody assigns in between."""
    load = open_work(organization.pk, [reviewer.pk for reviewer in reviewers])
    dealt = _deal(result_ids, load, seed=seed, overlap=overlap, overlap_percent=overlap_percent)
    shares = tuple(Share(one, load[one.pk], dealt.share_of(one.pk)) for one in reviewers)
    return Preview(dealt, shares)


@_again_on_collision
def assign_reviewers(
    results: Iterable[TestResult] | Iterable[UUID],
    reviewers: Sequence[User],
    *,
    by: By,
    overlap: int = 1,
    overlap_percent: int = 100,
    due_at: datetime | None = None,
    name: str = "",
    rubric: str = "",
    selection: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> ReviewRound:
    """Open a round and deal the results out by open work; without reviewers the slots wait for whoever takes them.

    Nobody is asked for a result that they have open or have reviewed. The same seed again gives back the same round.
    """
    ids = list(dict.fromkeys(one.pk if isinstance(one, TestResult) else one for one in results))
    seed = seed or new_seed()
    with _asking_about(ids) as found:
        if not found:
            raise AssigningError("There is nothing to review here.")
        organization_id = found[0].organization_id
        known = ReviewRound.objects.filter(organization_id=organization_id, seed=seed).first()
        if known is not None:
            return known
        alive = {result.pk for result in found if result.organization_id == organization_id}
        runs = list(TestRun.objects.filter(pk__in={result.run_id for result in found}).order_by("created_at", "pk"))
        projects = {run.project_id for run in runs}
        if len(projects) > 1:
            raise AssigningError("These results belong to several projects. A round is about one: choose its results.")
        _must_be_reviewers(organization_id, reviewers)
        load = open_work(organization_id, [reviewer.pk for reviewer in reviewers])
        dealt = _deal(
            [pk for pk in ids if pk in alive], load, seed=seed, overlap=overlap, overlap_percent=overlap_percent
        )
        if not dealt.hands:
            raise AssigningError("Everybody you chose has these results open already, or has reviewed them.")
        if len(dealt.hands) > MOST_REVIEWS:
            raise AssigningError(
                f"That would be {len(dealt.hands):,} reviews; a round holds up to {MOST_REVIEWS:,}. Choose fewer."
            )
        review_round = ReviewRound.objects.create(
            organization_id=organization_id,
            project_id=projects.pop(),
            run=runs[0] if len(runs) == 1 else None,
            name=(name.strip() or _usual_name(runs))[:200],
            rubric=rubric,
            overlap=overlap,
            due_at=due_at,
            seed=seed,
            selection={**(selection or {}), "overlap_percent": overlap_percent},
            created_by=person(by),
        )
        # Ids in the order of the results, so that a queue ordered by id is in the order of the run.
        assignment_ids = sorted(new_id() for _ in dealt.hands)
        ReviewAssignment.objects.bulk_create(
            [
                ReviewAssignment(
                    id=pk,
                    organization_id=organization_id,
                    round=review_round,
                    result_id=hand.result_id,
                    slot=hand.slot,
                    reviewer_id=hand.reviewer_id,
                    due_at=due_at,
                    assigned_by=person(by),
                )
                for pk, hand in zip(assignment_ids, dealt.hands, strict=True)
            ],
            batch_size=2000,
        )
        note(
            "round.created",
            review_round,
            by,
            organization_id=organization_id,
            reviews=len(dealt.hands),
            results=dealt.result_count,
            reviewers={str(one.pk): dealt.share_of(one.pk) for one in reviewers},
        )
    return review_round


def _deal(
    result_ids: Sequence[UUID], load: Mapping[UUID, int], *, seed: int, overlap: int, overlap_percent: int
) -> Deal:
    if len(result_ids) > MOST_REVIEWS:
        raise AssigningError(
            f"These are {len(result_ids):,} results; a round holds up to {MOST_REVIEWS:,} reviews. Choose fewer."
        )
    if not load:
        return deal_to_nobody(result_ids, seed=seed, overlap=overlap, overlap_percent=overlap_percent)
    if overlap > len(load):
        raise AssigningError(f"For {overlap} reviewers per result, choose at least {overlap} people.")
    return deal(
        result_ids,
        load,
        taken=_taken(result_ids, load),
        seed=seed,
        overlap=overlap,
        overlap_percent=overlap_percent,
    )


def _must_be_reviewers(organization_id: UUID, reviewers: Sequence[User]) -> None:
    roles, _ = RIGHTS["review"]
    able = set(
        Membership.objects.filter(
            organization_id=organization_id, role__in=roles, user__in=reviewers, user__is_active=True
        ).values_list("user_id", flat=True)
    )
    strangers = [str(one) for one in reviewers if one.pk not in able]
    if strangers:
        raise AssigningError(f"{', '.join(strangers)} cannot review here.")


def _usual_name(runs: Sequence[TestRun]) -> str:
    return f"Review of {runs[0]}" if len(runs) == 1 else f"Review of {len(runs)} runs"


# --- taking and starting ----------------------------------------------------------------------------------------------


def claim_slot(review_round: ReviewRound, user: User) -> ReviewAssignment | None:
    """Take the next free slot of the round for a while; None when there is none for this person."""
    passed_over: set[UUID] = set()
    while True:
        slot = None
        try:
            with transaction.atomic():
                slot = _next_free(review_round, user, passed_over)
                return _take(slot, user) if slot else None
        except IntegrityError:
            if slot is None:
                raise
            passed_over.add(slot.result_id)  # taken by the same person a moment ago, in another tab or round


def _next_free(review_round: ReviewRound, user: User, passed_over: set[UUID]) -> ReviewAssignment | None:
    others = ReviewAssignment.objects.filter(result=OuterRef("result"), reviewer=user).exclude(pk=OuterRef("pk"))
    reviewed = Review.objects.filter(result=OuterRef("result"), reviewer=user, is_current=True)
    return (
        ReviewAssignment.objects.free()
        .filter(round=review_round, round__state=ReviewRound.State.OPEN, result__deleted_at__isnull=True)
        .exclude(result__in=passed_over)
        .filter(
            ~Exists(others.filter(Q(round=OuterRef("round")) | Q(state__in=ReviewAssignment.OPEN))), ~Exists(reviewed)
        )
        .select_for_update(skip_locked=True, of=("self",), no_key=True)
        .order_by("slot", "id")
        .first()
    )


def _take(slot: ReviewAssignment, user: User) -> ReviewAssignment:
    """Make the locked slot the user's; who let the lease run out keeps the old row, and the draft in it."""
    if slot.reviewer_id not in (None, user.pk):
        ReviewAssignment.objects.filter(pk=slot.pk).update(
            state=State.WITHDRAWN, finished_at=Now(), lease_until=None, updated_at=Now()
        )
        slot = _successor_of(slot, None)
        slot.save(force_insert=True)
    ReviewAssignment.objects.filter(pk=slot.pk).update(
        reviewer=user, state=State.OPEN, lease_until=Now() + LEASE, updated_at=Now()
    )
    slot.refresh_from_db()
    note("assignment.claimed", slot, user, organization_id=slot.organization_id, result=str(slot.result_id))
    return slot


def start(assignment: ReviewAssignment) -> bool:
    """Note that its reviewer looks at it, and hold it a while longer; False when it is no longer theirs."""
    mine = ReviewAssignment.objects.open().filter(pk=assignment.pk, reviewer_id=assignment.reviewer_id)
    with transaction.atomic():
        held = mine.update(lease_until=_longer_lease(), updated_at=Now())
        if held and mine.filter(state=State.OPEN).update(state=State.STARTED, started_at=Now()):
            note("assignment.started", assignment, assignment.reviewer, organization_id=assignment.organization_id)
    return bool(held)


def keep_draft(assignment: ReviewAssignment, draft: dict[str, Any]) -> bool:
    """Keep what was typed so far; False when it is no longer theirs."""
    return bool(
        ReviewAssignment.objects.open()
        .filter(pk=assignment.pk, reviewer_id=assignment.reviewer_id)
        .update(draft=draft, lease_until=_longer_lease(), updated_at=Now())
    )


def _longer_lease() -> models.Case:
    return models.Case(models.When(lease_until__isnull=False, then=Now() + LEASE), default=None)


# --- passing on and taking back ---------------------------------------------------------------------------------------


@_again_on_collision
def decline(assignment: ReviewAssignment, *, by: By, reason: str) -> ReviewAssignment | None:
    """Say no, with a reason; the slot goes to the next of the round's people, else to whoever takes it.

    Gives back who has the slot now, or None where the round asks for nothing more.
    """
    with _asking_about([assignment.result_id]):
        declined = _locked_open(assignment)
        declined.decline_reason = reason
        successor = _give_up([declined], State.DECLINED).get(declined.pk)
        note(
            "assignment.declined",
            declined,
            by,
            organization_id=declined.organization_id,
            result=str(declined.result_id),
            reason=reason,
            passed_to=_text(successor and successor.reviewer_id),
        )
    return successor


@_again_on_collision
def release_of(user: User, organization: Organization, *, by: By | None = None) -> int:
    """Pass on everything that somebody who left, or may no longer review, has open; says how many."""
    held = ReviewAssignment.objects.open().filter(organization=organization, reviewer=user)
    with _asking_about(held.values_list("result_id", flat=True)):
        rows = list(held.select_related("round").select_for_update(no_key=True, of=("self",)).order_by("pk"))
        _give_up(rows, State.WITHDRAWN)
        if rows:
            note("assignments.released", user, by, organization_id=organization.pk, reviews=len(rows))
    return len(rows)


def withdraw(assignment: ReviewAssignment, *, by: By) -> None:
    """Ask no longer for this review; what was typed is kept with it."""
    with _asking_about([assignment.result_id]):
        withdrawn = _locked_open(assignment)
        _end([withdrawn.pk], State.WITHDRAWN)
        note(
            "assignment.withdrawn",
            withdrawn,
            by,
            organization_id=withdrawn.organization_id,
            result=str(withdrawn.result_id),
            reviewer=_text(withdrawn.reviewer_id),
        )


def withdraw_round(review_round: ReviewRound, *, by: By) -> int:
    """Undo the asking: withdraw what nobody has started; says how many."""
    return _withdraw_from(review_round, "round.withdrawn", (State.OPEN,), by)


def close_round(review_round: ReviewRound, *, by: By) -> int:
    """Ask for nothing more: withdraw what is not done; says how many."""
    return _withdraw_from(review_round, "round.closed", ReviewAssignment.OPEN, by)


def _withdraw_from(review_round: ReviewRound, action: str, states: Sequence[str], by: By) -> int:
    asked = ReviewAssignment.objects.filter(round=review_round, state__in=states)
    with _asking_about(asked.values_list("result_id", flat=True)):
        review_round = ReviewRound.objects.select_for_update(no_key=True).get(pk=review_round.pk)
        pks = list(asked.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))
        _end(pks, State.WITHDRAWN)
        nothing_left = not ReviewAssignment.objects.live().filter(round=review_round).exists()
        changed = []
        if nothing_left and review_round.withdrawn_at is None:
            review_round.withdrawn_at = timezone.now()
            changed.append("withdrawn_at")
        if review_round.state == ReviewRound.State.OPEN and (nothing_left or action == "round.closed"):
            review_round.state = ReviewRound.State.CLOSED
            changed.append("state")
        if changed:
            review_round.save(update_fields=[*changed, "updated_at"])
        if pks or changed:
            note(action, review_round, by, organization_id=review_round.organization_id, reviews=len(pks))
    return len(pks)


def _locked_open(assignment: ReviewAssignment) -> ReviewAssignment:
    locked = ReviewAssignment.objects.select_for_update(no_key=True).select_related(None).get(pk=assignment.pk)
    if not locked.is_open:
        raise AssigningError(f"This review is already {locked.get_state_display().lower()}.")
    return locked


def _give_up(rows: Sequence[ReviewAssignment], state: str) -> dict[UUID, ReviewAssignment]:
    """End the rows and open their slots again, each for the least busy of the round's people who was not asked yet."""
    for row in rows:
        ReviewAssignment.objects.filter(pk=row.pk).update(
            state=state, decline_reason=row.decline_reason, finished_at=Now(), lease_until=None, updated_at=Now()
        )
    leaving = {row.reviewer_id for row in rows}
    successors: dict[UUID, ReviewAssignment] = {}
    by_round: dict[ReviewRound, list[ReviewAssignment]] = defaultdict(list)
    for row in rows:
        if row.round.state == ReviewRound.State.OPEN:
            by_round[row.round].append(row)
    for review_round, members in by_round.items():
        load = _people_of(review_round, without=leaving)
        result_ids = [row.result_id for row in members]
        taken = _taken(result_ids, load)
        asked_here = ReviewAssignment.objects.filter(round=review_round, result__in=result_ids)
        for result_id, user_id in asked_here.values_list("result_id", "reviewer_id"):
            taken[result_id].add(user_id)
        for row in members:
            able = {user_id: work for user_id, work in load.items() if user_id not in taken[row.result_id]}
            reviewer_id = least_busy(able, seed=review_round.seed)
            if reviewer_id:
                load[reviewer_id] += 1
                taken[row.result_id].add(reviewer_id)
            successors[row.pk] = _successor_of(row, reviewer_id)
    ReviewAssignment.objects.bulk_create(successors.values())
    return successors


def _people_of(review_round: ReviewRound, *, without: set[UUID | None]) -> dict[UUID, int]:
    """The open work of whoever the round was dealt to and may still review."""
    roles, _ = RIGHTS["review"]
    dealt_to = ReviewAssignment.objects.filter(round=review_round, lease_until__isnull=True).exclude(
        reviewer_id__in=[one for one in without if one]
    )
    able = Membership.objects.filter(
        organization_id=review_round.organization_id,
        role__in=roles,
        user__is_active=True,
        user__in=dealt_to.values("reviewer_id"),
    )
    return open_work(review_round.organization_id, able.values_list("user_id", flat=True))


def _successor_of(row: ReviewAssignment, reviewer_id: UUID | None) -> ReviewAssignment:
    return ReviewAssignment(
        organization_id=row.organization_id,
        round_id=row.round_id,
        result_id=row.result_id,
        slot=row.slot,
        reviewer_id=reviewer_id,
        due_at=row.due_at,
        assigned_by_id=row.assigned_by_id,
    )


def _end(assignment_ids: Sequence[UUID], state: str) -> None:
    ReviewAssignment.objects.filter(pk__in=assignment_ids).update(
        state=state, finished_at=Now(), lease_until=None, updated_at=Now()
    )


# --- what follows from it ---------------------------------------------------------------------------------------------


@contextmanager
def _asking_about(result_ids: Iterable[UUID]) -> Iterator[list[TestResult]]:
    """Lock the results; afterwards their and their runs' review counters follow the assignments.

    Runs are gone through in the order of their ids, as everywhere, so that two assigners wait for each other once.
    """
    by_run: dict[UUID, list[UUID]] = defaultdict(list)
    found = TestResult.objects.filter(pk__in=list(result_ids)).order_by("run_id")
    for run_id, pk in found.values_list("run_id", "pk"):
        by_run[run_id].append(pk)
    with transaction.atomic(), ExitStack() as stack:
        settled = [
            stack.enter_context(settlement(run_id, pks, judgements=False)) for run_id, pks in sorted(by_run.items())
        ]
        yield [result for one in settled for result in one.results.values() if result.deleted_at is None]
        for one in settled:
            recount_reviews(one, list(one.results))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
