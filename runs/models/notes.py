"""What people attach to things, and what clients and pages remember.

Comments, tasks and attachments name their thing by (entity_type, entity_id), so that this room never looks up.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, ClassVar, Final, Self
from uuid import UUID, uuid4

from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models import Q, Value
from django.db.models.expressions import RawSQL
from django.utils import timezone

from evalhub.accounts.tenancy import Deletable, Named, Tenant, TenantQuerySet
from evalhub.database.fields import ChoiceField
from runs.models.cases import Case
from runs.models.projects import Project


class EntityType(models.TextChoices):
    PROJECT = "project", "Project"
    ENDPOINT = "endpoint", "Endpoint"
    TEST_SET = "test_set", "Test set"
    CASE = "case", "Case"
    EVALUATOR = "evaluator", "Evaluator"
    CONFIGURATION = "configuration", "Configuration"
    RUN = "run", "Run"
    RESULT = "result", "Result"

    @property
    def model(self) -> type[Deletable]:
        """Whose rows are of this kind: by name, as one of them is in the room above."""
        return apps.get_model(MODELS[self])


MODELS: Final[dict[str, str]] = {
    EntityType.PROJECT: "runs.Project",
    EntityType.ENDPOINT: "runs.Endpoint",
    EntityType.TEST_SET: "runs.TestSet",
    EntityType.CASE: "runs.Case",
    EntityType.EVALUATOR: "runs.Evaluator",
    EntityType.CONFIGURATION: "runs.TestConfiguration",
    EntityType.RUN: "runs.TestRun",
    EntityType.RESULT: "results.TestResult",
}


class Tag(Named):
    """A word of the organisation's tag list; the tagged rows hold the name."""

    name = models.CharField(max_length=80)
    icon = models.CharField(max_length=16, blank=True)

    class Meta(Named.Meta):
        constraints = [
            *Named.Meta.constraints,
            models.UniqueConstraint(fields=["organization", "name"], name="tag_name_once"),
        ]

    def __str__(self) -> str:
        return self.name


class Lookup(Named):
    """A word of the organisation's own beside those in code: a status, or a value of one of Rhesis' lists."""

    family = models.CharField(max_length=80, help_text="status:Test, status:General, or the list's name.")
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)

    class Meta(Named.Meta):
        constraints = [
            *Named.Meta.constraints,
            models.UniqueConstraint(fields=["organization", "family", "name"], name="lookup_name_once"),
        ]

    def __str__(self) -> str:
        return self.name


class IsThere(models.Func):
    """``IsThere("entity_type", "entity_id", organization)``: nothing of what the row is about is deleted.

    A scalar subquery per kind, as PostgreSQL would answer ``EXISTS`` by reading all of an organisation's results.
    """

    output_field = models.BooleanField()

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, Any]:  # type: ignore[override]
        (kind, _), (ident, _), (_, organization) = (compiler.compile(one) for one in self.source_expressions)
        kinds, places = _lookups()
        condition = " ".join(f"WHEN '{word}' THEN ({sql.replace('{ident}', ident)})" for word, sql in kinds.items())
        return f"({ident} IS NULL OR CASE {kind} {condition} END) IS TRUE", [*organization] * places


@cache
def _lookups() -> tuple[dict[str, str], int]:
    """Of each kind, the SQL that finds one row, and how often it all names the organisation: written once."""
    organization, ident = uuid4(), uuid4()
    places = {organization: "%s", ident: "{ident}"}
    found, given = {}, list[UUID]()
    for kind in EntityType:
        rows = kind.model._default_manager.visible_in(organization).filter(pk=ident).order_by()
        sql, params = rows.values_list(RawSQL("TRUE", ())).query.sql_with_params()
        found[str(kind)] = sql % tuple(places[value] for value in params)
        given += params
    return found, given.count(organization)


class NoteQuerySet[T: models.Model](TenantQuerySet[T]):
    """Notes go with what they are about, and it with what it belongs to."""

    def visible_in(self, organization_id: UUID) -> Self:
        return super().visible_in(organization_id).filter(IsThere("entity_type", "entity_id", Value(organization_id)))

    def release(self, organization_id: UUID, external_ids: Iterable[str]) -> int:
        """Notes that are gone give these ids up: their senders may use them again."""
        named = self.filter(organization=organization_id, external_id__in=list(external_ids))
        return named.exclude(pk__in=named.visible_in(organization_id)).update(external_id=None)


class OfEntity(Named):
    entity_type = ChoiceField(max_length=16, choices=EntityType.choices)
    entity_id = models.UUIDField()

    objects = NoteQuerySet.as_manager()  # type: ignore[misc]

    class Meta(Named.Meta):
        abstract = True
        indexes = [models.Index(fields=["entity_type", "entity_id", "id"], name="%(class)s_of_entity")]

    def save(self, *args: Any, **options: Any) -> None:
        if self._state.adding and self.external_id:
            type(self)._default_manager.release(self.organization_id, [self.external_id])
        super().save(*args, **options)


class Comment(OfEntity):
    deleted_paths = ("deleted_at",)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    text = models.TextField()
    turn = models.PositiveIntegerField(null=True, blank=True)
    emojis = models.JSONField(default=dict, blank=True)
    edited_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    LONGEST: ClassVar[int] = 10_000

    class Meta(OfEntity.Meta):
        pass

    def __str__(self) -> str:
        return self.text[:80]

    def rewrite(self, text: str) -> bool:
        """Say it in other words; whether they are others."""
        if text == self.text:
            return False
        self.text, self.edited_at = text, timezone.now()
        self.save(update_fields=["text", "edited_at", "updated_at"])
        return True


class Task(Named):
    class Priority(models.TextChoices):
        LOW = "Low", "Low"
        MEDIUM = "Medium", "Medium"
        HIGH = "High", "High"

    class Status(models.TextChoices):
        OPEN = "Open", "Open"
        IN_PROGRESS = "In Progress", "In progress"
        COMPLETED = "Completed", "Completed"
        CANCELLED = "Cancelled", "Cancelled"

    title = models.CharField(max_length=300)
    description = models.TextField(blank=True)
    status = ChoiceField(max_length=16, choices=Status.choices, default=Status.OPEN)
    priority = ChoiceField(max_length=8, choices=Priority.choices, default=Priority.MEDIUM)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    entity_type = ChoiceField(max_length=16, choices=EntityType.choices, blank=True)
    entity_id = models.UUIDField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    metadata = models.JSONField(default=dict, blank=True)

    objects = NoteQuerySet.as_manager()  # type: ignore[misc]

    class Meta(Named.Meta):
        indexes = [models.Index(fields=["entity_type", "entity_id", "id"], name="task_of_entity")]

    def __str__(self) -> str:
        return self.title


class CaseVerdict(Named):
    """What a person says of a case itself, whatever any run made of it (Rhesis: an annotation of a test)."""

    deleted_paths = ("deleted_at", "case__deleted_at", "case__project__deleted_at")
    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="verdicts")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    passed = models.BooleanField(null=True, help_text="Null: cannot tell.")
    comment = models.TextField(blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta(Named.Meta):
        indexes = [models.Index(fields=["case", "-created_at"], name="verdict_newest_of_case")]

    def __str__(self) -> str:
        return self.comment[:80]


class Attachment(OfEntity):
    filename = models.CharField(max_length=255)
    content_type = models.CharField(max_length=200, default="application/octet-stream")
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes.")
    position = models.PositiveIntegerField(default=0)
    file = models.FileField(upload_to="attachments/%Y/%m/", max_length=300)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta(OfEntity.Meta):
        pass

    def __str__(self) -> str:
        return self.filename


class SavedView(Tenant):
    """A named query string of a list; private unless shared, and never changed by anybody else."""

    class Page(models.TextChoices):
        RUNS = "runs", "Runs"
        RESULTS = "results", "Results"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_views")
    page = ChoiceField(max_length=16, choices=Page.choices)
    name = models.CharField(max_length=80)
    query = models.TextField(blank=True)
    shared = models.BooleanField(default=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user", "page", "name"], name="view_name_once_per_user")
        ]

    def __str__(self) -> str:
        return self.name


class Import(Tenant):
    """One file on its way in; its progress is written on a second connection while the import's transaction runs."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    deleted_paths = ("project__deleted_at",)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="imports")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    filename = models.CharField(max_length=255)
    file = models.FileField(upload_to="imports/%Y/%m/", max_length=300, blank=True)
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes.")
    sha256 = models.CharField(max_length=64, blank=True)
    format = models.CharField(max_length=40, blank=True)
    mapping = models.JSONField(null=True, blank=True, help_text="Column mapping of a generic CSV or JSONL file.")
    state = ChoiceField(max_length=8, choices=State.choices, default=State.QUEUED)
    done = models.PositiveIntegerField(default=0, help_text="Records read so far.")
    total = models.PositiveIntegerField(null=True, blank=True)
    message = models.TextField(blank=True, help_text="What was imported, or why not, for people.")
    report = models.JSONField(default=dict, blank=True, help_text="declared and imported totals, warnings.")
    run = models.ForeignKey("runs.TestRun", null=True, blank=True, on_delete=models.SET_NULL, related_name="imports")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["organization", "-id"], name="import_newest")]

    def __str__(self) -> str:
        return self.filename


class IdempotencyKey(Tenant):
    """The answer given to a request that named itself, so that a retry gets the same one."""

    key = models.CharField(max_length=255)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    request_digest = models.CharField(max_length=64, help_text="SHA-256 of method, path and body.")
    status = models.PositiveSmallIntegerField(null=True)
    response = models.JSONField(null=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "key"], name="idempotency_key_once"),
            models.CheckConstraint(condition=~Q(key=""), name="idempotency_key_not_empty"),
        ]

    def __str__(self) -> str:
        return self.key
