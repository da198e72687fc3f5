"""Production calls of a project, which are in no list of runs and in no rate, with what their users said of them."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.db.models import Avg, Count, QuerySet
from django.db.models.functions import Left
from django.http import Http404, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from evalhub.accounts.access import requires
from evalhub.accounts.actor import MemberRequest
from evalhub.web import formats
from evalhub.web.pages import render_page
from evalhub.web.paging import Order, count_rows, read_page
from evalhub.web.parts import Link, Stat
from results.models import Feedback, TestResult
from results.production import calls_of, feedback_of
from runs.models import Project

FIELDS: Final = ("id", "created_at", "input_preview", "output_preview", "error_code", "latency_ms", "cost")
TABS: Final = (("", "All"), ("feedback", "With feedback"), ("errors", "Errors"))


@requires()
@require_safe
def production_list(request: MemberRequest, project_id: str) -> HttpResponse:
    project = Project.objects.visible_to(request.actor).by_id(project_id)
    if project is None:
        raise Http404
    calls, said = calls_of(project, request.actor), feedback_of(project, request.actor)
    shown = request.GET.get("show", "")
    found = calls_of(project, request.actor, shown)
    rows = found.annotate(error_start=Left("error", 120)).values(*FIELDS, "error_start")
    page = read_page(rows, Order("-created_at"), request.GET.get("cursor"))
    for row in page.rows:
        row["feedback"] = []
    with_feedback(page.rows, said)
    here = reverse("results:production-list", args=[project.pk])
    context = {
        "project": project,
        "page": page,
        "total": count_rows(found),
        "stats": stats_of(calls, said),
        "tabs": [
            Link(label, f"{here}?show={value}" if value else here, current=shown == value) for value, label in TABS
        ],
        "shown": shown,
        "here": here,
        "current_project": project,
        "crumbs": [
            Link("Projects", reverse("runs:project-list")),
            Link(project.name, reverse("runs:project-detail", args=[project.pk])),
        ],
    }
    return render_page(request, "results/production_list.html", context)


def with_feedback(rows: list[dict[str, Any]], said: QuerySet[Feedback]) -> None:
    """What users said of the calls on the page, newest first."""
    by_call: dict[UUID, dict[str, Any]] = {row["id"]: row for row in rows}
    found = said.filter(result__in=by_call).order_by("-recorded_at", "-id")
    for feedback in found.values("result_id", "score", "details", "recorded_at"):
        by_call[feedback["result_id"]]["feedback"].append(feedback)


def stats_of(calls: QuerySet[TestResult, Any], said: QuerySet[Feedback]) -> list[Stat]:
    sums = said.aggregate(mean=Avg("score"), count=Count("pk"), calls=Count("result", distinct=True))
    return [
        Stat("Calls", formats.count(count_rows(calls).value)),
        Stat("Calls with feedback", formats.count(sums["calls"])),
        Stat("Mean feedback", formats.score(sums["mean"]), note=f"of {formats.count(sums['count'])}, from 0 to 1"),
    ]
