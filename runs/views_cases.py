"""Pages of cases."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce, Left
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evalhub.accounts.access import requires
from evalhub.accounts.actor import MemberRequest
from evalhub.accounts.tenancy import parse_uuid
from evalhub.database.lookups import count_of
from evalhub.web.context import address
from evalhub.web.errors import Refused
from evalhub.web.formats import count
from evalhub.web.pages import back_to, go_to, is_here, render_page, say
from evalhub.web.parts import Link
from runs.cases import add_to_test_set, change_case, create_case, live_members
from runs.changing import locked
from runs.forms import JSON, CaseForm, lone_text
from runs.models import Case, CaseRevision, TestSet
from runs.setup_filters import CaseFilter, text_in
from runs.views_setup import (
    SetUpList,
    activity_of,
    archive_view,
    find,
    page_of,
    project_crumbs,
    restore_view,
)
from runs.views_test_sets import SHOWN_TEXT


@requires("read")
@require_safe
def case_list(request: MemberRequest) -> HttpResponse:
    rows = Case.objects.visible_to(request.actor)
    shown = rows.select_related("project").annotate(
        asked=Left(text_in("inputs", "input"), SHOWN_TEXT),
        wanted=Left(Coalesce(text_in("expected", "output"), Value("")), SHOWN_TEXT),
        set_count=count_of(live_members(), "case"),
    )
    shown = shown.only("id", "number", "name", "tags", "revision", "kind", "archived_at", "project__name")
    listing = SetUpList(request, CaseFilter, rows, shown=shown)
    project = listing.filter.one("project")
    sets = TestSet.objects.visible_to(request.actor).current().filter(project=project).only("id", "name")
    context = page_of(
        request,
        listing=listing,
        project=project,
        test_sets=list(sets[:200]) if project else [],
        selects=[],
    )
    return render_page(request, "runs/case_list.html", context)


@requires("read")
@require_safe
def case_detail(request: MemberRequest, case_id: str) -> HttpResponse:
    actor = request.actor
    found = Case.objects.visible_to(actor).select_related(
        "project", "category", "topic", "requirement", "prompt", "owner"
    )
    case = find(found, case_id)
    test_sets = TestSet.objects.visible_to(actor).filter(cases=case).only("id", "name", "revision", "archived_at")
    others = TestSet.objects.visible_to(actor).current().filter(project=case.project).exclude(cases=case)
    results_url = address("results:result-list")
    context = page_of(
        request,
        case=case,
        inputs=shown_text(case.inputs, "input"),
        expected=shown_text(case.expected, "output"),
        plan=plan_rows(case),
        history=history_of(case, request.GET.get("revision", "")),
        test_sets=list(test_sets[:50]),
        other_sets=list(others.only("id", "name")[:200]) if actor.may("set_up") else [],
        results_url=f"{results_url}?case={case.pk}" if results_url else "",
        activity=activity_of(actor, case),
        restore_url=reverse("runs:case-restore", args=[case.pk]),
        crumbs=project_crumbs(case.project, "case", "Cases"),
    )
    return render_page(request, "runs/case_detail.html", context)


def shown_text(value: Any, key: str) -> dict[str, Any]:
    """A case's JSON as a page shows it: as text where it is one."""
    form, text = lone_text(value, key)
    return {"is_json": form == JSON, "text": text, "value": value}


def plan_rows(case: Case) -> list[tuple[str, Any]]:
    plan = case.plan if isinstance(case.plan, dict) else {}
    known = [(name.replace("_", " ").capitalize(), plan[name]) for name in CaseForm.PLAN if plan.get(name)]
    return known + [(name, value) for name, value in plan.items() if name not in CaseForm.PLAN]


def history_of(case: Case, opened: str = "") -> list[dict[str, Any]]:
    """The changes of what the case asks and expects, newest first; each revision was kept when the next one came.

    Only the opened one (the newest, if none is named) has its texts: comparing them takes time.
    """
    kept = list(CaseRevision.objects.filter(case=case).order_by("-number")[:50])
    changes: list[dict[str, Any]] = []
    after = {"inputs": case.inputs, "expected": case.expected}
    for revision in kept:
        before = {"inputs": revision.inputs, "expected": revision.expected}
        is_opened = str(revision.number + 1) == opened if opened else not changes
        changes.append(
            {
                "number": revision.number + 1,
                "at": revision.created_at,
                "is_opened": is_opened,
                "inputs": both(before["inputs"], after["inputs"], "input") if is_opened else None,
                "expected": both(before["expected"], after["expected"], "output") if is_opened else None,
            }
        )
        after = before
    return changes


def both(before: Any, after: Any, key: str) -> tuple[str, str] | None:
    """Two values as texts to be compared, or None where they are the same."""
    return None if before == after else (lone_text(before, key)[1], lone_text(after, key)[1])


@requires("set_up")
@require_http_methods(["GET", "HEAD", "POST"])
@transaction.atomic
def case_create(request: MemberRequest, test_set_id: str) -> HttpResponse:
    test_set = find(TestSet.objects.visible_to(request.actor).select_related("project"), test_set_id)
    form = CaseForm(
        request.POST if request.method == "POST" else None, actor=request.actor, initial={"kind": test_set.kind}
    )
    here = reverse("runs:test-set-detail", args=[test_set.pk])
    if request.method == "POST" and form.is_valid():
        case = create_case(test_set.project, by=request.actor, test_sets=[test_set], **form.changes())
        say(request, f"Added case {case.number} to “{test_set}”.")
        return go_to(request, reverse("runs:case-create", args=[test_set.pk]) if "another" in request.POST else here)
    context = page_of(
        request,
        form=form,
        test_set=test_set,
        crumbs=[*project_crumbs(test_set.project, "test-set", "Test sets"), Link(test_set.name, here)],
        cancel_url=here,
        submit="Add case",
    )
    return render_page(request, "runs/case_form.html", context, status=422 if form.errors else 200)


@requires("set_up")
@require_http_methods(["GET", "HEAD", "POST"])
@transaction.atomic
def case_edit(request: MemberRequest, case_id: str) -> HttpResponse:
    case = find(Case.objects.visible_to(request.actor).select_related("project"), case_id)
    if request.method == "POST":
        case = locked(case)
    form = CaseForm(request.POST if request.method == "POST" else None, actor=request.actor, instance=case)
    here = reverse("runs:case-detail", args=[case.pk])
    if request.method == "POST" and form.is_valid():
        changed = change_case(case, by=request.actor, **form.changes())
        revised = (
            f" It asks something new, so it is revision {changed.revision} now."
            if changed.revision > case.revision
            else ""
        )
        say(request, f"Saved case {case.number}.{revised}")
        return go_to(request, back_to(request, here))
    wanted = request.POST.get("next") or request.GET.get("next", "")
    context = page_of(
        request,
        form=form,
        case=case,
        is_used=Case.objects.filter(pk=case.pk, results__isnull=False).exists(),
        next=wanted if is_here(request, wanted) else "",
        crumbs=[*project_crumbs(case.project, "case", "Cases"), Link(str(case), here)],
        cancel_url=back_to(request, here),
        submit="Save",
    )
    return render_page(request, "runs/case_form.html", context, status=422 if form.errors else 200)


@requires("archive")
@require_POST
def case_archive(request: MemberRequest, case_id: str) -> HttpResponse:
    return archive_view(request, find(Case.objects.visible_to(request.actor), case_id), "case")


@requires("archive")
@require_POST
def case_restore(request: MemberRequest, case_id: str) -> HttpResponse:
    return restore_view(request, find(Case.objects.visible_to(request.actor), case_id), "case")


@requires("set_up")
@require_POST
def case_join(request: MemberRequest) -> HttpResponse:
    """Put the selected cases into a test set of their project."""
    cases = chosen_cases(request)
    wanted = parse_uuid(request.POST.get("test_set", ""))
    test_set = TestSet.objects.visible_to(request.actor).filter(pk=wanted).first() if wanted else None
    if test_set is None:
        raise Refused("Choose the test set that the cases go into.")
    found = list(cases[: MOST_AT_ONCE + 1])
    if len(found) > MOST_AT_ONCE:
        raise Refused(f"At most {MOST_AT_ONCE:,} cases go into a set at once. Narrow the list down first.")
    if any(case.project_id != test_set.project_id for case in found):
        raise Refused("A test set holds cases of its own project only. Nothing was changed.")
    added = add_to_test_set(test_set, found, by=request.actor)
    known = len(found) - added
    say(
        request,
        f"Added {count(added)} case{'s' if added != 1 else ''} to “{test_set}”"
        + (f"; {count(known)} {'were' if known != 1 else 'was'} already in it." if known else "."),
    )
    return go_to(request, back_to(request, "runs:test-set-detail", test_set.pk))


MOST_AT_ONCE = 10_000


def chosen_cases(request: MemberRequest) -> QuerySet[Case]:
    """The ticked cases, or all that the list in the address shows; refused where one is not there."""
    visible = Case.objects.visible_to(request.actor)
    if request.POST.get("select") == "all":
        listing = SetUpList(request, CaseFilter, visible)
        return listing.found.filter(archived_at__isnull=not listing.is_archive).order_by("number")
    named = set(request.POST.getlist("case"))
    ids = {pk for value in named if (pk := parse_uuid(value)) is not None}
    found = visible.filter(pk__in=ids).order_by("number")
    if not named:
        raise Refused("Select the cases first.")
    if found.count() < len(named):
        raise Refused("Some of the selected cases are not there any more. Nothing was changed.")
    return found
