"""Test runs: our runs of the kind that lists show."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from django.db.models import OuterRef, Q, Subquery
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.text import slugify

from evalhub.compat.rhesis.beside import beside, tags_given
from evalhub.compat.rhesis.door import Call
from evalhub.compat.rhesis.finding import (
    NANO,
    colleague,
    find,
    meaning_of,
    meaning_of_user,
    needed,
    referred,
    visible,
)
from evalhub.compat.rhesis.listing import in_order, list_rows
from evalhub.compat.rhesis.odata import Field, Fields
from evalhub.compat.rhesis.reading import Body, Refusal
from evalhub.compat.rhesis.statuses import (
    RUN,
    name_expression,
    run_state_given,
    run_states,
    run_states_shown_as,
)
from evalhub.compat.rhesis.test_results import judgements_of
from evalhub.compat.rhesis.words import (
    COMPUTED_ATTRIBUTES,
    RUN_COLUMNS,
    WORD_COLUMNS,
    Reviewed,
    Words,
    as_test_run,
    as_word,
    metrics_of,
)
from evalhub.web.exports import cell
from results.models import Evaluation, Outcome, Rollup, TestResult
from results.models.results import text_of
from runs.archiving import delete
from runs.changing import apply_changes, locked, save_changes
from runs.launching import cancel_run, open_run
from runs.models import Endpoint, Project, Requirement, TestConfiguration, TestRun, TestSet
from runs.stating import state_run

KEYS: Final = (
    "id", "nano_id", "created_at", "updated_at", "organization_id", "user_id", "project_id", "name",
    "test_configuration_id", "status_id", "status", "owner_id", "assignee_id", "attributes", "user",
    "test_configuration", "stats", "counts", "tags",
)  # fmt: skip
CHUNK: Final = 500


def fields(call: Call) -> Fields:
    states = {state: status.shown or status.name for state, status in RUN.items()}
    codes = {state: status.code for state, status in RUN.items()}
    user = meaning_of_user(call)
    return {
        "id": Field("ident", "pk", meaning_of(call, TestRun)),
        "nano_id": Field("text", NANO),
        "name": Field("text", "name"),
        "created_at": Field("time", "created_at"),
        "updated_at": Field("time", "updated_at"),
        "status_id": Field("ident", "status", run_states, name_expression("status", codes)),
        "status": Field("ident", "status", run_states_shown_as, name_expression("status", states)),
        "status/name": Field("ident", "status", run_states_shown_as, name_expression("status", states)),
        "status/id": Field("ident", "status", run_states, name_expression("status", codes)),
        "project_id": Field("ident", "project_id", meaning_of(call, Project)),
        "project/name": Field("text", "project__name"),
        "test_configuration_id": Field("ident", "configuration_id", meaning_of(call, TestConfiguration)),
        "test_configuration/id": Field("ident", "configuration_id", meaning_of(call, TestConfiguration)),
        "test_configuration/endpoint_id": Field("ident", "configuration__endpoint_id", meaning_of(call, Endpoint)),
        "test_configuration/endpoint/id": Field("ident", "configuration__endpoint_id", meaning_of(call, Endpoint)),
        "test_configuration/endpoint/name": Field("text", "configuration__endpoint__name"),
        "test_configuration/endpoint/project/name": Field("text", "configuration__endpoint__project__name"),
        "test_configuration/test_set_id": Field("ident", "configuration__test_set_id", meaning_of(call, TestSet)),
        "test_configuration/test_set/id": Field("ident", "configuration__test_set_id", meaning_of(call, TestSet)),
        "test_configuration/test_set/name": Field("text", "configuration__test_set__name"),
        "user_id": Field("ident", "created_by_id", user),
        "user/id": Field("ident", "created_by_id", user),
        "user/name": Field("text", "created_by__name"),
        "user/email": Field("text", "created_by__email"),
        "owner_id": Field("ident", "owner_id", user),
        "owner/name": Field("text", "owner__name"),
        "assignee_id": Field("ident", "assignee_id", user),
        "assignee/name": Field("text", "assignee__name"),
    }


def show(call: Call, ids: Sequence[UUID]) -> list[Words]:
    rows = in_order(ids, TestRun.objects.filter(pk__in=ids).values(*RUN_COLUMNS))
    told, corrected = beside(call, rows, "run"), corrected_in(rows)
    return [as_test_run(row, told, corrected.get(row["id"], 0)) for row in rows]


def corrected_in(rows: Sequence[Any]) -> dict[UUID, int]:
    """run -> results whose newest verdict on the whole differs from what the machine said."""
    reviewed = [row["id"] for row in rows if row["reviewed"]]
    if not reviewed:
        return {}
    newest = Evaluation.objects.filter(
        result=OuterRef("pk"), source=Evaluation.Source.HUMAN, evaluator__isnull=True, turn__isnull=True,
        is_current=True, passed__isnull=False,
    ).order_by("-created_at", "-pk")  # fmt: skip
    results = (
        TestResult.objects.filter(run__in=reviewed, review_count__gt=0, deleted_at__isnull=True)
        .annotate(newest=Subquery(newest.values("passed")[:1]))
        .filter(newest__isnull=False)
        .exclude(Q(newest=True, machine_outcome=Outcome.PASSED) | Q(newest=False, machine_outcome=Outcome.FAILED))
    )
    found: dict[UUID, int] = {}
    for run_id in results.values_list("run_id", flat=True):
        found[run_id] = found.get(run_id, 0) + 1
    return found


def one(call: Call, run: TestRun) -> Words:
    (words,) = show(call, [run.pk])
    return words


# --- reading ----------------------------------------------------------------------------------------------------------


def list_runs(call: Call) -> HttpResponseBase:
    rows = visible(call, TestRun).filter(archived_at__isnull=True)
    has_reviews, has_experiment = call.flag("has_reviews"), call.flag("has_experiment")
    if has_reviews is not None:
        rows = rows.filter(reviewed__gt=0) if has_reviews else rows.filter(reviewed=0)
    if has_experiment is not None:
        with_one = Q(attributes__has_key="parameter_experiment_id")
        rows = rows.filter(with_one if has_experiment else ~with_one)
    return list_rows(call, rows, fields(call), show, KEYS)


def read_run(call: Call, ident: str) -> Words:
    return one(call, find(call, TestRun, ident))


def metric_names(call: Call, ident: str) -> list[str]:
    run = find(call, TestRun, ident)
    rows = Rollup.objects.filter(run=run).order_by("evaluator__name").values_list("evaluator__name", flat=True)
    return list(dict.fromkeys(rows))


def requirements(call: Call, ident: str) -> list[Words]:
    """What the run's cases belong to."""
    run = find(call, TestRun, ident)
    rows = Requirement.objects.visible_to(call.actor).filter(cases__results__run=run).distinct()
    return [as_word(row) for row in rows.order_by("name").values(*WORD_COLUMNS)]


def traces(call: Call, ident: str) -> Words:
    """EvalHub keeps steps with results, and no traces."""
    find(call, TestRun, ident)
    return no_traces(call)


def no_traces(call: Call) -> Words:
    offset, limit = call.whole("offset") or 0, call.whole("limit") or 100
    return {"traces": [], "total": 0, "limit": limit, "offset": offset}


def download(call: Call, ident: str) -> HttpResponseBase:
    """All results as a table: one column for each requirement and metric."""
    call.must("export")
    run = find(call, TestRun, ident)
    pairs = list(
        Evaluation.objects.filter(
            run=run, source=Evaluation.Source.MACHINE, is_current=True, turn__isnull=True, result__deleted_at=None
        )
        .order_by("result__case__requirement__name", "evaluator__name")
        .values_list("result__case__requirement__name", "evaluator__name")
        .distinct()
    )
    name = slugify(run.name) or "test-run"
    return StreamingHttpResponse(
        _table(run, pairs),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="test_run_{name}.csv"'},
    )


def _table(run: TestRun, pairs: Sequence[tuple[str | None, str]]) -> Iterator[str]:
    titles = [f"{requirement} - {metric}" if requirement else metric for requirement, metric in pairs]
    yield _line(["test_id", "prompt_content", "response", "created_at", *titles])
    rows = TestResult.objects.filter(run=run, deleted_at__isnull=True).order_by("position", "id")
    ids = list(rows.values_list("pk", flat=True))
    for start in range(0, len(ids), CHUNK):
        piece = ids[start : start + CHUNK]
        judged = judgements_of(piece)
        results = TestResult.objects.filter(pk__in=piece).select_related("case__prompt", "case__requirement")
        by_id = results.in_bulk()
        for pk in piece:
            yield _line(_cells(by_id[pk], judged.get(pk, []), pairs))


def _cells(result: TestResult, judgements: Sequence[Any], pairs: Sequence[tuple[str | None, str]]) -> list[Any]:
    case = result.case
    asked = case.prompt.content if case and case.prompt else text_of(result.inputs)
    own = case.requirement.name if case and case.requirement else None
    metrics = metrics_of(judgements, Reviewed(judgements, result.machine_outcome, str(result.pk), {}))
    judged = [
        _judged(metrics[metric]) if requirement == own and metric in metrics else "" for requirement, metric in pairs
    ]
    return [case.public_id if case else "", asked, result.output_text or result.error, result.created_at, *judged]


def _judged(metric: Words) -> str:
    """Pass (0.9/0.7) - reason"""
    verdict = {True: "Pass", False: "Fail", None: "Error" if metric.get("error") else "N/A"}[metric["is_successful"]]
    score, limit = metric["score"], metric["threshold"]
    shown = f"{score:g}" if isinstance(score, int | float) and not isinstance(score, bool) else str(score or "-")
    numbers = f"{shown}/{limit:g}" if isinstance(limit, int | float) else shown
    return f"{verdict} ({numbers})" + (f" - {metric['reason']}" if metric["reason"] else "")


def _line(values: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([cell(value) for value in values])
    return text.getvalue()


# --- changing ---------------------------------------------------------------------------------------------------------


def state_in(body: Body) -> str | None:
    """The state that ``status_id``, else the name ``status``, asks for."""
    ident = body.ident("status_id")
    if ident is None:
        return None
    state = run_state_given(ident)
    if state is None:
        raise Refusal(f"Status not found: {ident}")
    return state


def create_run(call: Call) -> Words:
    call.must("record", "launch")
    body = call.body()
    configuration = needed(call, body, "test_configuration_id", TestConfiguration)
    state = state_in(body)
    if state is None and (said := body.name_in("status")):
        state = run_state_given(said)
    owner = colleague(call, body, "owner_id")
    name = body.text("name", longest=300) or ""
    run = open_run(
        configuration.project,
        name=name.strip() or generated_name(configuration),
        configuration=configuration,
        by=call.actor.user,
        via=TestRun.Via.RHESIS,
        status=state or TestRun.Status.RUNNING,
        owner=owner or call.actor.user,
        assignee=colleague(call, body, "assignee_id"),
        attributes=attributes_in(body) or {},
        tags=tags_given(body) or [],
    )
    return one(call, run)


def generated_name(configuration: TestConfiguration) -> str:
    """Holds the test set's name, which people look for."""
    about = configuration.test_set.name if configuration.test_set else configuration.name
    number = TestRun.objects.filter(configuration__project=configuration.project, name__startswith=f"{about} - run ")
    return f"{about[:270]} - run {number.count() + 1}"


def attributes_in(body: Body) -> Words | None:
    found = body.mapping("attributes")
    return None if found is None else {key: value for key, value in found.items() if key not in COMPUTED_ATTRIBUTES}


def change_run(call: Call, ident: str) -> Words:
    call.must("record", "launch")
    body = call.body()
    run = locked(find(call, TestRun, ident))
    changes: dict[str, Any] = {}
    if name := (body.text("name", longest=300) or "").strip():
        changes["name"] = name
    attributes = attributes_in(body)
    if attributes is not None:
        attributes.pop("reference_test_run_id", None)
        attributes.pop("error", None)
        changes["attributes"] = attributes
    for key in ("owner", "assignee"):
        if body.sent(f"{key}_id"):
            changes[key] = colleague(call, body, f"{key}_id")
    tags = tags_given(body)
    if tags is not None:
        changes["tags"] = tags
    configuration = referred(call, body, "test_configuration_id", TestConfiguration)
    if configuration is not None and configuration.pk != run.configuration_id:
        raise Refusal("A run keeps the configuration that it was made with.", 409)
    state = state_in(body)
    save_changes(run, apply_changes(run, changes), by=call.actor)
    if state is not None and state != run.status:
        state_run(run, state, by=call.actor)
    return one(call, run)


def delete_run(call: Call, ident: str) -> Words:
    call.must("archive", "record")
    run = find(call, TestRun, ident)
    words = one(call, run)
    delete(run, by=call.actor)
    return words


def cancel(call: Call, ident: str) -> Words:
    call.must("launch")
    run = find(call, TestRun, ident)
    if not cancel_run(run, by=call.actor):
        raise Refusal(f"The test run is {RUN[run.status].name} already, so it cannot be cancelled.", 409)
    return one(call, run)
