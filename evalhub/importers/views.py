"""Uploading result files, saying what their columns mean, and watching them come in."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evalhub.accounts.access import requires
from evalhub.accounts.actor import ActorRequest, MemberRequest
from evalhub.importers.detect import Format
from evalhub.importers.forms import MappingForm, UploadForm
from evalhub.importers.problems import MEGABYTE, ImportProblem, Limits, megabytes
from evalhub.importers.uploading import (
    can_start_again,
    discard,
    is_table,
    mapping_of,
    needs_mapping,
    receive,
    start,
    table_of,
)
from evalhub.web import formats
from evalhub.web.errors import Refused
from evalhub.web.pages import fragment_target, go_to, render_page, say, wants_fragment
from evalhub.web.paging import Order, read_page
from evalhub.web.parts import Link
from runs.current import current_project
from runs.models import Import

HEAVY = ("report", "run__snapshot", "run__declared", "run__attributes", "run__metadata")
CRUMBS = [Link("Imports", "/imports/")]


@require_safe
@requires("read")
def import_list(request: MemberRequest) -> HttpResponse:
    found = Import.objects.visible_to(request.actor).select_related("project", "run", "created_by").defer(*HEAVY)
    page = read_page(found, Order("-id"), request.GET.get("cursor"), size=50)
    context = {
        "page": page,
        "rows": [shown(entry) for entry in page],
        "may_import": request.actor.may("import"),
        "new_url": reverse("imports:import-create"),
    }
    return render_page(request, "imports/import_list.html", context)


@csrf_exempt  # for one line: a body that is too large is refused before it is read
@require_http_methods(["GET", "HEAD", "POST"])
@requires("import")
def import_create(request: MemberRequest) -> HttpResponse:
    most = Limits.current().file_bytes + MEGABYTE
    if request.method == "POST" and length_of(request) > most:
        raise Refused(f"The file is larger than {megabytes(Limits.current().file_bytes)}.")
    response: HttpResponse = _import_create(request)
    return response


def length_of(request: MemberRequest) -> int:
    said = request.META.get("CONTENT_LENGTH") or ""
    return int(said) if said.isascii() and said.isdigit() else 0


@csrf_protect
def _import_create(request: MemberRequest) -> HttpResponse:
    here = {"project": current_project(cast(ActorRequest, request))}
    form = UploadForm(request.POST or None, request.FILES or None, actor=request.actor, initial=here)
    if request.method == "POST" and form.is_valid():
        try:
            entry = receive(form.cleaned_data["file"], form.cleaned_data["project"], by=request.actor)
        except ImportProblem as problem:
            form.add_error("file", str(problem))
        else:
            page = "imports:import-mapping" if needs_mapping(entry) else "imports:import-detail"
            return go_to(request, page, entry.pk)
    context = {"form": form, "crumbs": [*CRUMBS, Link("New")], "formats": [found.label for found in Format]}
    return render_page(request, "imports/import_new.html", context, status=422 if form.errors else 200)


@require_safe
@requires("read")
def import_detail(request: MemberRequest, pk: UUID) -> HttpResponse:
    """The page; for htmx its state, or its row of the list."""
    entry = find(request, pk)
    context = {
        "entry": shown(entry),
        "crumbs": [*CRUMBS, Link(entry.filename)],
        "may_import": request.actor.may("import"),
        **told(entry),
    }
    if wants_fragment(request) and fragment_target(request) == f"import-{entry.pk}":
        return render_page(request, "imports/_row.html", context)
    return render_page(request, "imports/import_detail.html", context, fragment="state")


@require_http_methods(["GET", "HEAD", "POST"])
@requires("import")
def import_mapping(request: MemberRequest, pk: UUID) -> HttpResponse:
    entry = find(request, pk)
    if not is_table(entry) or not entry.file or not (needs_mapping(entry) or can_start_again(entry)):
        return go_to(request, "imports:import-detail", entry.pk)
    table = table_of(entry)
    data = request.POST if request.method == "POST" else None
    form = MappingForm(data, table=table, mapping=mapping_of(entry, table))
    if data is not None and form.is_valid():
        start(entry, form.cleaned_data["mapping"])
        return go_to(request, "imports:import-detail", entry.pk)
    context = {
        "entry": entry,
        "form": form,
        "table": table,
        "crumbs": [*CRUMBS, Link(entry.filename, f"/imports/{entry.pk}/"), Link("Columns")],
    }
    return render_page(request, "imports/import_mapping.html", context, status=422 if form.errors else 200)


@require_POST
@requires("import")
def import_retry(request: MemberRequest, pk: UUID) -> HttpResponse:
    entry = find(request, pk)
    if can_start_again(entry):
        start(entry)
    return go_to(request, "imports:import-detail", entry.pk)


@require_POST
@requires("import")
def import_discard(request: MemberRequest, pk: UUID) -> HttpResponse:
    entry = find(request, pk)
    if not (needs_mapping(entry) or entry.state == Import.State.FAILED):
        raise Refused("Only an import that brought nothing can be discarded.")
    discard(entry)
    say(request, f"Discarded {entry.filename}.")
    return go_to(request, "imports:import-list")


def find(request: MemberRequest, pk: UUID) -> Import:
    found = Import.objects.visible_to(request.actor).select_related("project", "run", "created_by")
    return get_object_or_404(found, pk=pk)


def shown(entry: Import) -> Import:
    """With what templates ask about it."""
    asked: Any = entry
    asked.waits = needs_mapping(entry)
    asked.is_live = entry.state in (Import.State.QUEUED, Import.State.RUNNING) and not asked.waits
    asked.format_label = Format(entry.format).label if entry.format in set(Format) else ""
    return entry


def told(entry: Import) -> dict[str, Any]:
    """What the report says of each run, with the totals that differ first."""
    runs = []
    for one in entry.report.get("runs", []):
        checks = sorted(one.get("checks", []), key=lambda check: bool(check.get("agrees")))
        off = sum(not check.get("agrees") for check in checks)
        checks = [
            {**check, **{key: formats.exact(check.get(key)) for key in ("declared", "imported")}} for check in checks
        ]
        runs.append({**one, "checks": checks, "off": off})
    return {
        "runs": runs,
        "can_map": is_table(entry) and can_start_again(entry),
        "can_retry": can_start_again(entry),
        "can_discard": needs_mapping(entry) or entry.state == Import.State.FAILED,
    }
