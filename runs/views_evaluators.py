"""Pages of evaluators and their versions."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpResponse, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evalhub.accounts.access import requires
from evalhub.accounts.actor import MemberRequest
from evalhub.database.lookups import count_of
from evalhub.web.formats import score
from evalhub.web.pages import go_to, render_page, say
from evalhub.web.parts import Link
from runs.changing import locked
from runs.checks import CHECKS
from runs.current import current_project
from runs.evaluators import change_evaluator, create_evaluator, is_used
from runs.fields import differing, written_json
from runs.forms import MOST_OPTIONS, EvaluatorForm, Options, options_formset
from runs.models import ConfigurationEvaluator, Evaluator, EvaluatorVersion
from runs.setup_filters import EvaluatorFilter
from runs.views_setup import (
    SetUpList,
    activity_of,
    archive_view,
    find,
    page_of,
    project_crumbs,
    restore_view,
    users_of,
)

SPARE_ROWS = 2
NEW_ROWS = 4


@requires("read")
@require_safe
def evaluator_list(request: MemberRequest) -> HttpResponse:
    rows = Evaluator.objects.visible_to(request.actor)
    live = ConfigurationEvaluator.objects.filter(
        configuration__deleted_at__isnull=True, configuration__archived_at__isnull=True
    )
    shown = (
        rows.select_related("project")
        .defer("metadata", "attributes", "definition", "description", "project__metadata", "project__attributes")
        .annotate(use_count=count_of(live, "evaluator"))
    )
    listing = SetUpList(request, EvaluatorFilter, rows, shown=shown)
    context = page_of(
        request, listing=listing, selects=[*listing.selects("who", "value_type", "origin"), templates_or_not(listing)]
    )
    return render_page(request, "runs/evaluator_list.html", context)


def templates_or_not(listing: SetUpList) -> dict[str, Any]:
    chosen = listing.filter.values.get("template")
    return {
        "label": "Templates",
        "options": [
            Link(words, listing.address(template=None if chosen is value else text), chosen is value)
            for words, text, value in (("Only templates", "true", True), ("Without templates", "false", False))
        ],
    }


@requires("read")
@require_safe
def evaluator_detail(request: MemberRequest, evaluator_id: str) -> HttpResponse:
    actor = request.actor
    evaluator = find(Evaluator.objects.visible_to(actor).select_related("project", "owner"), evaluator_id)
    context = page_of(
        request,
        evaluator=evaluator,
        parts=definition_rows(evaluator.definition),
        history=history_of(evaluator, request.GET.get("version", "")),
        used_by=users_of(request, evaluator=evaluator),
        activity=activity_of(actor, evaluator),
        restore_url=reverse("runs:evaluator-restore", args=[evaluator.pk]),
        crumbs=project_crumbs(evaluator.project, "evaluator", "Evaluators"),
    )
    return render_page(request, "runs/evaluator_detail.html", context)


def definition_rows(definition: Any) -> list[dict[str, Any]]:
    """How it judges, part by part: long texts apart from short ones and from JSON."""
    rows = []
    for name, value in (definition if isinstance(definition, dict) else {}).items():
        is_text = isinstance(value, str)
        rows.append(
            {
                "label": name.replace("_", " ").capitalize(),
                "value": value,
                "shape": "json" if not is_text else "long" if "\n" in value or len(value) > 80 else "short",
            }
        )
    return sorted(rows, key=lambda row: ("short", "long", "json").index(str(row["shape"])))


WORDS = {
    "name": "Name",
    "who": "Who judges",
    "value_type": "Judgement",
    "options": "Options",
    "direction": "Direction",
    "threshold": "Threshold",
    "operator": "Passes when",
    "min_score": "Lowest score",
    "max_score": "Highest score",
    "weight": "Weight",
}


SHOWN_VERSIONS = 50


def history_of(evaluator: Evaluator, opened: str = "") -> list[dict[str, Any]]:
    """The versions, newest first, each with what it changed; a version was kept when the next one came.

    The texts of the opened one only (the newest, if none is named) are compared word by word: that takes time.
    """
    kept = list(EvaluatorVersion.objects.filter(evaluator=evaluator).order_by("-number")[: SHOWN_VERSIONS + 1])
    since = [version.created_at for version in kept]
    states = [(evaluator.version, evaluator.snapshot()), *((version.number, version.definition) for version in kept)]
    history = []
    for n, (number, state) in enumerate(states[: SHOWN_VERSIONS + 1]):
        before = states[n + 1][1] if n + 1 < len(states) else None
        changes = [] if before is None else changes_between(before, state)
        history.append(
            {
                "number": number,
                "since": since[n] if n < len(since) else evaluator.created_at,
                "changes": changes,
                "is_first": before is None,
                "is_opened": str(number) == opened if opened else n == 0,
            }
        )
    return history[:SHOWN_VERSIONS]


def changes_between(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, str]]:
    """What differs between two versions, as texts that a page can compare word by word."""
    old, new = flattened(before), flattened(after)
    return [
        {
            "label": WORDS.get(name, name.replace("_", " ").capitalize()),
            "old": said(old.get(name)),
            "new": said(new.get(name)),
        }
        for name in differing(old, new)
    ]


def flattened(snapshot: dict[str, Any]) -> dict[str, Any]:
    """A snapshot with the parts of its definition beside the rest."""
    definition = snapshot.get("definition")
    rest = {name: value for name, value in snapshot.items() if name != "definition"}
    return {**rest, **(definition if isinstance(definition, dict) else {})}


def said(value: Any) -> str:
    if value is None or value == []:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return written_json(value)
    return value if isinstance(value, str) else score(value)


@requires("set_up")
@require_http_methods(["GET", "HEAD", "POST"])
def evaluator_create(request: MemberRequest) -> HttpResponse:
    origin = copied(request)
    initial: dict[str, Any] = {"project": current_project(request)}
    options: list[dict[str, Any]] = []
    if origin is not None:
        form_of_origin = EvaluatorForm(actor=request.actor, instance=origin)
        initial = {**form_of_origin.initial, "project": initial["project"] or origin.project, "seen": ""}
        initial.pop("owner", None)
        options = origin.options
    form, rows = read_forms(request, None, initial, options)
    if is_saved(request, form, rows):
        evaluator = create_evaluator(by=request.actor, **form.changes(options_of(form, rows)))
        say(request, f"Made the evaluator “{evaluator}”.")
        return go_to(request, "runs:evaluator-detail", evaluator.pk)
    list_url = reverse("runs:evaluator-list")
    context = page_of(
        request,
        form=form,
        rows=rows,
        origin=origin,
        heuristics=list(CHECKS),
        checks=list(CHECKS.items()),
        crumbs=[Link("Evaluators", list_url)],
        cancel_url=list_url,
        submit="Create evaluator",
    )
    return render_page(request, "runs/evaluator_form.html", context, status=422 if form.errors else 200)


def copied(request: MemberRequest) -> Evaluator | None:
    """The evaluator or template that a new one starts from."""
    key = request.GET.get("from", "")
    return find(Evaluator.objects.visible_to(request.actor), key.replace("\0", "")) if key else None


@requires("set_up")
@require_http_methods(["GET", "HEAD", "POST"])
@transaction.atomic
def evaluator_edit(request: MemberRequest, evaluator_id: str) -> HttpResponse:
    evaluator = find(Evaluator.objects.visible_to(request.actor).select_related("project"), evaluator_id)
    if request.method == "POST":
        evaluator = locked(evaluator)
    form, rows = read_forms(request, evaluator, {}, evaluator.options)
    here = reverse("runs:evaluator-detail", args=[evaluator.pk])
    if is_saved(request, form, rows):
        changed = change_evaluator(evaluator, by=request.actor, **form.changes(options_of(form, rows)))
        newer = (
            f" It judges differently, so it is version {changed.version} now."
            if changed.version > evaluator.version
            else ""
        )
        say(request, f"Saved “{changed}”.{newer}")
        return go_to(request, here)
    context = page_of(
        request,
        form=form,
        rows=rows,
        evaluator=evaluator,
        heuristics=list(CHECKS),
        checks=list(CHECKS.items()),
        is_used=is_used(evaluator),
        crumbs=[*project_crumbs(evaluator.project, "evaluator", "Evaluators"), Link(evaluator.name, here)],
        cancel_url=here,
        submit="Save",
    )
    return render_page(request, "runs/evaluator_form.html", context, status=422 if form.errors else 200)


def read_forms(
    request: MemberRequest, evaluator: Evaluator | None, initial: dict[str, Any], options: list[dict[str, Any]]
) -> tuple[EvaluatorForm, Options]:
    """The form and its rows of options, as sent or fresh; with more rows where the button for that was pressed."""
    data = request.POST if request.method == "POST" else None
    if data is not None and "more" in data:
        return (
            EvaluatorForm(actor=request.actor, instance=evaluator, initial=raw(data)),
            rows_for(typed_options(data), SPARE_ROWS),
        )
    form = EvaluatorForm(data, actor=request.actor, instance=evaluator, initial=initial)
    if data is None:
        return form, rows_for(Options.rows_of(options), SPARE_ROWS if options else NEW_ROWS)
    return form, options_formset(0)(data, prefix="option")


def rows_for(options: list[dict[str, Any]], spare: int) -> Options:
    spare = min(spare, max(MOST_OPTIONS - len(options), 0))
    return options_formset(spare)(initial=options, prefix="option")


def raw(data: QueryDict) -> dict[str, Any]:
    """What was typed, to be shown again as it is."""
    return {name: data.get(name) for name in data if not name.startswith("option-")}


def typed_options(data: QueryDict) -> list[dict[str, Any]]:
    rows = []
    for n in range(MOST_OPTIONS):
        row = {name: data.get(f"option-{n}-{name}", "") for name in ("label", "value", "passes")}
        if any(row.values()):
            rows.append(row)
    return rows


def options_of(form: EvaluatorForm, rows: Options) -> list[dict[str, Any]]:
    return rows.options() if form.cleaned_data["value_type"] == Evaluator.ValueType.LABEL else []


def is_saved(request: MemberRequest, form: EvaluatorForm, rows: Options) -> bool:
    """Whether it was sent to be saved, and is right as a whole."""
    if request.method != "POST" or "more" in request.POST:
        return False
    right = form.is_valid()
    if form.cleaned_data.get("value_type") != Evaluator.ValueType.LABEL:
        return right
    if not rows.is_valid():
        form.add_error("value_type", "Something is wrong with its options.")
        return False
    if right and form.needs_options() and len(rows.options()) < 2:
        form.add_error("value_type", "A label needs at least two options to choose from.")
        return False
    return right


@requires("archive")
@require_POST
def evaluator_archive(request: MemberRequest, evaluator_id: str) -> HttpResponse:
    return archive_view(request, find(Evaluator.objects.visible_to(request.actor), evaluator_id), "evaluator")


@requires("archive")
@require_POST
def evaluator_restore(request: MemberRequest, evaluator_id: str) -> HttpResponse:
    return restore_view(request, find(Evaluator.objects.visible_to(request.actor), evaluator_id), "evaluator")
