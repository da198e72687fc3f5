"""Pages of configurations."""

from __future__ import annotations

from django.contrib.postgres.expressions import ArraySubquery
from django.db import transaction
from django.db.models import Subquery
from django.http import Http404, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evalhub.accounts.access import requires
from evalhub.accounts.actor import Actor, MemberRequest
from evalhub.accounts.tenancy import parse_uuid
from evalhub.database.lookups import count_of
from evalhub.web.pages import go_to, render_page, say
from evalhub.web.parts import Link
from runs.changing import locked
from runs.configurations import change_configuration, create_configuration, evaluators_of
from runs.current import current_project, find_project
from runs.forms import ConfigurationForm
from runs.models import ConfigurationEvaluator, Evaluator, Lookup, Project, TestConfiguration, TestRun
from runs.setup_filters import ConfigurationFilter
from runs.views_setup import (
    LAST_RUNS,
    SetUpList,
    activity_of,
    archive_view,
    find,
    page_of,
    project_crumbs,
    rates_of,
    recent_runs,
    restore_view,
    runs_of,
)


@requires("read")
@require_safe
def configuration_list(request: MemberRequest) -> HttpResponse:
    rows = TestConfiguration.objects.visible_to(request.actor)
    runs = runs_of("configuration")
    judged = runs.filter(pass_rate__isnull=False)
    used = ConfigurationEvaluator.objects.filter(evaluator__deleted_at__isnull=True)
    shown = (
        rows.select_related("project", "test_set", "endpoint")
        .only("id", "name", "updated_at", "project__name", "test_set__name", "endpoint__name")
        .annotate(
            evaluator_count=count_of(used, "configuration"),
            run_count=count_of(TestRun.objects.listed().current(), "configuration"),
            rates=ArraySubquery(judged.values("pass_rate")[:LAST_RUNS]),
            low=Subquery(judged.values("pass_low")[:1]),
            high=Subquery(judged.values("pass_high")[:1]),
            last_run_at=Subquery(runs.values("created_at")[:1]),
        )
    )
    listing = SetUpList(request, ConfigurationFilter, rows, shown=shown)
    for configuration in listing.page.rows:
        configuration.rates.reverse()
        configuration.latest = configuration.rates[-1] if configuration.rates else None
    return render_page(request, "runs/configuration_list.html", page_of(request, listing=listing, selects=[]))


@requires("read")
@require_safe
def configuration_detail(request: MemberRequest, configuration_id: str) -> HttpResponse:
    actor = request.actor
    found = TestConfiguration.objects.visible_to(actor).select_related(
        *("project", "owner", "test_set", "endpoint", "category", "topic", "prompt")
    )
    configuration = find(found, configuration_id)
    runs = recent_runs(actor, configuration=configuration)
    run_count = TestRun.objects.visible_to(actor).listed().current().filter(configuration=configuration).count()
    parameters = configuration.parameters if isinstance(configuration.parameters, dict) else {}
    context = page_of(
        request,
        configuration=configuration,
        runs=runs,
        run_count=run_count,
        rates=rates_of(runs),
        evaluators=evaluators_of(configuration),
        parameters=[(PARAMETERS[name], parameters[name]) for name in PARAMETERS if name in parameters],
        other={name: value for name, value in parameters.items() if name not in PARAMETERS},
        status=status_of(configuration, actor),
        activity=activity_of(actor, configuration),
        restore_url=reverse("runs:configuration-restore", args=[configuration.pk]),
        crumbs=project_crumbs(configuration.project, "configuration", "Configurations"),
    )
    return render_page(request, "runs/configuration_detail.html", context)


def status_of(configuration: TestConfiguration, actor: Actor) -> str:
    """A word, or one of the organisation's own, which is named by its id."""
    own = parse_uuid(configuration.status)
    named = Lookup.objects.visible_to(actor).filter(pk=own).first() if own else None
    return named.name if named else configuration.status.replace("_", " ").capitalize()


PARAMETERS = {
    name: str(ConfigurationForm.base_fields[name].label or name.capitalize()) for name in ConfigurationForm.PARAMETERS
}


@requires("set_up")
@require_http_methods(["GET", "HEAD", "POST"])
def configuration_create(request: MemberRequest) -> HttpResponse:
    """Of the project in the address; without one, the page asks for it first."""
    list_url = reverse("runs:configuration-list")
    crumbs = [Link("Configurations", list_url)]
    project = chosen_project(request)
    if project is None:
        projects = Project.objects.visible_to(request.actor).current().only("id", "name", "slug")
        context = page_of(request, projects=list(projects[:500]), crumbs=crumbs, cancel_url=list_url)
        return render_page(request, "runs/configuration_project.html", context)
    form = ConfigurationForm(request.POST if request.method == "POST" else None, actor=request.actor, project=project)
    if request.method == "POST" and form.is_valid():
        configuration = create_configuration(project, by=request.actor, **form.changes())
        say(request, f"Made the configuration “{configuration}”.")
        return go_to(request, "runs:configuration-detail", configuration.pk)
    context = page_of(
        request,
        form=form,
        project=project,
        evaluator_rows=form.evaluator_rows(),
        templates=templates_for(request),
        crumbs=crumbs,
        cancel_url=list_url,
        submit="Create configuration",
    )
    return render_page(request, "runs/configuration_form.html", context, status=422 if form.errors else 200)


def chosen_project(request: MemberRequest) -> Project | None:
    named = request.GET.get("project", "").strip()
    if not named:
        return current_project(request)
    project = find_project(request.actor, named)
    if project is None:
        raise Http404
    return project


def templates_for(request: MemberRequest) -> list[Evaluator]:
    """Evaluators that can be copied into the project."""
    templates = Evaluator.objects.visible_to(request.actor).current().filter(project=None)
    return list(templates.only("id", "name")[:30])


@requires("set_up")
@require_http_methods(["GET", "HEAD", "POST"])
@transaction.atomic
def configuration_edit(request: MemberRequest, configuration_id: str) -> HttpResponse:
    configuration = find(
        TestConfiguration.objects.visible_to(request.actor).select_related("project"), configuration_id
    )
    if request.method == "POST":
        configuration = locked(configuration)
    form = ConfigurationForm(
        request.POST if request.method == "POST" else None,
        actor=request.actor,
        instance=configuration,
        project=configuration.project,
    )
    here = reverse("runs:configuration-detail", args=[configuration.pk])
    if request.method == "POST" and form.is_valid():
        change_configuration(configuration, by=request.actor, **form.changes())
        say(request, f"Saved “{form.cleaned_data['name']}”.")
        return go_to(request, here)
    context = page_of(
        request,
        form=form,
        configuration=configuration,
        project=configuration.project,
        evaluator_rows=form.evaluator_rows(),
        templates=templates_for(request),
        crumbs=[
            *project_crumbs(configuration.project, "configuration", "Configurations"),
            Link(configuration.name, here),
        ],
        cancel_url=here,
        submit="Save",
    )
    return render_page(request, "runs/configuration_form.html", context, status=422 if form.errors else 200)


@requires("archive")
@require_POST
def configuration_archive(request: MemberRequest, configuration_id: str) -> HttpResponse:
    found = find(TestConfiguration.objects.visible_to(request.actor), configuration_id)
    return archive_view(request, found, "configuration")


@requires("archive")
@require_POST
def configuration_restore(request: MemberRequest, configuration_id: str) -> HttpResponse:
    found = find(TestConfiguration.objects.visible_to(request.actor), configuration_id)
    return restore_view(request, found, "configuration")
