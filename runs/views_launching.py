"""Launching a run from a configuration's page."""

from __future__ import annotations

from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from evalhub.accounts.access import requires
from evalhub.accounts.actor import MemberRequest
from evalhub.web.errors import in_time
from evalhub.web.pages import go_to, render_page, say
from evalhub.web.parts import Link
from runs.forms_launching import LaunchForm
from runs.launching import CannotLaunch, launch
from runs.models import TestConfiguration, TestRun
from runs.views_setup import find, page_of, project_crumbs


@requires("launch")
@require_http_methods(["GET", "HEAD", "POST"])
def run_launch(request: MemberRequest, configuration_id: str) -> HttpResponse:
    rows = TestConfiguration.objects.visible_to(request.actor)
    configuration = find(rows.select_related("project", "endpoint", "test_set"), configuration_id)
    here = reverse("runs:configuration-detail", args=[configuration.pk])
    form = LaunchForm(
        request.POST if request.method == "POST" else None, actor=request.actor, configuration=configuration
    )
    refusal: CannotLaunch | None = None
    if request.method == "POST" and form.is_valid():
        try:
            run = launch(configuration, by=request.actor, via=TestRun.Via.PAGE, **form.arguments())
        except CannotLaunch as reason:
            form.add_error(None, str(reason))
            refusal = reason
        else:
            count = run.planned_count
            say(request, f"Launched {run}: {count:,} result{'s' if count != 1 else ''} to come.")
            return go_to(request, "results:run-detail", run.pk)
    context = page_of(
        request,
        form=form,
        configuration=configuration,
        evaluator_rows=form.evaluator_rows(),
        crumbs=[
            *project_crumbs(configuration.project, "configuration", "Configurations"),
            Link(configuration.name, here),
        ],
        cancel_url=here,
        submit="Launch",
    )
    response = render_page(request, "runs/run_launch.html", context, status=422 if form.errors else 200)
    return in_time(response, refusal)
