"""Pages of test sets and of the cases in them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Coalesce, Left
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evalhub.accounts.access import requires
from evalhub.accounts.actor import MemberRequest
from evalhub.accounts.tenancy import parse_uuid
from evalhub.database.lookups import count_of
from evalhub.web.errors import Refused
from evalhub.web.formats import count
from evalhub.web.pages import back_to, go_to, render_page, say
from evalhub.web.paging import Order, count_rows, read_page
from evalhub.web.parts import Link
from runs.cases import (
    CaseSpec,
    change_test_set,
    count_of_members,
    create_cases,
    create_test_set,
    live_members,
    move_in_test_set,
    remove_from_test_set,
)
from runs.changing import locked
from runs.current import current_project
from runs.forms import PasteForm, TestSetForm, lone_text
from runs.models import Case, TestConfiguration, TestSet, TestSetCase
from runs.setup_filters import TestSetFilter, search_cases, text_in
from runs.views_setup import (
    PAGE_SIZE,
    SetUpList,
    activity_of,
    archive_view,
    find,
    page_of,
    project_crumbs,
    restore_view,
    users_of,
)

SHOWN_TEXT = 300  # characters of a case in a list
PREVIEWED = 8
SHOWN_PROBLEMS = 20


@requires("read")
@require_safe
def test_set_list(request: MemberRequest) -> HttpResponse:
    rows = TestSet.objects.visible_to(request.actor)
    shown = (
        rows.select_related("project", "owner")
        .defer("metadata", "attributes", "description", "project__metadata", "project__attributes")
        .annotate(
            case_count=count_of_members(),
            use_count=count_of(TestConfiguration.objects.current(), "test_set"),
        )
    )
    listing = SetUpList(request, TestSetFilter, rows, shown=shown)
    context = page_of(request, listing=listing, selects=listing.selects("kind"))
    return render_page(request, "runs/test_set_list.html", context)


@requires("read")
@require_safe
def test_set_detail(request: MemberRequest, test_set_id: str) -> HttpResponse:
    actor = request.actor
    test_set = find(TestSet.objects.visible_to(actor).select_related("project", "owner"), test_set_id)
    members = chosen_members(request, test_set)
    page = read_page(rows_shown(members), Order("position"), request.GET.get("cursor"), PAGE_SIZE)
    q = request.GET.get("q", "").strip()
    for n, row in enumerate(page.rows):
        row["place"] = None if q else page.first + n
    total = count_rows(members)
    context = page_of(
        request,
        test_set=test_set,
        page=page,
        total=total,
        case_count=count_rows(live_members().filter(test_set=test_set)) if q else total,
        q=q,
        used_by=users_of(request, test_set=test_set),
        activity=activity_of(actor, test_set),
        restore_url=reverse("runs:test-set-restore", args=[test_set.pk]),
        crumbs=project_crumbs(test_set.project, "test-set", "Test sets"),
    )
    return render_page(request, "runs/test_set_detail.html", context)


def chosen_members(request: MemberRequest, test_set: TestSet) -> QuerySet[TestSetCase]:
    """The set's cases that the search in the address matches, or all."""
    members = live_members().filter(test_set=test_set)
    q = request.GET.get("q", "")[:200].replace("\0", "").strip()
    if q:
        members = members.filter(case__in=search_cases(Case.objects.visible_to(request.actor), q))
    return members


def rows_shown(members: QuerySet[TestSetCase]) -> QuerySet[TestSetCase, Any]:
    """What the table needs of each case, texts cut by the database."""
    return members.values(
        "id",
        "position",
        "case_id",
        number=F("case__number"),
        name=F("case__name"),
        tags=F("case__tags"),
        revision=F("case__revision"),
        kind=F("case__kind"),
        archived_at=F("case__archived_at"),
        asked=Left(text_in("case__inputs", "input"), SHOWN_TEXT),
        wanted=Left(Coalesce(text_in("case__expected", "output"), Value("")), SHOWN_TEXT),
    )


@requires("set_up")
@require_http_methods(["GET", "HEAD", "POST"])
def test_set_create(request: MemberRequest) -> HttpResponse:
    form = TestSetForm(
        request.POST if request.method == "POST" else None,
        actor=request.actor,
        initial={"project": current_project(request)},
    )
    if request.method == "POST" and form.is_valid():
        test_set = create_test_set(by=request.actor, **form.changes())
        say(request, f"Made the test set “{test_set}”. Add its first cases.")
        return go_to(request, "runs:test-set-detail", test_set.pk)
    list_url = reverse("runs:test-set-list")
    context = page_of(
        request, form=form, crumbs=[Link("Test sets", list_url)], cancel_url=list_url, submit="Create test set"
    )
    return render_page(request, "runs/test_set_form.html", context, status=422 if form.errors else 200)


@requires("set_up")
@require_http_methods(["GET", "HEAD", "POST"])
@transaction.atomic
def test_set_edit(request: MemberRequest, test_set_id: str) -> HttpResponse:
    test_set = find(TestSet.objects.visible_to(request.actor).select_related("project"), test_set_id)
    if request.method == "POST":
        test_set = locked(test_set)
    form = TestSetForm(request.POST if request.method == "POST" else None, actor=request.actor, instance=test_set)
    here = reverse("runs:test-set-detail", args=[test_set.pk])
    if request.method == "POST" and form.is_valid():
        change_test_set(test_set, by=request.actor, **form.changes())
        say(request, f"Saved “{form.cleaned_data['name']}”.")
        return go_to(request, here)
    crumbs = [*project_crumbs(test_set.project, "test-set", "Test sets"), Link(test_set.name, here)]
    context = page_of(request, form=form, test_set=test_set, crumbs=crumbs, cancel_url=here, submit="Save")
    return render_page(request, "runs/test_set_form.html", context, status=422 if form.errors else 200)


@requires("archive")
@require_POST
def test_set_archive(request: MemberRequest, test_set_id: str) -> HttpResponse:
    return archive_view(request, find(TestSet.objects.visible_to(request.actor), test_set_id), "test-set")


@requires("archive")
@require_POST
def test_set_restore(request: MemberRequest, test_set_id: str) -> HttpResponse:
    return restore_view(request, find(TestSet.objects.visible_to(request.actor), test_set_id), "test-set")


@requires("set_up")
@require_http_methods(["GET", "HEAD", "POST"])
def case_paste(request: MemberRequest, test_set_id: str) -> HttpResponse:
    """Many cases at once: pasted, looked at, added."""
    test_set = find(TestSet.objects.visible_to(request.actor).select_related("project"), test_set_id)
    form = PasteForm(request.POST if request.method == "POST" else None)
    here = reverse("runs:test-set-detail", args=[test_set.pk])
    preview = None
    if request.method == "POST" and form.is_valid():
        if "preview" in request.POST:
            preview = form.pasted
        else:
            try:
                cases, made = create_cases(test_set.project, form.pasted.specs, by=request.actor, test_set=test_set)
            except Refused as refusal:
                form.add_error("text", str(refusal))
            else:
                known = len(cases) - made
                say(
                    request,
                    f"Added {count(len(cases))} case{'s' if len(cases) != 1 else ''}"
                    + (f", {count(known)} of them known before." if known else "."),
                )
                return go_to(request, here)
    problems = form.pasted.problems
    context = page_of(
        request,
        form=form,
        test_set=test_set,
        preview=preview,
        problems=problems[:SHOWN_PROBLEMS],
        more_problems=max(len(problems) - SHOWN_PROBLEMS, 0),
        shown=[shown_spec(spec) for spec in preview.specs[:PREVIEWED]] if preview else [],
        spare=", ".join(sorted(preview.spare)) if preview else "",
        crumbs=[*project_crumbs(test_set.project, "test-set", "Test sets"), Link(test_set.name, here)],
        cancel_url=here,
    )
    return render_page(request, "runs/case_paste.html", context, status=422 if form.errors else 200)


def shown_spec(spec: CaseSpec) -> dict[str, Any]:
    return {
        "asked": lone_text(spec.inputs, "input")[1],
        "wanted": lone_text(spec.expected, "output")[1],
        "name": spec.name,
        "tags": spec.tags,
    }


@requires("set_up")
@require_POST
def test_set_case_remove(request: MemberRequest, test_set_id: str) -> HttpResponse:
    test_set = find(TestSet.objects.visible_to(request.actor), test_set_id)
    removed = remove_from_test_set(test_set, selected_cases(request, test_set), by=request.actor)
    say(request, f"Took {count(removed)} case{'s' if removed != 1 else ''} out of the set.")
    return go_to(request, back_to(request, "runs:test-set-detail", test_set.pk))


@requires("set_up")
@require_POST
def test_set_case_move(request: MemberRequest, test_set_id: str) -> HttpResponse:
    test_set = find(TestSet.objects.visible_to(request.actor), test_set_id)
    place = request.POST.get("to") or request.POST.get("place", "")
    if not (place.isascii() and place.isdigit() and len(place) < 10):
        raise Refused("Say to which place the cases move: a number from 1.")
    ids = selected_cases(request, test_set)
    move_in_test_set(test_set, ids, to=int(place), by=request.actor)
    say(request, f"Moved {count(len(ids))} case{'s' if len(ids) != 1 else ''}.")
    return go_to(request, back_to(request, "runs:test-set-detail", test_set.pk))


def selected_cases(request: MemberRequest, test_set: TestSet) -> list[UUID]:
    """The ticked cases, or all that the search in the address matches; refused where one is not in the set."""
    members = chosen_members(request, test_set)
    if request.POST.get("select") == "all":
        return list(members.values_list("case_id", flat=True))
    named = {parse_uuid(value) for value in request.POST.getlist("case")}
    ids = {pk for pk in named if pk is not None}
    found = set(TestSetCase.objects.filter(test_set=test_set, case_id__in=ids).values_list("case_id", flat=True))
    if not named:
        raise Refused("Select the cases first.")
    if len(found) < len(named):
        raise Refused("Some of the selected cases are not in this set any more. Nothing was changed.")
    return list(found)
