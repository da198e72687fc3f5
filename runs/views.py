"""The runs list, and what can be done with the runs in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from evalhub.accounts.access import requires
from evalhub.accounts.actor import MemberRequest
from evalhub.accounts.tenancy import parse_uuid
from evalhub.audit.models import record_event
from evalhub.web import formats
from evalhub.web.errors import Refused
from evalhub.web.exports import download
from evalhub.web.pages import POSITION, back_to, go_to, render_page, say
from evalhub.web.parts import Link, face
from runs.current import ask_about_current_project
from runs.filters import IN_PROGRESS, REVIEWS, RunFilter
from runs.listing import count_by_status, rates_until, read_runs
from runs.models import Project, SavedView, TestRun
from runs.saved_views import MOST_VIEWS, views_for
from runs.views_setup import find

SEGMENTS: Final = (
    ("", "All"),
    (IN_PROGRESS, "In progress"),
    ("completed", "Completed"),
    ("partial", "Partial"),
    ("failed", "Failed"),
    ("cancelled", "Cancelled"),
)
MOST_UNDONE: Final = 100  # runs that the Undo of an archiving can name in its address
EXPORTED: Final = (
    "number",
    "id",
    "external_id",
    "name",
    "project",
    "configuration",
    "status",
    "created_at",
    "started_at",
    "finished_at",
    "branch",
    "commit",
    "model",
    "results",
    "cases",
    "passed",
    "failed",
    "errors",
    "unjudged",
    "pass_rate",
    "pass_rate_low",
    "pass_rate_high",
    "judge_passed",
    "judge_failed",
    "reviews_required",
    "reviews_done",
    "results_reviewed",
    "results_corrected",
    "conflicts",
    "tags",
)


def runs_of(request: MemberRequest) -> QuerySet[TestRun]:
    return TestRun.objects.visible_to(request.actor).listed()


def filtered(request: MemberRequest, query: QueryDict | None = None) -> RunFilter:
    return RunFilter(request.GET if query is None else query, runs_of(request), actor=request.actor)


@requires()
@require_safe
def run_list(request: MemberRequest) -> HttpResponse:
    ask_about_current_project(request)
    found = filtered(request)
    page = read_runs(found, cursor=request.GET.get("cursor"))
    complete(page.rows)
    counts = count_by_status(found)
    states = found.values.get("status", [])
    chips = found.chips(request.GET)
    active = [row["id"] for row in page.rows if row["is_active"]]
    total = sum(counts.get(state, 0) for state in states) if states else counts["all"]
    context = {
        "page": page,
        "found": found,
        "given": request.GET,
        "total": total,
        "segments": segments(request.GET, counts),
        "chips": chips,
        "nothing_here": not page.rows and not chips and not runs_of(request).exists(),
        "active": active,
        "views": views_for(request.actor, SavedView.Page.RUNS)[:MOST_VIEWS],
        **addresses_of(request),
        "counted": counted(total),
        "keys_template": "runs/_keys.html",
        "nothing_text": nothing_found(len(chips) + bool(states)),
        **{f"may_{action}": request.actor.may(action) for action in ("assign", "archive", "import")},
    }
    return render_page(request, "runs/run_list.html", context)


@requires()
@require_safe
def run_filters(request: MemberRequest) -> HttpResponse:
    """The list's filters, as a dialog over it or as a page."""
    projects = Project.objects.visible_to(request.actor).current().order_by("name").values_list("slug", "name")[:200]
    context = {
        "form_template": "runs/_filter_fields.html",
        "list_url": reverse("runs:run-list"),
        "button": "Show runs",
        "given": request.GET,
        "options": {
            "projects": list(projects),
            "reviews": REVIEWS,
            "via": TestRun.Via.choices,
            "kept": [pair for pair in pairs_in(list_query(request.GET)) if pair[0] not in IN_THE_FORM],
        },
    }
    return render_page(request, "components/filter_dialog.html", context, fragment="dialog")


IN_THE_FORM: Final = (
    "project",
    "reviews",
    "pass_rate_min",
    "pass_rate_max",
    "branch",
    "tag",
    "created_after",
    "created_before",
    "via",
    "created_by",
    "archived",
)


@requires()
@require_safe
def run_progress(request: MemberRequest) -> HttpResponse:
    """The rows of running runs as they are now, asked for every few seconds while there is one."""
    runs = runs_of(request).filter(pk__in=ids_in(request.GET))
    rows = read_runs(RunFilter({}, runs, actor=request.actor)).rows
    complete(rows)
    active = [row["id"] for row in rows if row["is_active"]]
    return render_page(request, "runs/run_progress.html", {"rows": rows, "active": active}, fragment="progress")


@requires("archive")
@require_POST
def run_archive(request: MemberRequest) -> HttpResponse:
    runs = list(selected(request, request.POST).filter(archived_at__isnull=True))
    TestRun.objects.filter(pk__in=[run.pk for run in runs]).archive()
    for run in runs:
        record_event("run.archived", run, by=request.actor)
    undo = ""
    if 0 < len(runs) <= MOST_UNDONE:
        ids = QueryDict(mutable=True)
        ids.setlist("run", [str(run.pk) for run in runs])
        undo = f"{reverse('runs:run-restore')}?{ids.urlencode()}"
    say(request, f"Archived {named(runs)}." if runs else "Nothing was selected.", undo=undo)
    return go_to(request, back_to(request, "runs:run-list"))


@requires("archive")
@require_POST
def run_restore(request: MemberRequest) -> HttpResponse:
    ids = ids_in(request.GET) or ids_in(request.POST)
    runs = list(runs_of(request).filter(pk__in=ids, archived_at__isnull=False))
    TestRun.objects.filter(pk__in=[run.pk for run in runs]).restore()
    for run in runs:
        record_event("run.restored", run, by=request.actor)
    say(request, f"Restored {named(runs)}." if runs else "Nothing was archived.")
    return go_to(request, back_to(request, "runs:run-list"))


@requires("launch")
@require_POST
def run_cancel(request: MemberRequest, run_id: str) -> HttpResponse:
    run = find(TestRun.objects.visible_to(request.actor), run_id)
    if run.cancel():
        record_event("run.cancelled", run, by=request.actor)
        say(request, f"Cancelled {run}. What has arrived stays.")
    else:
        say(request, f"{run} had ended already: {run.get_status_display().lower()}.")
    return go_to(request, back_to(request, "runs:run-list"))


@requires("export")
@require_safe
def run_export(request: MemberRequest) -> HttpResponseBase:
    """The selected runs, or all that the filters find, one line each."""
    runs = selected(request, request.GET).select_related("project", "configuration")
    kind = request.GET.get("format", "csv")
    lines = (line_of(run) for run in runs.order_by("-created_at", "-id").iterator(500))
    return download(lines, EXPORTED, name="evalhub-runs", kind=kind)


@requires("assign")
@require_safe
def run_assign(request: MemberRequest) -> HttpResponse:
    """From the runs selected in the list to the page that deals their results out."""
    target = reverse("results:assignment-create")
    if request.GET.get("select") == "all":
        return HttpResponseRedirect(f"{target}?select=all&list=runs&{request.GET.get('query', '')}")
    ids = ids_in(request.GET)
    if not ids:
        raise Refused("Select at least one run first.")
    query = QueryDict(mutable=True)
    query.setlist("run", [str(pk) for pk in ids])
    return HttpResponseRedirect(f"{target}?{query.urlencode()}")


def complete(rows: list[dict[str, Any]]) -> None:
    """Give rows what a cell shows beside their columns: the sparkline's rates, the person."""
    rates = rates_until([row["id"] for row in rows if row["pass_rate"] is not None])
    home = reverse("runs:run-list")
    for row in rows:
        row["rates"] = rates.get(row["id"], ())
        row["by"] = face(row["created_by_id"], row["created_by__name"] or row["created_by__email"])
        row["status_word"] = TestRun.Status(row["status"]).label
        row["is_active"] = row["status"] in TestRun.ACTIVE
        row["url"] = f"{home}{row['id']}/"


def list_query(query: QueryDict) -> QueryDict:
    """What the list shows, without where in it one is."""
    rest = query.copy()
    for name in POSITION:
        rest.pop(name, None)
    return rest


def pairs_in(query: QueryDict) -> list[tuple[str, str]]:
    return [(name, value) for name, values in query.lists() for value in values]


def addresses_of(request: MemberRequest) -> dict[str, Any]:
    """The addresses and hidden fields that carry the list's query on."""
    query = list_query(request.GET)
    text = query.urlencode()
    return {
        "query": text,
        "filters_url": f"{reverse('runs:run-filters')}?{text}",
        "export_csv": f"{reverse('runs:run-export')}?format=csv&{text}",
        "export_jsonl": f"{reverse('runs:run-export')}?format=jsonl&{text}",
        "kept_by_search": [pair for pair in pairs_in(query) if pair[0] != "q"],
    }


def counted(total: int) -> str:
    return f"{formats.count(total)} run{'' if total == 1 else 's'}"


def nothing_found(filters: int) -> str:
    if not filters:
        return "Every run is archived."
    return f"{filters} filter{'s are' if filters > 1 else ' is'} on. Take one off, or clear them all."


# --- what the list is made of -----------------------------------------------------------------------------------------


def segments(query: QueryDict, counts: Mapping[str, int]) -> list[Link]:
    chosen = query.getlist("status")
    links = []
    for status, label in SEGMENTS:
        if status == "cancelled" and not counts.get(status) and status not in chosen:
            continue
        rest = query.copy()
        for name in ("status", "cursor"):
            rest.pop(name, None)
        if status:
            rest["status"] = status
        current = chosen == [status] if status else not chosen
        links.append(Link(label, f"?{rest.urlencode()}", current, counts.get(status or "all", 0)))
    return links


# --- the selection ----------------------------------------------------------------------------------------------------


def ids_in(data: QueryDict) -> list[Any]:
    return [pk for pk in map(parse_uuid, data.getlist("run")) if pk]


def selected(request: MemberRequest, data: QueryDict) -> QuerySet[TestRun]:
    """The ticked runs; or, with select=all, everything that the list's query finds; or what the address asks for."""
    if data.get("select") == "all":
        return filtered(request, QueryDict(data.get("query", ""))).qs
    if "run" in data:
        return runs_of(request).filter(pk__in=ids_in(data))
    return filtered(request).qs if request.method == "GET" and "query" not in data else runs_of(request).none()


def named(runs: list[TestRun]) -> str:
    return f"“{runs[0]}”" if len(runs) == 1 else f"{len(runs)} runs"


def line_of(run: TestRun) -> dict[str, Any]:
    return {
        "number": run.number,
        "id": str(run.pk),
        "external_id": run.external_id,
        "name": run.name,
        "project": run.project.name,
        "configuration": run.configuration.name if run.configuration else None,
        "status": run.status,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "branch": run.branch,
        "commit": run.commit,
        "model": run.model,
        "results": run.result_count,
        "cases": run.case_count,
        "passed": run.passed,
        "failed": run.failed,
        "errors": run.errors,
        "unjudged": run.unjudged,
        "pass_rate": run.pass_rate,
        "pass_rate_low": run.pass_low,
        "pass_rate_high": run.pass_high,
        "judge_passed": run.machine_passed,
        "judge_failed": run.machine_failed,
        "reviews_required": run.reviews_required,
        "reviews_done": run.reviews_done,
        "results_reviewed": run.reviewed,
        "results_corrected": run.corrected,
        "conflicts": run.conflicts,
        "tags": run.tags,
    }
