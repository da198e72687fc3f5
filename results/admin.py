"""What came back, and what was thought of it, in the operators' console: evidence, so mostly to read."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from evalhub.accounts.console import EvidenceAdmin
from results.models import (
    Evaluation,
    Feedback,
    Review,
    ReviewAssignment,
    ReviewRound,
    Rollup,
    SearchText,
    Step,
    TestResult,
)

BY_ID = ("id__exact", "external_id__exact")


@admin.register(TestResult)
class TestResultAdmin(EvidenceAdmin):
    list_display = (
        "__str__",
        "run",
        "organization",
        "outcome",
        "machine_outcome",
        "review_state",
        "corrected",
        "latency_ms",
        "created_at",
    )
    list_filter = ("outcome", "machine_outcome", "review_state", "corrected")
    search_fields = BY_ID
    search_help_text = "An id (ours, or the sender’s own), or words of the input and output."
    open_fields = ("name", "tags", "metadata", "attributes")
    folded: ClassVar[dict[str, tuple[str, ...]]] = {
        "For lists and search": ("input_preview", "output_preview"),
        "The sender’s": ("external_id", "metadata", "attributes", "path", "previous_run_id", "collection_method"),
    }

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        named, _ = super().get_search_results(request, queryset, search_term)
        words = search_term.replace("\x00", "").strip()
        if not words or named.exists():
            return named, False
        return queryset.filter(pk__in=SearchText.objects.holding(words).values("pk")), False


@admin.register(SearchText)
class SearchTextAdmin(EvidenceAdmin):
    list_display = ("result", "run", "organization", "indexed")
    list_filter = ("indexed",)
    search_fields = ("result__exact",)
    search_help_text = "The id of a result."


@admin.register(Step)
class StepAdmin(EvidenceAdmin):
    list_display = ("__str__", "kind", "result", "organization", "latency_ms", "created_at")
    list_filter = ("kind",)
    search_fields = ("id__exact", "result__exact")
    search_help_text = "The id of a result or of a step."


@admin.register(Evaluation)
class EvaluationAdmin(EvidenceAdmin):
    """A machine's judgement is never edited; of a person's, only the words: a change of mind is a new row."""

    list_display = (
        "created_at",
        "evaluator",
        "source",
        "author",
        "state",
        "value",
        "label",
        "passed",
        "outcome",
        "run",
        "is_current",
    )
    list_display_links = ("created_at", "evaluator")
    list_filter = ("source", "state", "passed", "outcome", "is_current", "via")
    search_fields = ("id__exact", "result__exact")
    search_help_text = "The id of a result or of an evaluation."
    open_fields = ("explanation", "metadata")

    def has_change_permission(self, request, obj=None):  # type: ignore[no-untyped-def]
        by_machine = obj is not None and obj.source == Evaluation.Source.MACHINE
        return not by_machine and super().has_change_permission(request, obj)


@admin.register(Rollup)
class RollupAdmin(EvidenceAdmin):
    """Counted by recording and reviewing; `manage.py recount` puts it right."""

    list_display = ("run", "evaluator", "organization", "scored", "passed", "failed", "effective_passed", "corrected")
    search_fields = ("id__exact", "run__exact")
    search_help_text = "The id of a run or of a rollup."


@admin.register(Feedback)
class FeedbackAdmin(EvidenceAdmin):
    list_display = ("score", "result", "organization", "recorded_at")
    search_fields = (*BY_ID, "result__exact")
    search_help_text = "The id of a result or of a feedback."
    open_fields = ("details",)


@admin.register(ReviewRound)
class ReviewRoundAdmin(EvidenceAdmin):
    list_display = ("name", "project", "run", "organization", "state", "overlap", "due_at", "created_at")
    list_filter = ("state",)
    search_fields = (*BY_ID, "run__exact")
    search_help_text = "The id of a run or of a round."
    open_fields = ("name", "rubric", "due_at")


@admin.register(ReviewAssignment)
class ReviewAssignmentAdmin(EvidenceAdmin):
    list_display = ("reviewer", "result", "round", "slot", "state", "due_at", "organization", "created_at")
    list_filter = ("state",)
    search_fields = ("id__exact", "result__exact", "round__exact")
    search_help_text = "The id of a result, of a round or of an assignment."
    open_fields = ("due_at",)


@admin.register(Review)
class ReviewAdmin(EvidenceAdmin):
    """Reviews are only added; a person's later one replaces the earlier."""

    list_display = ("reviewer", "verdict", "result", "organization", "via", "is_current", "created_at")
    list_filter = ("verdict", "is_current", "via")
    search_fields = ("id__exact", "result__exact")
    search_help_text = "The id of a result or of a review."
    open_fields = ("comment",)
