"""What waits for one reviewer, and what is behind: for My reviews, the review form and the rail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from statistics import median
from typing import Any, Final
from uuid import UUID

from django.db.models import Case, Count, F, IntegerField, Max, Min, Q, QuerySet, When
from django.db.models.functions import Now
from django.utils import timezone

from evalhub.accounts.actor import Actor
from evalhub.database.prepared import Prepared
from results.models import Review, ReviewAssignment, ReviewRound

State = ReviewAssignment.State

#: What a row of a queue shows; never the result's heavy columns.
ROW_FIELDS = (
    "id",
    "state",
    "due_at",
    "lease_until",
    "round_id",
    "round__name",
    "result_id",
    "result__name",
    "result__position",
    "result__input_preview",
    "result__case__number",
    "result__run__name",
    "result__run__number",
    "draft",
)
OPEN_SHOWN = 100
DONE_SHOWN = 50
WAITING_SHOWN = 25


def count_open_for(actor: Actor | None) -> int:
    """The number on the rail, of every page."""
    counted = _WAITING(actor.organization_id, actor.user.pk) if actor else []
    return counted[0]["n"] if counted else 0


_WAITING: Final = Prepared(
    lambda organization, user: (
        ReviewAssignment.objects.visible_in(organization)
        .waiting_for(user)
        .order_by()
        .values("organization")
        .annotate(n=Count("pk"))
        .values("n")
    ),
    UUID,
    UUID,
)


def waiting_for(actor: Actor) -> QuerySet[ReviewAssignment]:
    return ReviewAssignment.objects.visible_to(actor).waiting_for(actor.user)


def titled(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the name that a person reads."""
    title = row["result__name"] or row["result__input_preview"] or f"Result {row['result__position']}"
    return {**row, "title": title}


@dataclass(frozen=True, slots=True)
class Work:
    """The figures above My reviews."""

    open: int
    overdue: int
    due_today: int
    done_this_week: int
    done_today: int
    median_seconds: float | None


def work_of(actor: Actor) -> Work:
    now = timezone.localtime()
    midnight = datetime.combine(now.date(), time(), now.tzinfo)
    week = midnight - timedelta(days=now.weekday())
    open_ones = waiting_for(actor).aggregate(
        open=Count("pk"),
        overdue=Count("pk", filter=Q(due_at__lt=now)),
        due_today=Count("pk", filter=Q(due_at__gte=now, due_at__lt=midnight + timedelta(days=1))),
    )
    reviews = Review.objects.visible_to(actor).filter(reviewer=actor.user, withdrawn_at__isnull=True)
    done = reviews.filter(created_at__gte=week).aggregate(
        done_this_week=Count("pk"), done_today=Count("pk", filter=Q(created_at__gte=midnight))
    )
    seconds = reviews.filter(seconds__isnull=False).order_by("-created_at").values_list("seconds", flat=True)[:200]
    timed = [value for value in seconds if value is not None]
    return Work(**open_ones, **done, median_seconds=median(timed) if timed else None)


def rounds_of(actor: Actor, *, finished: bool = False) -> list[dict[str, Any]]:
    """The rounds that this person works in, most urgent first; or those with nothing left for them, newest first."""
    mine = ReviewAssignment.objects.visible_to(actor).filter(reviewer=actor.user)
    if not finished:  # years of finished work need not be grouped to see what is open
        mine = mine.filter(round__in=waiting_for(actor).order_by().values("round_id"))
    is_open = Q(state__in=ReviewAssignment.OPEN) & (Q(lease_until__isnull=True) | Q(lease_until__gt=Now()))
    rows = (
        mine.order_by()
        .values("round_id", "round__name", "round__overlap", "round__run__name", "round__run__number", "round__due_at")
        .annotate(
            open=Count("pk", filter=is_open),
            done=Count("pk", filter=Q(state=State.DONE)),
            due=Min("due_at", filter=is_open),
            last=Max("finished_at"),
        )
    )
    if finished:
        rows = rows.filter(open=0, done__gt=0).order_by("-last", "round_id")[:50]
    else:
        rows = rows.filter(open__gt=0).order_by(F("due").asc(nulls_last=True), "round_id")[:50]
    return [{**row, "total": row["open"] + row["done"]} for row in rows]


def shared_rounds(actor: Actor) -> list[dict[str, Any]]:
    """The open rounds with slots that whoever comes may take."""
    free = ReviewAssignment.objects.visible_to(actor).free().filter(round__state=ReviewRound.State.OPEN)
    rows = (
        free.order_by()
        .values("round_id", "round__name", "round__run__name", "round__run__number")
        .annotate(free=Count("pk"), due=Min("due_at"))
        .order_by(F("due").asc(nulls_last=True), "round_id")[:20]
    )
    return [dict(row) for row in rows]


def asked_rounds(actor: Actor) -> list[dict[str, Any]]:
    """The open rounds that this person asked others for, newest first."""
    own = ReviewRound.objects.visible_to(actor).filter(created_by=actor.user, state=ReviewRound.State.OPEN)
    rounds = list(own.order_by("-created_at", "-id").values("id", "name", "due_at", "run__name", "run__number")[:20])
    live = ReviewAssignment.objects.visible_to(actor).live().filter(round__in=[row["id"] for row in rounds])
    counts = {
        row["round_id"]: row
        for row in live.order_by()
        .values("round_id")
        .annotate(total=Count("pk"), done=Count("pk", filter=Q(state=State.DONE)))
    }
    return [{**row, **counts[row["id"]]} for row in rounds if row["id"] in counts]


def most_urgent(actor: Actor, limit: int = WAITING_SHOWN) -> list[dict[str, Any]]:
    """What to do first: overdue, then by due date, each round together and in the order of its run."""
    rows = waiting_for(actor).order_by(F("due_at").asc(nulls_last=True), "round_id", "id")
    return [titled(row) for row in rows.values(*ROW_FIELDS)[:limit]]


def recent_reviews(actor: Actor, limit: int = 12) -> list[dict[str, Any]]:
    """What this person reviewed last, with what came of it."""
    reviews = Review.objects.visible_to(actor).filter(reviewer=actor.user, is_current=True)
    rows = reviews.order_by("-created_at", "-id").values(
        "id",
        "verdict",
        "created_at",
        "assignment_id",
        "result_id",
        "result__name",
        "result__position",
        "result__input_preview",
        "result__case__number",
        "result__outcome",
        "result__review_state",
        "result__run__name",
        "result__run__number",
        "assignment__round__name",
    )
    return [titled(dict(row)) for row in rows[:limit]]


@dataclass(frozen=True, slots=True)
class Queue:
    """One person's work in one round, around the assignment that is being looked at."""

    open: Sequence[dict[str, Any]]
    done: Sequence[dict[str, Any]]
    open_count: int
    done_count: int
    due_today: int
    overdue: int
    previous_id: UUID | None
    next_id: UUID | None

    @property
    def total(self) -> int:
        return self.open_count + self.done_count


def queue_of(actor: Actor, assignment: ReviewAssignment) -> Queue:
    mine = ReviewAssignment.objects.visible_to(actor).filter(round=assignment.round_id, reviewer=actor.user)
    tonight = datetime.combine(timezone.localdate() + timedelta(days=1), time(), timezone.get_current_timezone())
    counts = mine.aggregate(
        open_count=Count("pk", filter=Q(state__in=ReviewAssignment.OPEN)),
        done_count=Count("pk", filter=Q(state=State.DONE)),
        overdue=Count("pk", filter=Q(state__in=ReviewAssignment.OPEN, due_at__lt=Now())),
        due_today=Count("pk", filter=Q(state__in=ReviewAssignment.OPEN, due_at__gte=Now(), due_at__lt=tonight)),
    )
    walk = mine.filter(state__in=(*ReviewAssignment.OPEN, State.DONE))
    before = walk.filter(pk__lt=assignment.pk).order_by("-pk").values_list("pk", flat=True)[:1]
    open_ones = mine.open().order_by("pk").values(*ROW_FIELDS)
    # The rail is a window that starts a little above the current one, however long the queue is.
    behind = list(open_ones.filter(pk__lt=assignment.pk).order_by("-pk")[:10])[::-1]
    ahead = list(open_ones.filter(pk__gte=assignment.pk)[: OPEN_SHOWN - len(behind)])
    done = mine.filter(state=State.DONE).order_by("-finished_at", "-pk").values(*ROW_FIELDS)[:DONE_SHOWN]
    return Queue(
        open=[titled(row) for row in (*behind, *ahead)],
        done=[titled(row) for row in done],
        previous_id=next(iter(before), None),
        next_id=next_open(actor, assignment),
        **counts,
    )


def next_open(actor: Actor, assignment: ReviewAssignment) -> UUID | None:
    """The next open one of the round after this; those that were skipped come again at the end."""
    mine = waiting_for(actor).filter(round=assignment.round_id).exclude(pk=assignment.pk)
    passed = Case(When(pk__gt=assignment.pk, then=0), default=1, output_field=IntegerField())
    return mine.order_by(passed, "pk").values_list("pk", flat=True).first()
