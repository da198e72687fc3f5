"""Pages of endpoints. Stored secrets never reach them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evalhub.accounts.access import requires
from evalhub.accounts.actor import MemberRequest
from evalhub.database.lookups import count_of
from evalhub.web.pages import go_to, render_page, say
from evalhub.web.parts import Link
from runs.asking import Failure, ask_once
from runs.changing import locked
from runs.chatting import OPENAI_CHAT
from runs.current import current_project
from runs.endpoints import change_endpoint, create_endpoint
from runs.forms import EndpointForm, is_sensitive
from runs.models import Endpoint, TestConfiguration
from runs.setup_filters import EndpointFilter
from runs.views_setup import (
    SetUpList,
    activity_of,
    archive_view,
    find,
    page_of,
    project_crumbs,
    recent_runs,
    restore_view,
    users_of,
)

LONGEST_MESSAGE = 4_000
HIDDEN = "••••••••"


@requires("read")
@require_safe
def endpoint_list(request: MemberRequest) -> HttpResponse:
    rows = Endpoint.objects.visible_to(request.actor)
    shown = (
        rows.select_related("project")
        .only("id", "name", "url", "environment", "connection_type", "auth_type", "updated_at", "project__name")
        .annotate(use_count=count_of(TestConfiguration.objects.current(), "endpoint"))
    )
    listing = SetUpList(request, EndpointFilter, rows, shown=shown)
    context = page_of(request, listing=listing, selects=listing.selects("environment"))
    return render_page(request, "runs/endpoint_list.html", context)


@requires("read")
@require_safe
def endpoint_detail(request: MemberRequest, endpoint_id: str) -> HttpResponse:
    actor = request.actor
    endpoint = find(Endpoint.objects.visible_to(actor).select_related("project", "owner"), endpoint_id)
    context = page_of(
        request,
        endpoint=endpoint,
        headers=shown_headers(endpoint),
        secrets=[name.replace("_", " ").capitalize() for name in Endpoint.SECRETS if name in endpoint.secrets],
        runs=recent_runs(actor, configuration__endpoint=endpoint),
        used_by=users_of(request, endpoint=endpoint),
        activity=activity_of(actor, endpoint),
        restore_url=reverse("runs:endpoint-restore", args=[endpoint.pk]),
        crumbs=project_crumbs(endpoint.project, "endpoint", "Endpoints"),
    )
    return render_page(request, "runs/endpoint_detail.html", context)


def shown_headers(endpoint: Endpoint) -> list[tuple[str, str]]:
    """The headers, without the values of credentials that came through another door."""
    headers: Any = endpoint.request_headers
    if not isinstance(headers, dict):
        return []
    return [
        (name, HIDDEN if is_sensitive(name) and "{{" not in str(value) else str(value))
        for name, value in headers.items()
    ]


@requires("set_up")
@require_http_methods(["GET", "HEAD", "POST"])
def endpoint_create(request: MemberRequest) -> HttpResponse:
    preset = OPENAI_CHAT if request.GET.get("preset") == "openai" else {"request_mapping": {"input": "{{ input }}"}}
    form = EndpointForm(
        request.POST if request.method == "POST" else None,
        actor=request.actor,
        initial={"project": current_project(request), **preset},
    )
    if request.method == "POST" and form.is_valid():
        secrets: dict[str, Any] = {name: value or "" for name, value in form.secrets().items()}
        endpoint = create_endpoint(by=request.actor, **form.changes(), **secrets)
        say(request, f"Made the endpoint “{endpoint}”.")
        return go_to(request, "runs:endpoint-detail", endpoint.pk)
    list_url = reverse("runs:endpoint-list")
    context = page_of(
        request, form=form, crumbs=[Link("Endpoints", list_url)], cancel_url=list_url, submit="Create endpoint"
    )
    return render_page(request, "runs/endpoint_form.html", context, status=422 if form.errors else 200)


@requires("set_up")
@require_http_methods(["GET", "HEAD", "POST"])
@transaction.atomic
def endpoint_edit(request: MemberRequest, endpoint_id: str) -> HttpResponse:
    endpoint = find(Endpoint.objects.visible_to(request.actor).select_related("project"), endpoint_id)
    if request.method == "POST":
        endpoint = locked(endpoint)
    form = EndpointForm(request.POST if request.method == "POST" else None, actor=request.actor, instance=endpoint)
    here = reverse("runs:endpoint-detail", args=[endpoint.pk])
    if request.method == "POST" and form.is_valid():
        before = set(endpoint.secrets)
        changed = change_endpoint(endpoint, by=request.actor, **form.changes(), **form.secrets())
        say(request, f"Saved “{changed}”.")
        if before - set(changed.secrets) and not form.cleaned_data.get("forget"):
            say(
                request,
                "The address leads somewhere else now, so the stored secret was forgotten. Enter it again.",
                level=messages.WARNING,
            )
        return go_to(request, here)
    context = page_of(
        request,
        form=form,
        endpoint=endpoint,
        crumbs=[*project_crumbs(endpoint.project, "endpoint", "Endpoints"), Link(endpoint.name, here)],
        cancel_url=here,
        submit="Save",
    )
    return render_page(request, "runs/endpoint_form.html", context, status=422 if form.errors else 200)


@requires("launch")
@require_POST
def endpoint_try(request: MemberRequest, endpoint_id: str) -> HttpResponse:
    """One message to the endpoint, as a run would send it; nothing is recorded."""
    endpoint = find(Endpoint.objects.visible_to(request.actor), endpoint_id)
    text = request.POST.get("message", "")[:LONGEST_MESSAGE].replace("\0", "")
    context: dict[str, Any] = {"endpoint": endpoint, "message": text}
    try:
        context["said"] = ask_once(endpoint, {"input": text})
    except Failure as failure:
        context["failure"] = failure
    crumbs = [
        *project_crumbs(endpoint.project, "endpoint", "Endpoints"),
        Link(endpoint.name, reverse("runs:endpoint-detail", args=[endpoint.pk])),
    ]
    return render_page(request, "runs/endpoint_answer.html", page_of(request, crumbs=crumbs, **context))


@requires("archive")
@require_POST
def endpoint_archive(request: MemberRequest, endpoint_id: str) -> HttpResponse:
    return archive_view(request, find(Endpoint.objects.visible_to(request.actor), endpoint_id), "endpoint")


@requires("archive")
@require_POST
def endpoint_restore(request: MemberRequest, endpoint_id: str) -> HttpResponse:
    return restore_view(request, find(Endpoint.objects.visible_to(request.actor), endpoint_id), "endpoint")
