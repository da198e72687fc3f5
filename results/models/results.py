"""What came back, and what machines and people think of it."""

from __future__ import annotations

import sys
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Case as OneOf
from django.db.models import F, Q, When

from evalhub.accounts.models import Organization
from evalhub.accounts.tenancy import Deletable, DeletableQuerySet, Named, Tenant, TenantQuerySet
from evalhub.database.fields import ChoiceField
from evalhub.database.lookups import contains
from evalhub.web import json
from runs.models import Case, Evaluator, TestRun, Variant


class Outcome(models.TextChoices):
    PASSED = "passed", "Pass"
    FAILED = "failed", "Fail"
    ERROR = "error", "Error"
    UNJUDGED = "unjudged", "Unjudged"


class TestResultQuerySet(DeletableQuerySet["TestResult"]):
    def passed(self) -> Self:
        return self.filter(outcome=Outcome.PASSED)

    def failed(self) -> Self:
        return self.filter(outcome=Outcome.FAILED)

    def errored(self) -> Self:
        return self.filter(outcome=Outcome.ERROR)

    def conflicting(self) -> Self:
        return self.filter(review_state=TestResult.ReviewState.CONFLICT)

    def unreviewed(self) -> Self:
        return self.filter(review_count=0)

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")


class TestResult(Deletable):
    """What came back for one case in one run (one variant, one repetition)."""

    __test__ = False

    class ReviewState(models.TextChoices):
        NONE = "none", "Not asked"
        OPEN = "open", "Open"
        REVIEWED = "reviewed", "Reviewed"
        CONFLICT = "conflict", "Conflict"

    deleted_paths = ("deleted_at", "run__deleted_at", "run__project__deleted_at")
    # One key (run, organization) of the run: a result cannot be in another organisation than its run.
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    run = models.ForeignKey(
        TestRun, on_delete=models.CASCADE, related_name="results", db_index=False, db_constraint=False
    )
    case = models.ForeignKey(
        Case, null=True, blank=True, on_delete=models.SET_NULL, related_name="results", db_index=False
    )
    case_revision = models.PositiveIntegerField(null=True, blank=True)
    variant = models.ForeignKey(
        Variant, null=True, blank=True, on_delete=models.CASCADE, related_name="results", db_index=False
    )
    repetition = models.PositiveIntegerField(default=1)
    position = models.PositiveIntegerField(default=0, help_text="Order of arrival in the run.")
    name = models.CharField(max_length=300, blank=True, help_text="The case's name when the result arrived.")
    input_preview = models.CharField(max_length=300, blank=True)
    output_preview = models.CharField(max_length=300, blank=True)
    inputs = models.JSONField(default=dict)
    expected = models.JSONField(null=True, blank=True)
    output = models.JSONField(null=True, blank=True, help_text="An object; the key of a lone text is 'output'.")
    conversation = models.JSONField(default=list, blank=True, help_text="[{turn, messages, success, latency_ms}].")
    error = models.TextField(blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    reported_outcome = ChoiceField(
        max_length=8, choices=Outcome.choices, blank=True, help_text="The sender's own word, where it has one."
    )
    machine_outcome = ChoiceField(max_length=8, choices=Outcome.choices, default=Outcome.UNJUDGED)
    outcome = ChoiceField(
        max_length=8, choices=Outcome.choices, default=Outcome.UNJUDGED, help_text="Effective: people over machine."
    )
    human_verdict = ChoiceField(
        max_length=8,
        choices=Outcome.choices,
        blank=True,
        help_text="What the reviewers agree on; empty: none or differ.",
    )
    review_state = ChoiceField(max_length=8, choices=ReviewState.choices, default=ReviewState.NONE)
    reviews_required = models.PositiveSmallIntegerField(default=0)
    reviews_done = models.PositiveSmallIntegerField(default=0)
    review_count = models.PositiveSmallIntegerField(default=0, help_text="Current reviews, asked for or not.")
    corrected = models.BooleanField(default=False)
    latency_ms = models.FloatField(null=True, blank=True)
    wall_ms = models.FloatField(null=True, blank=True)
    cost = models.FloatField(null=True, blank=True, help_text="US dollars.")
    usage = models.JSONField(default=dict, blank=True, help_text="{model: {input, output, ...}} in tokens.")
    tokens = models.BigIntegerField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    session_id = models.CharField(max_length=300, blank=True)
    render_html_key = models.CharField(max_length=200, blank=True, help_text="Output that holds HTML to show.")
    path = models.JSONField(null=True, blank=True, help_text="Gentrace: [{type: suite, name}].")
    previous_run_id = models.UUIDField(null=True, blank=True, help_text="Gentrace: the production run before this.")
    collection_method = models.CharField(max_length=16, blank=True)

    objects = TestResultQuerySet.as_manager()  # type: ignore[misc]

    class Meta(Deletable.Meta):
        indexes = [
            models.Index(fields=["run", "position", "id"], name="result_in_order"),
            models.Index(fields=["run", "outcome", "position", "id"], name="result_by_outcome"),
            models.Index(fields=["run", "machine_outcome", "position", "id"], name="result_by_machine"),
            models.Index(
                fields=["run", "review_state", "position", "id"],
                condition=~Q(review_state="none"),
                name="result_by_review",
            ),
            models.Index(F("run"), F("latency_ms").desc(nulls_last=True), F("id").desc(), name="result_by_latency"),
            models.Index(fields=["case", "-created_at"], name="result_history_of_case"),
            models.Index(fields=["organization", "-created_at", "-id"], name="result_newest"),
            models.Index(fields=["organization", "outcome", "-created_at", "-id"], name="result_newest_by_outcome"),
            *(
                models.Index(
                    fields=["organization", "-created_at", "-id"], condition=rare, name=f"result_newest_{name}"
                )
                for name, rare in {
                    "in_review": ~Q(review_state="none"),
                    "corrected": Q(corrected=True),
                    "archived": Q(archived_at__isnull=False),
                }.items()
            ),
            GinIndex(fields=["tags"], name="result_by_tag"),
        ]
        constraints = [
            *Deletable.Meta.constraints,
            models.UniqueConstraint(fields=["id", "run", "organization"], name="result_with_its_run"),
            models.UniqueConstraint(
                fields=["run", "case", "variant", "repetition"],
                condition=Q(case__isnull=False, deleted_at__isnull=True),
                nulls_distinct=False,
                name="result_once",
            ),
            models.CheckConstraint(
                condition=Q(reviews_done__lte=F("reviews_required")), name="result_reviews_done_at_most_required"
            ),
            models.CheckConstraint(condition=Q(repetition__gte=1), name="result_repetition_from_one"),
        ]

    #: What lists never load.
    HEAVY: ClassVar[tuple[str, ...]] = (
        "inputs",
        "expected",
        "output",
        "conversation",
        "usage",
        "metadata",
        "attributes",
        "error",
        "path",
    )

    def __str__(self) -> str:
        return self.name or f"Result {self.position}"

    @property
    def output_text(self) -> str:
        return text_of(self.output)

    @property
    def input_text(self) -> str:
        return text_of(self.inputs)

    @property
    def expected_text(self) -> str:
        return text_of(self.expected)


class SearchTextQuerySet(TenantQuerySet["SearchText"]):
    def holding(self, text: str) -> Self:
        """Those that hold the text, whatever its case, in the index already or not yet."""
        holds = Q(contains("text", text))
        return self.filter(holds & Q(indexed=True) | holds & Q(indexed=False))


class SearchText(models.Model):
    """What the search finds a result by.

    A trigram index costs more than everything else about an arriving result, so a worker adds the text to it
    (``index_texts``); the search reads those that wait for it one by one. A table of its own, or each review of the
    result would write the index again.
    """

    deleted_paths = ("result__deleted_at", "result__run__deleted_at", "result__run__project__deleted_at")
    # One key (result, run, organization) of the result, as evaluations have it.
    result = models.OneToOneField(
        TestResult, primary_key=True, on_delete=models.CASCADE, related_name="searched", db_constraint=False
    )
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    run = models.ForeignKey(TestRun, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    text = models.TextField(blank=True, help_text="The first 2,000 characters of inputs and output.")
    indexed = models.BooleanField(default=False)

    objects = SearchTextQuerySet.as_manager()

    class Meta:
        indexes = [
            GinIndex(
                fields=["text"], opclasses=["gin_trgm_ops"], condition=Q(indexed=True), name="search_text_indexed"
            ),
            models.Index(fields=["indexed", "run"], name="search_text_of_run"),
        ]

    def __str__(self) -> str:
        return f"of {self.result_id}"


class Step(Tenant):
    """One call inside a result: LLM, tool, retrieval."""

    class Kind(models.TextChoices):
        LLM = "llm", "LLM"
        TOOL = "tool", "Tool"
        RETRIEVAL = "retrieval", "Retrieval"
        OTHER = "other", "Other"

    deleted_paths = ("result__deleted_at", "result__run__deleted_at", "result__run__project__deleted_at")
    result = models.ForeignKey(TestResult, on_delete=models.CASCADE, related_name="steps", db_index=False)
    position = models.PositiveIntegerField(default=0)
    turn = models.PositiveIntegerField(null=True, blank=True)
    kind = ChoiceField(max_length=12, choices=Kind.choices, default=Kind.OTHER)
    name = models.CharField(max_length=300, blank=True, help_text="Gentrace: invocation.")
    provider = models.CharField(max_length=300, blank=True)
    parameters = models.JSONField(default=dict, blank=True)
    inputs = models.JSONField(default=dict, blank=True)
    outputs = models.JSONField(default=dict, blank=True)
    context = models.JSONField(default=dict, blank=True)
    error = models.TextField(blank=True)
    usage = models.JSONField(default=dict, blank=True)
    cost = models.FloatField(null=True, blank=True)
    latency_ms = models.FloatField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["position", "id"]
        indexes = [models.Index(fields=["result", "position", "id"], name="step_in_order")]

    def __str__(self) -> str:
        return self.name or self.kind


class EvaluationQuerySet(TenantQuerySet["Evaluation"]):
    def current(self) -> Self:
        """The newest of each pair that nobody withdrew."""
        return self.filter(is_current=True)

    def by_machine(self) -> Self:
        return self.filter(source=Evaluation.Source.MACHINE)

    def by_people(self) -> Self:
        return self.filter(source=Evaluation.Source.HUMAN)


class Evaluation(Tenant):
    """One judgement: evaluator x result (x turn), by a machine or by a person.

    ``evaluator`` is null only for a person's verdict on the whole result. ``run`` and ``outcome`` repeat the
    result's (written in the same transaction), so that one index answers "failed, sorted by this score".
    """

    class Source(models.TextChoices):
        MACHINE = "machine", "Machine"
        HUMAN = "human", "Human"

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        SCORED = "scored", "Scored"
        UNSCORED = "unscored", "Unscored"
        ERROR = "error", "Error"

    deleted_paths = ("result__deleted_at", "result__run__deleted_at", "result__run__project__deleted_at")
    # One key (result, run, organization) of the result: what is repeated here cannot differ.
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    run = models.ForeignKey(
        TestRun, on_delete=models.CASCADE, related_name="evaluations", db_index=False, db_constraint=False
    )
    result = models.ForeignKey(
        TestResult, on_delete=models.CASCADE, related_name="evaluations", db_index=False, db_constraint=False
    )
    evaluator = models.ForeignKey(
        Evaluator, null=True, blank=True, on_delete=models.PROTECT, related_name="evaluations"
    )
    evaluator_version = models.PositiveIntegerField(null=True, blank=True)
    turn = models.PositiveIntegerField(null=True, blank=True)
    source = ChoiceField(max_length=8, choices=Source.choices)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    author_name = models.CharField(max_length=200, blank=True, help_text="A person of the file, not of EvalHub.")
    nth = models.PositiveSmallIntegerField(default=0, help_text="Tells several judgements of one pair apart.")
    is_current = models.BooleanField(default=True, help_text="The newest of its pair, and not withdrawn.")
    state = ChoiceField(max_length=8, choices=State.choices, default=State.SCORED)
    value = models.FloatField(null=True, blank=True)
    label = models.CharField(max_length=300, null=True, blank=True)
    passed = models.BooleanField(null=True, blank=True, help_text="Null: no verdict.")
    effective = models.BooleanField(null=True, blank=True, help_text="The verdict after people's corrections.")
    threshold = models.FloatField(null=True, blank=True)
    explanation = models.TextField(blank=True)
    error = models.TextField(blank=True)
    debug = models.JSONField(null=True, blank=True)
    usage = models.JSONField(default=dict, blank=True, help_text="{model: {input, output}} in tokens.")
    cost = models.FloatField(null=True, blank=True)
    latency_ms = models.FloatField(null=True, blank=True)
    via = ChoiceField(max_length=12, choices=TestRun.Via.choices, default=TestRun.Via.API)
    outcome = ChoiceField(max_length=8, choices=Outcome.choices, default=Outcome.UNJUDGED)
    review = models.ForeignKey(
        "results.Review", null=True, blank=True, on_delete=models.SET_NULL, related_name="evaluations", db_index=False
    )
    metadata = models.JSONField(default=dict, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    objects = EvaluationQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                F("run"),
                F("evaluator"),
                F("outcome"),
                F("value").desc(nulls_last=True),
                F("result").desc(),
                condition=Q(source="machine", is_current=True, turn__isnull=True),
                name="evaluation_by_outcome",
            ),
            models.Index(
                F("run"),
                F("evaluator"),
                F("value").desc(nulls_last=True),
                F("result").desc(),
                condition=Q(source="machine", is_current=True, turn__isnull=True),
                name="evaluation_by_value",
            ),
            models.Index(
                F("run"),
                F("evaluator"),
                F("effective"),
                F("result"),
                condition=Q(source="machine", is_current=True, turn__isnull=True),
                name="evaluation_by_verdict",
            ),
            models.Index(fields=["review"], condition=Q(review__isnull=False), name="evaluation_of_review"),
            models.Index(fields=["run"], name="evaluation_of_run"),  # all of them: the others are for lists
        ]
        constraints = [
            # Of a pair one is current, and those before it are told apart by nth. One index does both, since every
            # arriving row pays for it; the next one knows the few rows that are not the first of their pair.
            models.UniqueConstraint(
                F("result"),
                F("evaluator"),
                F("turn"),
                F("source"),
                F("author"),
                F("author_name"),
                OneOf(When(is_current=False, then=F("nth"))),
                nulls_distinct=False,
                name="one_current_evaluation",
            ),
            models.UniqueConstraint(
                fields=["result", "evaluator", "turn", "source", "author", "author_name", "nth"],
                condition=Q(nth__gt=0) | Q(is_current=False),
                nulls_distinct=False,
                name="evaluations_numbered",
            ),
            models.CheckConstraint(
                condition=Q(evaluator__isnull=False) | Q(source="human"), name="only_people_judge_the_whole"
            ),
            models.CheckConstraint(
                condition=Q(state="scored")
                | Q(value__isnull=True, label__isnull=True, passed__isnull=True)
                | Q(state="unscored", value__isnull=True, passed__isnull=True),
                name="only_scored_evaluations_have_a_score",
            ),
            models.CheckConstraint(
                # PostgreSQL sorts NaN above every number, so the bounds refuse it too.
                condition=Q(value__isnull=True) | Q(value__gte=-sys.float_info.max, value__lte=sys.float_info.max),
                name="evaluation_value_finite",
            ),
            models.CheckConstraint(
                condition=Q(withdrawn_at__isnull=True) | Q(is_current=False), name="withdrawn_is_not_current"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.evaluator_id or 'whole result'}: {self.label or self.value}"


class Rollup(Tenant):
    """The numbers of one evaluator in one run (and variant): machine's verdicts, and after people's corrections.

    Written in the transaction that records or reviews, under the run's row lock; whole-result judgements only
    (no turns), the current one of each pair.
    """

    deleted_paths = ("run__deleted_at", "run__project__deleted_at")
    run = models.ForeignKey(TestRun, on_delete=models.CASCADE, related_name="rollups", db_index=False)
    variant = models.ForeignKey(Variant, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    evaluator = models.ForeignKey(Evaluator, on_delete=models.CASCADE, related_name="+")
    pending = models.PositiveIntegerField(default=0)
    scored = models.PositiveIntegerField(default=0)
    unscored = models.PositiveIntegerField(default=0)
    errors = models.PositiveIntegerField(default=0)
    passed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    effective_passed = models.PositiveIntegerField(default=0)
    effective_failed = models.PositiveIntegerField(default=0)
    corrected = models.PositiveIntegerField(default=0)
    value_count = models.PositiveIntegerField(default=0)
    value_sum = models.FloatField(default=0)
    value_min = models.FloatField(null=True, blank=True)
    value_max = models.FloatField(null=True, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "variant", "evaluator"], nulls_distinct=False, name="rollup_once")
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.evaluator_id}"

    @property
    def mean(self) -> float | None:
        return self.value_sum / self.value_count if self.value_count else None


class Feedback(Named):
    """What a user of the application said of one production call."""

    deleted_paths = ("result__deleted_at", "result__run__deleted_at", "result__run__project__deleted_at")
    result = models.ForeignKey(TestResult, on_delete=models.CASCADE, related_name="feedback")
    score = models.FloatField(help_text="0 to 1.")
    details = models.TextField(blank=True)
    recorded_at = models.DateTimeField()

    class Meta(Named.Meta):
        constraints = [
            *Named.Meta.constraints,
            models.CheckConstraint(condition=Q(score__gte=0, score__lte=1), name="feedback_score_is_a_share"),
        ]

    def __str__(self) -> str:
        return f"{self.score:g}"


def text_of(value: Any) -> str:
    """The text a person reads first: the lone value or the usual key of an object, else compact JSON."""
    if value is None or value == {}:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        for key in ("output", "input", "value", "text", "content", "answer", "expected"):
            if isinstance(value.get(key), str):
                return str(value[key])
        if len(value) == 1:
            (only,) = value.values()
            if isinstance(only, str):
                return only
    return json.dumps(value).decode()
