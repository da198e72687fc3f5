"""What is asked, in the operators' console."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.contrib import admin
from django.http import HttpRequest

from evalhub.accounts.console import ConsoleAdmin, DeletableAdmin, EvidenceAdmin
from runs.archiving import bump_sets_of, check_may_go
from runs.cases import change_case
from runs.evaluators import change_evaluator
from runs.models import (
    Attachment,
    Case,
    CaseRevision,
    CaseVerdict,
    Category,
    Comment,
    ConfigurationEvaluator,
    Endpoint,
    Evaluator,
    EvaluatorVersion,
    Folder,
    IdempotencyKey,
    Import,
    Lookup,
    Project,
    Prompt,
    Requirement,
    SavedView,
    Shard,
    Tag,
    Task,
    TestConfiguration,
    TestRun,
    TestSet,
    TestSetCase,
    TestSetEvaluator,
    Topic,
    Variant,
)

BY_ID = ("id__exact", "external_id__exact")
BY_ID_HELP = "An id: ours, or the sender’s own."
SENDERS: dict[str, tuple[str, ...]] = {"The sender’s": ("external_id", "metadata", "attributes")}


class KeptAdmin(DeletableAdmin):
    """What takes things without a place stays, and sets know when they ask for other cases."""

    def change_state(self, obj: Any, what: str) -> None:
        if what != "restored":
            check_may_go(obj)
        super().change_state(obj, what)
        bump_sets_of(obj)


@admin.register(Project)
class ProjectAdmin(KeptAdmin):
    list_display = ("name", "slug", "organization", "is_default", "archived_at", "deleted_at", "created_at")
    list_filter = ("is_default",)
    search_fields = (*BY_ID, "slug__startswith")
    search_help_text = "The beginning of a short name, or an id."
    autocomplete_fields = ("organization", "owner")
    folded = SENDERS


@admin.register(Folder)
class FolderAdmin(ConsoleAdmin):
    list_display = ("name", "organization", "parent", "created_at")
    search_fields = BY_ID
    autocomplete_fields = ("organization",)
    list_loads = ("external_id",)


@admin.register(Endpoint)
class EndpointAdmin(DeletableAdmin):
    list_display = ("name", "project", "organization", "connection_type", "environment", "archived_at", "deleted_at")
    list_filter = ("connection_type", "environment")
    search_fields = BY_ID
    search_help_text = BY_ID_HELP
    autocomplete_fields = ("organization", "project", "owner")
    settled = ("organization", "project")
    folded = SENDERS

    def save_model(self, request: HttpRequest, obj: Endpoint, form: Any, change: bool) -> None:
        """Secrets belong to the place that they were given for."""
        if change and any(
            origin(form.initial.get(name)) != origin(getattr(obj, name)) for name in ("url", "token_url")
        ):
            obj.sealed_secrets = None
        super().save_model(request, obj, form, change)


def origin(url: str | None) -> tuple[str, str]:
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return "", url or ""
    return parts.scheme.lower(), parts.netloc.lower()


@admin.register(TestSet)
class TestSetAdmin(KeptAdmin):
    list_display = ("name", "project", "organization", "kind", "is_golden", "revision", "archived_at", "deleted_at")
    list_filter = ("kind", "is_golden")
    search_fields = BY_ID
    search_help_text = BY_ID_HELP
    autocomplete_fields = ("organization", "project", "owner")
    settled = ("organization", "project")
    frozen = (*DeletableAdmin.frozen, "revision")
    folded = SENDERS


@admin.register(Case)
class CaseAdmin(KeptAdmin):
    list_display = ("number", "name", "project", "organization", "kind", "revision", "archived_at", "deleted_at")
    list_display_links = ("number", "name")
    list_filter = ("kind",)
    search_fields = BY_ID
    search_help_text = BY_ID_HELP
    autocomplete_fields = ("organization", "project", "owner", "assignee")
    settled = ("organization", "project")
    frozen = (*DeletableAdmin.frozen, "number", "revision")
    folded = SENDERS

    def save_model(self, request: HttpRequest, obj: Case, form: Any, change: bool) -> None:
        if change:
            change_case(obj, **{name: getattr(obj, name) for name in form.changed_data})
        else:
            (obj.number,) = obj.project.take_numbers("last_case_number", 1)
            super().save_model(request, obj, form, change)


@admin.register(CaseRevision)
class CaseRevisionAdmin(EvidenceAdmin):
    list_display = ("case", "number", "organization", "created_at")
    search_fields = ("id__exact", "case__exact")
    list_loads = ("case__name",)


class WordAdmin(ConsoleAdmin):
    list_display = ("name", "organization", "created_at")
    search_fields = (*BY_ID, "name__exact")
    search_help_text = "The whole name, or an id."
    autocomplete_fields = ("organization",)


admin.site.register([Category, Topic, Requirement], WordAdmin)


@admin.register(Prompt)
class PromptAdmin(ConsoleAdmin):
    list_display = ("__str__", "organization", "language_code", "created_at")
    list_loads = ("content",)
    search_fields = BY_ID
    search_help_text = BY_ID_HELP
    autocomplete_fields = ("organization",)


@admin.register(TestSetCase)
class TestSetCaseAdmin(ConsoleAdmin):
    organization_path = "test_set__organization"
    list_display = ("test_set", "case", "position")
    search_fields = ("test_set__exact", "case__exact")
    search_help_text = "The id of a test set or of a case."
    settled = ("test_set", "case")

    def save_model(self, request: HttpRequest, obj: TestSetCase, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        obj.test_set.bump()

    def delete_model(self, request: HttpRequest, obj: TestSetCase) -> None:
        super().delete_model(request, obj)
        obj.test_set.bump()

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        test_sets = list(TestSet.objects.filter(memberships__in=queryset).distinct())
        super().delete_queryset(request, queryset)
        for test_set in test_sets:
            test_set.bump()


@admin.register(Evaluator)
class EvaluatorAdmin(DeletableAdmin):
    list_display = ("name", "project", "organization", "who", "value_type", "version", "origin", "archived_at")
    list_filter = ("who", "value_type", "origin")
    search_fields = BY_ID
    search_help_text = BY_ID_HELP
    autocomplete_fields = ("organization", "project", "owner")
    settled = ("organization", "project", "who")
    frozen = (*DeletableAdmin.frozen, "version", "origin")
    folded = SENDERS

    def save_model(self, request: HttpRequest, obj: Evaluator, form: Any, change: bool) -> None:
        if change:
            columns = set(self._columns())
            change_evaluator(obj, **{name: getattr(obj, name) for name in form.changed_data if name in columns})
        else:
            super().save_model(request, obj, form, change)


@admin.register(EvaluatorVersion)
class EvaluatorVersionAdmin(EvidenceAdmin):
    list_display = ("evaluator", "number", "organization", "created_at")
    search_fields = ("id__exact", "evaluator__exact")


@admin.register(TestConfiguration)
class TestConfigurationAdmin(DeletableAdmin):
    list_display = ("name", "project", "organization", "endpoint", "test_set", "archived_at", "deleted_at")
    search_fields = BY_ID
    search_help_text = BY_ID_HELP
    autocomplete_fields = ("organization", "project", "endpoint", "test_set", "owner")
    settled = ("organization", "project")
    folded = SENDERS


@admin.register(ConfigurationEvaluator)
class ConfigurationEvaluatorAdmin(ConsoleAdmin):
    organization_path = "configuration__organization"
    list_display = ("configuration", "evaluator", "position")
    search_fields = ("configuration__exact", "evaluator__exact")
    search_help_text = "The id of a configuration or of an evaluator."
    settled = ("configuration", "evaluator")


@admin.register(TestSetEvaluator)
class TestSetEvaluatorAdmin(ConsoleAdmin):
    organization_path = "test_set__organization"
    list_display = ("test_set", "evaluator")
    search_fields = ("test_set__exact", "evaluator__exact")
    search_help_text = "The id of a test set or of an evaluator."
    settled = ("test_set", "evaluator")


@admin.register(TestRun)
class TestRunAdmin(EvidenceAdmin, DeletableAdmin):
    """Runs come from launching, the API and imports; their counters from recording and reviewing."""

    list_display = (
        "number",
        "name",
        "project",
        "organization",
        "kind",
        "status",
        "via",
        "result_count",
        "pass_rate",
        "archived_at",
        "created_at",
    )
    list_display_links = ("number", "name")
    list_filter = ("status", "kind", "via")
    search_fields = BY_ID
    search_help_text = BY_ID_HELP
    open_fields = ("name", "owner", "assignee", "tags", "metadata", "attributes", "branch", "commit", "model")
    autocomplete_fields = ("owner", "assignee")
    actions = ("archive", "restore", "mark_deleted")
    folded: ClassVar[dict[str, tuple[str, ...]]] = {
        "Counted": (
            "planned_count",
            "result_count",
            "last_position",
            "case_count",
            "passed",
            "failed",
            "errors",
            "unjudged",
            "machine_passed",
            "machine_failed",
            "machine_errors",
            "machine_unjudged",
            "reviews_required",
            "reviews_done",
            "reviewed",
            "corrected",
            "conflicts",
            "total_cost",
            "costed_count",
            "total_tokens",
            "total_latency_ms",
            "timed_count",
            "judged_squares",
            "judged_passed",
            "passed_squares",
            "judged_cases",
            "pass_rate",
            "pass_low",
            "pass_high",
        ),
        "As it was at the start": ("snapshot", "declared", "warnings"),
        **SENDERS,
    }


@admin.register(Variant)
class VariantAdmin(EvidenceAdmin):
    list_display = ("label", "run", "position", "provider", "organization")
    search_fields = ("id__exact", "run__exact")
    search_help_text = "The id of a run or of a variant."


@admin.register(Shard)
class ShardAdmin(EvidenceAdmin):
    list_display = ("__str__", "run", "kind", "number", "size", "starts", "done_at", "organization")
    list_filter = ("kind",)
    search_fields = ("id__exact", "run__exact")
    search_help_text = "The id of a run or of a share."


@admin.register(Tag)
class TagAdmin(ConsoleAdmin):
    list_display = ("name", "icon", "organization")
    search_fields = (*BY_ID, "name__exact")
    search_help_text = "The whole name, or an id."
    autocomplete_fields = ("organization",)


@admin.register(Lookup)
class LookupAdmin(ConsoleAdmin):
    list_display = ("name", "family", "organization")
    search_fields = (*BY_ID, "name__exact", "family__exact")
    search_help_text = "The whole name or family, or an id."
    autocomplete_fields = ("organization",)


@admin.register(CaseVerdict)
class CaseVerdictAdmin(EvidenceAdmin):
    list_display = ("case", "author", "passed", "organization", "created_at", "deleted_at")
    list_select_related = ("case", "author", "organization")
    search_fields = (*BY_ID, "case__id__exact")
    search_help_text = "The id of the case, or of the verdict."
    open_fields = ("deleted_at",)


@admin.register(Comment)
class CommentAdmin(EvidenceAdmin):
    list_display = ("__str__", "author", "organization", "entity_type", "created_at", "deleted_at")
    list_filter = ("entity_type",)
    list_loads = ("text",)
    search_fields = (*BY_ID, "entity_id__exact")
    search_help_text = "The id of what was commented on, or of the comment."
    open_fields = ("deleted_at",)


@admin.register(Task)
class TaskAdmin(ConsoleAdmin):
    list_display = ("title", "status", "priority", "assignee", "organization", "created_at")
    list_filter = ("status", "priority", "entity_type")
    search_fields = (*BY_ID, "entity_id__exact")
    search_help_text = "The id of what the task is about, or of the task."
    autocomplete_fields = ("organization", "assignee", "created_by")


@admin.register(Attachment)
class AttachmentAdmin(EvidenceAdmin):
    list_display = ("filename", "content_type", "size", "entity_type", "organization", "created_at")
    list_filter = ("entity_type",)
    search_fields = (*BY_ID, "entity_id__exact")
    search_help_text = "The id of what it is attached to, or of the attachment."


@admin.register(SavedView)
class SavedViewAdmin(ConsoleAdmin):
    list_display = ("name", "page", "user", "organization", "shared")
    list_filter = ("page", "shared")
    search_fields = ("id__exact", "user__email__exact")
    search_help_text = "The e-mail address of its owner, or an id."
    autocomplete_fields = ("organization", "user")
    settled = ("organization", "user")


@admin.register(Import)
class ImportAdmin(EvidenceAdmin):
    list_display = ("filename", "format", "state", "project", "organization", "done", "total", "created_at")
    list_filter = ("state",)
    search_fields = ("id__exact", "run__exact")
    search_help_text = "The id of an import or of its run."


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(EvidenceAdmin):
    list_display = ("key", "user", "organization", "status", "created_at")
    search_fields = ("id__exact", "key__exact")
    deletable = True
