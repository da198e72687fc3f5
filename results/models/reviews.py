"""Asking people, and what they said."""

from __future__ import annotations

from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from evalhub.accounts.tenancy import Named, Tenant, TenantQuerySet
from evalhub.database.fields import ChoiceField
from results.models.results import TestResult
from runs.models import Project, TestRun


class ReviewRound(Named):
    """A named piece of review work: which results, how often, by when, judged how."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        CLOSED = "closed", "Closed"

    deleted_paths = ("project__deleted_at", "run__deleted_at")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="review_rounds")
    run = models.ForeignKey(TestRun, null=True, blank=True, on_delete=models.CASCADE, related_name="review_rounds")
    name = models.CharField(max_length=200)
    rubric = models.TextField(blank=True, help_text="What the reviewers judge by; Markdown.")
    overlap = models.PositiveSmallIntegerField(default=1, help_text="Reviewers per result.")
    due_at = models.DateTimeField(null=True, blank=True)
    state = ChoiceField(max_length=8, choices=State.choices, default=State.OPEN)
    seed = models.BigIntegerField(help_text="The deal and the sample are drawn with it; used for one round only.")
    selection = models.JSONField(default=dict, blank=True, help_text="What was asked for: rules, shares, sizes.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta(Named.Meta):
        constraints = [
            *Named.Meta.constraints,
            models.UniqueConstraint(fields=["organization", "seed"], name="round_seed_once"),
            models.CheckConstraint(condition=Q(overlap__gte=1), name="round_overlap_from_one"),
        ]

    def __str__(self) -> str:
        return self.name


class ReviewAssignmentQuerySet(TenantQuerySet["ReviewAssignment"]):
    def open(self) -> Self:
        """Waiting for its reviewer."""
        return self.filter(state__in=ReviewAssignment.OPEN)

    def live(self) -> Self:
        """Counted as required: neither declined nor withdrawn."""
        return self.filter(state__in=ReviewAssignment.LIVE)

    def of(self, user: models.Model) -> Self:
        return self.filter(reviewer=user)

    def waiting_for(self, user: models.Model) -> Self:
        """Open work of one person; a lease that ran out is nobody's."""
        return self.open().of(user).exclude(lease_until__lte=Now())

    def free(self) -> Self:
        """Open slots that anybody may take: never given, or their lease ran out."""
        return self.open().filter(Q(reviewer__isnull=True) | Q(lease_until__lte=Now()))

    def overdue(self) -> Self:
        return self.open().filter(due_at__lt=timezone.now())

    def most_urgent_first(self) -> Self:
        return self.order_by(F("due_at").asc(nulls_last=True), "id")


class ReviewAssignment(Tenant):
    """One slot: one person is asked for one review of one result. A declined one stays, and its slot opens again."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        STARTED = "started", "Started"
        DONE = "done", "Done"
        DECLINED = "declined", "Declined"
        WITHDRAWN = "withdrawn", "Withdrawn"

    OPEN: ClassVar[tuple[str, ...]] = ("open", "started")
    LIVE: ClassVar[tuple[str, ...]] = ("open", "started", "done")

    deleted_paths = ("result__deleted_at", "result__run__deleted_at", "result__run__project__deleted_at")
    round = models.ForeignKey(ReviewRound, on_delete=models.CASCADE, related_name="assignments")
    result = models.ForeignKey(TestResult, on_delete=models.CASCADE, related_name="assignments")
    slot = models.PositiveSmallIntegerField(default=1)
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="assignments"
    )
    state = ChoiceField(max_length=12, choices=State.choices, default=State.OPEN)
    due_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True, help_text="Of a slot taken from a shared queue.")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    decline_reason = models.TextField(blank=True)
    draft = models.JSONField(null=True, blank=True)
    assigned_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    objects = ReviewAssignmentQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                F("reviewer"),
                F("due_at").asc(nulls_last=True),
                F("id"),
                condition=Q(state__in=["open", "started"]),
                name="assignment_open_of_reviewer",
            ),
            models.Index(fields=["result", "state"], name="assignment_of_result"),
            models.Index(fields=["round", "state"], name="assignment_of_round"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["round", "result", "slot"],
                condition=Q(state__in=["open", "started", "done"]),
                name="one_live_assignment_per_slot",
            ),
            models.UniqueConstraint(
                fields=["round", "result", "reviewer"], name="one_assignment_per_reviewer_and_round"
            ),
            models.UniqueConstraint(
                fields=["result", "reviewer"],
                condition=Q(state__in=["open", "started"]),
                name="one_open_assignment_per_reviewer_and_result",
            ),
            models.CheckConstraint(
                condition=Q(finished_at__isnull=False) | ~Q(state="done"), name="done_assignment_has_finished_at"
            ),
            models.CheckConstraint(condition=Q(slot__gte=1), name="assignment_slot_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.result_id} for {self.reviewer_id}"

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def is_overdue(self) -> bool:
        return self.is_open and self.due_at is not None and self.due_at < timezone.now()


class Review(Tenant):
    """One person's visit to one result. Rows are only added; a later one of the same person replaces it."""

    class Verdict(models.TextChoices):
        PASSED = "passed", "Pass"
        FAILED = "failed", "Fail"
        CANT_TELL = "cant_tell", "Can’t tell"
        NONE = "", "No overall verdict"

    deleted_paths = ("result__deleted_at", "result__run__deleted_at", "result__run__project__deleted_at")
    # Both are what the indexes below begin with.
    result = models.ForeignKey(TestResult, on_delete=models.CASCADE, related_name="reviews", db_index=False)
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="reviews", db_index=False
    )
    assignment = models.OneToOneField(
        ReviewAssignment, null=True, blank=True, on_delete=models.SET_NULL, related_name="review"
    )
    verdict = ChoiceField(max_length=10, choices=Verdict.choices, blank=True)
    comment = models.TextField(blank=True)
    via = ChoiceField(max_length=12, choices=TestRun.Via.choices, default=TestRun.Via.PAGE)
    is_current = models.BooleanField(default=True)
    seconds = models.FloatField(null=True, blank=True, help_text="From opening to submitting.")
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["result", "-created_at"], name="review_newest_of_result"),
            models.Index(fields=["reviewer", "-created_at"], name="review_newest_of_reviewer"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["result", "reviewer"],
                condition=Q(is_current=True),
                name="one_current_review_per_reviewer",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_verdict_display()} by {self.reviewer}"
