"""Configurations, and their executions."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone

from evalhub.accounts.tenancy import Deletable, DeletableQuerySet, Tenant, TenantQuerySet
from evalhub.database.fields import ChoiceField
from runs.models.cases import Category, Prompt, TestSet, Topic
from runs.models.evaluators import Evaluator
from runs.models.projects import Endpoint, Project


class TestConfiguration(Deletable):
    __test__ = False

    deleted_paths = ("deleted_at", "project__deleted_at")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="configurations")
    name = models.CharField(max_length=300)
    description = models.TextField(blank=True)
    endpoint = models.ForeignKey(
        Endpoint, null=True, blank=True, on_delete=models.SET_NULL, related_name="configurations"
    )
    test_set = models.ForeignKey(
        TestSet, null=True, blank=True, on_delete=models.SET_NULL, related_name="configurations"
    )
    category = models.ForeignKey(Category, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    topic = models.ForeignKey(Topic, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    prompt = models.ForeignKey(Prompt, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    parameters = models.JSONField(
        default=dict,
        blank=True,
        help_text="model, repetitions, concurrency, timeout, retry_count and the sender's own.",
    )
    status = models.CharField(max_length=40, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    evaluators: models.ManyToManyField[Evaluator, ConfigurationEvaluator] = models.ManyToManyField(
        Evaluator, through="ConfigurationEvaluator", related_name="configurations"
    )

    class Meta(Deletable.Meta):
        ordering = [Lower("name"), "id"]

    def __str__(self) -> str:
        return self.name


class ConfigurationEvaluator(models.Model):
    configuration = models.ForeignKey(TestConfiguration, on_delete=models.CASCADE, related_name="+")
    evaluator = models.ForeignKey(Evaluator, on_delete=models.CASCADE, related_name="+")
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["configuration", "evaluator"], name="evaluator_once_in_a_configuration")
        ]

    def __str__(self) -> str:
        return f"{self.configuration_id} {self.position}"


class TestSetEvaluator(models.Model):
    """An evaluator that a test set brings along (Rhesis: the metrics of a test set)."""

    __test__ = False

    test_set = models.ForeignKey(TestSet, on_delete=models.CASCADE, related_name="+")
    evaluator = models.ForeignKey(Evaluator, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["test_set", "evaluator"], name="evaluator_once_in_a_set")]

    def __str__(self) -> str:
        return f"{self.test_set_id} {self.evaluator_id}"


class TestRunQuerySet(DeletableQuerySet["TestRun"]):
    def listed(self) -> TestRunQuerySet:
        """The runs that lists and rates are about: not the hidden containers of single results."""
        return self.filter(kind=TestRun.Kind.TEST)

    def active(self) -> TestRunQuerySet:
        return self.filter(status__in=TestRun.ACTIVE)

    def newest_first(self) -> TestRunQuerySet:
        return self.order_by("-created_at", "-id")


class TestRun(Deletable):
    __test__ = False

    class Kind(models.TextChoices):
        TEST = "test", "Test run"
        ADHOC = "adhoc", "Results without a run"
        PRODUCTION = "production", "Production calls"

    class Status(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        COMPLETED = "completed", "Completed"
        PARTIAL = "partial", "Partial"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    class Via(models.TextChoices):
        PAGE = "page", "EvalHub"
        API = "api", "API"
        GENTRACE = "gentrace", "Gentrace SDK"
        RHESIS = "rhesis", "Rhesis SDK"
        IMPORT = "import", "Import"

    ACTIVE: ClassVar[tuple[str, ...]] = ("queued", "running")
    FINISHED: ClassVar[tuple[str, ...]] = ("completed", "partial", "failed", "cancelled")

    deleted_paths = ("deleted_at", "project__deleted_at")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="runs")
    configuration = models.ForeignKey(
        TestConfiguration, null=True, blank=True, on_delete=models.SET_NULL, related_name="runs"
    )
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=300)
    kind = ChoiceField(max_length=12, choices=Kind.choices, default=Kind.TEST)
    status = ChoiceField(max_length=12, choices=Status.choices, default=Status.QUEUED)
    via = ChoiceField(max_length=12, choices=Via.choices, default=Via.API)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    branch = models.CharField(max_length=200, blank=True)
    commit = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=300, blank=True, help_text="What answered, as the sender calls it.")
    day = models.DateField(null=True, blank=True, help_text="Of the one hidden run per day (adhoc, production).")
    reference = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    snapshot = models.JSONField(
        default=dict, blank=True, help_text="As it was at the start: endpoint, test_set, evaluators, parameters."
    )
    declared = models.JSONField(default=dict, blank=True, help_text="Totals that the imported file states itself.")
    warnings = models.JSONField(default=list, blank=True)
    error = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    # Counters: kept by results.recording and results.reviewing under this row's lock, checked by `recount`.
    planned_count = models.PositiveIntegerField(default=0, help_text="Results expected; 0 where nobody said.")
    result_count = models.PositiveIntegerField(default=0)
    last_position = models.PositiveIntegerField(default=0)
    case_count = models.PositiveIntegerField(default=0)
    passed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    errors = models.PositiveIntegerField(default=0)
    unjudged = models.PositiveIntegerField(default=0)
    machine_passed = models.PositiveIntegerField(default=0)
    machine_failed = models.PositiveIntegerField(default=0)
    machine_errors = models.PositiveIntegerField(default=0)
    machine_unjudged = models.PositiveIntegerField(default=0)
    reviews_required = models.PositiveIntegerField(default=0, help_text="Live assignments, done ones included.")
    reviews_done = models.PositiveIntegerField(default=0)
    reviewed = models.PositiveIntegerField(default=0, help_text="Results with at least one review.")
    corrected = models.PositiveIntegerField(default=0, help_text="Results whose outcome people changed.")
    conflicts = models.PositiveIntegerField(default=0)
    total_cost = models.FloatField(default=0)
    costed_count = models.PositiveIntegerField(default=0, help_text="Results whose cost is known.")
    total_tokens = models.BigIntegerField(default=0)
    total_latency_ms = models.FloatField(default=0)
    timed_count = models.PositiveIntegerField(default=0, help_text="Results whose latency is known.")
    # Sums over cases of judged^2, judged x passed and passed^2: what the interval clustered by case needs.
    judged_squares = models.BigIntegerField(default=0)
    judged_passed = models.BigIntegerField(default=0)
    passed_squares = models.BigIntegerField(default=0)
    judged_cases = models.PositiveIntegerField(default=0, help_text="Clusters with at least one verdict.")
    pass_rate = models.FloatField(null=True, blank=True, help_text="passed / (passed + failed), 0 to 1.")
    pass_low = models.FloatField(null=True, blank=True)
    pass_high = models.FloatField(null=True, blank=True)

    objects = TestRunQuerySet.as_manager()  # type: ignore[misc]

    class Meta(Deletable.Meta):
        indexes = [
            models.Index(fields=["organization", "-created_at", "-id"], name="run_newest"),
            models.Index(fields=["project", "-created_at", "-id"], name="run_newest_of_project"),
            models.Index(fields=["configuration", "-created_at", "-id"], name="run_newest_of_conf"),
            models.Index(fields=["organization", "pass_rate", "id"], name="run_by_pass_rate"),
        ]
        constraints = [
            *Deletable.Meta.constraints,
            models.UniqueConstraint(fields=["project", "number"], name="run_number_once"),
            models.UniqueConstraint(fields=["id", "organization"], name="run_with_its_organization"),
            models.UniqueConstraint(
                fields=["project", "configuration", "kind", "day"],
                condition=~Q(kind="test") & Q(deleted_at__isnull=True),
                nulls_distinct=False,
                name="one_hidden_run_a_day",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running"], finished_at__isnull=True)
                | Q(status__in=["completed", "partial", "failed", "cancelled"], finished_at__isnull=False),
                name="run_finished_at_iff_finished",
            ),
            models.CheckConstraint(
                condition=Q(result_count=F("passed") + F("failed") + F("errors") + F("unjudged")),
                name="run_outcomes_add_up",
            ),
            models.CheckConstraint(
                condition=Q(
                    result_count=F("machine_passed") + F("machine_failed") + F("machine_errors") + F("machine_unjudged")
                ),
                name="run_machine_outcomes_add_up",
            ),
            models.CheckConstraint(
                condition=Q(reviews_done__lte=F("reviews_required")), name="run_reviews_done_at_most_required"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} #{self.number}"

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE

    @property
    def judged(self) -> int:
        return self.passed + self.failed

    @property
    def judged_share(self) -> float | None:
        """Of its results, those with a verdict."""
        return self.judged / self.result_count if self.result_count else None

    @property
    def duration_ms(self) -> float | None:
        if not self.started_at or not self.finished_at:
            return None
        return (self.finished_at - self.started_at).total_seconds() * 1000

    def start(self) -> bool:
        return self._move(self.Status.RUNNING, from_=("queued",), started_at=timezone.now())

    def finish(self, status: str | None = None) -> bool:
        """End an active run; without a word the counters decide: all errored or none -> failed, some -> partial."""
        self.refresh_from_db(fields=["result_count", "errors", "machine_errors", "status"])
        if status is None:
            if self.result_count == 0 or self.machine_errors == self.result_count:
                status = self.Status.FAILED
            elif self.machine_errors:
                status = self.Status.PARTIAL
            else:
                status = self.Status.COMPLETED
        return self._move(status, from_=self.ACTIVE, finished_at=timezone.now())

    def cancel(self) -> bool:
        return self._move(self.Status.CANCELLED, from_=self.ACTIVE, finished_at=timezone.now())

    def _move(self, status: str, *, from_: tuple[str, ...], **values: Any) -> bool:
        """Change the state if it still is one of ``from_``; says whether it did."""
        moved = TestRun.objects.filter(pk=self.pk, status__in=from_).update(
            status=status, updated_at=timezone.now(), **values
        )
        self.refresh_from_db(fields=["status", *values])
        return bool(moved)


class Variant(Tenant):
    """One column of a run that asks each case several ways (promptfoo's prompt x provider)."""

    deleted_paths = ("run__deleted_at", "run__project__deleted_at")
    run = models.ForeignKey(TestRun, on_delete=models.CASCADE, related_name="variants")
    position = models.PositiveIntegerField(default=0)
    label = models.CharField(max_length=300)
    provider = models.CharField(max_length=300, blank=True)
    prompt = models.TextField(blank=True)
    parameters = models.JSONField(default=dict, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["run", "position"], name="variant_position_once")]

    def __str__(self) -> str:
        return self.label


class Shard(Tenant):
    """A share of a launched run's work, frozen when it was launched: what one job does. Done when its rows are."""

    class Kind(models.TextChoices):
        ASK = "ask", "Ask and judge"
        JUDGE = "judge", "Judge again"

    deleted_paths = ("run__deleted_at", "run__project__deleted_at")
    run = models.ForeignKey(TestRun, on_delete=models.CASCADE, related_name="shards", db_index=False)
    kind = ChoiceField(max_length=8, choices=Kind.choices, default=Kind.ASK)
    number = models.PositiveIntegerField()
    work = models.JSONField(
        default=dict, help_text="Ask: cases [[id, revision]]. Judge: results, evaluators as they were, scoring."
    )
    size = models.PositiveIntegerField(default=0, help_text="Results to ask for, or to judge.")
    starts = models.PositiveIntegerField(default=0, help_text="Since it last recorded anything.")
    done_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["number"]
        indexes = [models.Index(fields=["run"], condition=Q(done_at__isnull=True), name="shard_to_do")]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="shard_number_once")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.number}"
