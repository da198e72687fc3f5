"""Pages of projects."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db import transaction
from django.db.models import QuerySet, Subquery, Sum
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evalhub.accounts.access import requires
from evalhub.accounts.actor import MemberRequest
from evalhub.database.lookups import count_of
from evalhub.web import formats
from evalhub.web.context import address
from evalhub.web.pages import go_to, render_page, say
from evalhub.web.parts import Link, Stat
from runs.cases import count_of_members
from runs.changing import locked
from runs.forms import ProjectForm
from runs.models import Case, Endpoint, Evaluator, Project, TestConfiguration, TestRun, TestSet
from runs.projects import change_project, create_project
from runs.setup_filters import ProjectFilter
from runs.views_setup import (
    LAST_RUNS,
    SetUpList,
    archive_view,
    find,
    page_of,
    rates_of,
    recent_runs,
    restore_view,
    run_address,
    runs_of,
)

SHOWN = 6  # of each noun on a project's page


@requires("read")
@require_safe
def project_list(request: MemberRequest) -> HttpResponse:
    rows = Project.objects.visible_to(request.actor)
    runs = runs_of("project")
    shown = (
        rows.select_related("owner")
        .defer("metadata", "attributes")
        .annotate(
            run_count=count_of(TestRun.objects.listed().current(), "project"),
            test_set_count=count_of(TestSet.objects.current(), "project"),
            rates=ArraySubquery(runs.filter(pass_rate__isnull=False).values("pass_rate")[:LAST_RUNS]),
            low=Subquery(runs.filter(pass_rate__isnull=False).values("pass_low")[:1]),
            high=Subquery(runs.filter(pass_rate__isnull=False).values("pass_high")[:1]),
            last_run_at=Subquery(runs.values("created_at")[:1]),
        )
    )
    listing = SetUpList(request, ProjectFilter, rows, shown=shown, by_project=False)
    for project in listing.page.rows:
        project.rates.reverse()
        project.latest = project.rates[-1] if project.rates else None
    return render_page(request, "runs/project_list.html", page_of(request, listing=listing))


@requires("read")
@require_safe
def project_detail(request: MemberRequest, project_id: str) -> HttpResponse:
    actor = request.actor
    project = find(Project.objects.visible_to(actor).select_related("owner"), project_id)
    runs = recent_runs(actor, project=project)
    run_count = TestRun.objects.visible_to(actor).listed().current().filter(project=project).count()
    case_count = Case.objects.visible_to(actor).current().filter(project=project).count()
    parts = parts_of(request, project)
    production = TestRun.objects.visible_to(actor).filter(project=project, kind=TestRun.Kind.PRODUCTION)
    context = page_of(
        request,
        project=project,
        runs=runs,
        rates=rates_of(runs),
        run_count=run_count,
        stats=project_stats(project, runs, run_count, case_count, parts[0]["total"]),
        parts=parts,
        production_count=production.aggregate(calls=Sum("result_count"))["calls"],
        restore_url=reverse("runs:project-restore", args=[project.pk]),
        crumbs=[Link("Projects", reverse("runs:project-list"))],
    )
    return render_page(request, "runs/project_detail.html", context)


def parts_of(request: MemberRequest, project: Project) -> list[dict[str, Any]]:
    """What belongs to the project, noun by noun: the first rows by name, and how many there are."""
    test_sets = TestSet.objects.visible_to(request.actor).annotate(case_count=count_of_members())
    configurations = TestConfiguration.objects.visible_to(request.actor).select_related("test_set")
    evaluators = Evaluator.objects.visible_to(request.actor)
    endpoints = Endpoint.objects.visible_to(request.actor)
    nouns: list[tuple[str, str, str, QuerySet[Any]]] = [
        ("test-set", "Test sets", "layers", test_sets.only("id", "name", "revision")),
        ("configuration", "Configurations", "gear", configurations.only("id", "name", "test_set__name")),
        ("evaluator", "Evaluators", "gauge", evaluators.only("id", "name", "who", "version")),
        ("endpoint", "Endpoints", "plug", endpoints.only("id", "name", "environment")),
    ]
    parts = []
    for noun, title, icon, found in nouns:
        rows = found.filter(project=project, archived_at__isnull=True)
        names = {name: f"runs:{noun}-{name}" for name in ("detail", "create", "list")}
        parts.append(
            {"noun": noun, "title": title, "icon": icon, "rows": list(rows[:SHOWN]), "total": rows.count(), **names}
        )
    return parts


def project_stats(project: Project, runs: list[TestRun], run_count: int, case_count: int, set_count: int) -> list[Stat]:
    latest = next((run for run in runs if run.pass_rate is not None), None)
    here = f"?project={project.slug}"
    runs_url = address("runs:run-list")
    return [
        Stat(
            "Pass rate of the latest run",
            formats.rate(latest.pass_rate if latest else None),
            formats.interval(latest.pass_low, latest.pass_high, latest.pass_rate) if latest else "",
            f"{latest.name} #{latest.number}" if latest else "no judged run yet",
            run_address(latest) if latest else "",
            lead=True,
        ),
        Stat("Runs", formats.count(run_count), url=f"{runs_url}{here}" if runs_url else ""),
        Stat("Cases", formats.count(case_count), url=f"{reverse('runs:case-list')}{here}"),
        Stat("Test sets", formats.count(set_count), url=f"{reverse('runs:test-set-list')}{here}"),
    ]


@requires("set_up")
@require_http_methods(["GET", "HEAD", "POST"])
def project_create(request: MemberRequest) -> HttpResponse:
    form = ProjectForm(request.POST if request.method == "POST" else None, actor=request.actor)
    if request.method == "POST" and form.is_valid():
        project = create_project(by=request.actor, **form.changes())
        say(request, f"Made the project “{project}”.")
        return go_to(request, f"{reverse('runs:project-detail', args=[project.pk])}?project={project.slug}")
    list_url = reverse("runs:project-list")
    crumbs = [Link("Projects", list_url)]
    context = page_of(request, form=form, crumbs=crumbs, cancel_url=list_url, submit="Create project")
    return render_page(request, "runs/project_form.html", context, status=422 if form.errors else 200)


@requires("set_up")
@require_http_methods(["GET", "HEAD", "POST"])
@transaction.atomic
def project_edit(request: MemberRequest, project_id: str) -> HttpResponse:
    project = find(Project.objects.visible_to(request.actor), project_id)
    if request.method == "POST":
        project = locked(project)
    form = ProjectForm(request.POST if request.method == "POST" else None, actor=request.actor, instance=project)
    if request.method == "POST" and form.is_valid():
        change_project(project, by=request.actor, **form.changes())
        say(request, f"Saved “{form.cleaned_data['name']}”.")
        return go_to(request, "runs:project-detail", project.pk)
    here = reverse("runs:project-detail", args=[project.pk])
    crumbs = [Link("Projects", reverse("runs:project-list")), Link(project.name, here)]
    context = page_of(request, form=form, project=project, crumbs=crumbs, cancel_url=here, submit="Save")
    return render_page(request, "runs/project_form.html", context, status=422 if form.errors else 200)


@requires("archive")
@require_POST
def project_archive(request: MemberRequest, project_id: str) -> HttpResponse:
    return archive_view(request, find(Project.objects.visible_to(request.actor), project_id), "project")


@requires("archive")
@require_POST
def project_restore(request: MemberRequest, project_id: str) -> HttpResponse:
    return restore_view(request, find(Project.objects.visible_to(request.actor), project_id), "project")
