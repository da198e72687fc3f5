"""Rows by the ids and slugs of the clients; every fetch starts from ``visible_to``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from evalhub.accounts.tenancy import normal_external_id, parse_uuid
from evalhub.compat.gentrace.door import Call
from evalhub.compat.gentrace.reading import Body, Refusal
from evalhub.compat.gentrace.words import COLUMNS, Row, checked_id, wire_id
from results.models import Rollup
from runs.cases import golden_set
from runs.models import Case, Evaluator, Project, TestRun, TestSet, TestSetCase


def columns_of(found: QuerySet[Any], *more: str) -> QuerySet[Any, Row]:
    """The rows as words.py takes them, and further columns."""
    columns = COLUMNS[found.model]
    return found.values(*columns.plain, *more, **columns.as_text)


def rows_of(found: QuerySet[Any]) -> list[Row]:
    return list(columns_of(found))


def one(model: Any, call: Call, ident: str, what: str, *, status: int = 404) -> Any:
    """The visible row of that id, ours or the sender's (UUIDs in any case), else a refusal."""
    found = None if "\0" in ident else model.objects.visible_to(call.actor).by_id(ident)
    if found is None:
        raise Refusal(f"There is no {what} “{ident[:80]}”.", status)
    return found


def ids_of(visible: Any, named: Iterable[str]) -> dict[str, UUID]:
    """The ids behind many names, ours or the sender's, by ``normal_external_id``; unknown names are missing."""
    texts = {normal_external_id(text) for text in named if text}
    found: dict[str, UUID] = {}
    for pk, external_id in visible.with_ids(texts).values_list("pk", "external_id"):
        found.setdefault(str(pk), pk)
        if external_id:
            found[external_id] = pk
    return found


def run_by(call: Call, ident: str) -> TestRun:
    """A run that lists show: what Gentrace calls a test result."""
    run: TestRun = one(TestRun, call, ident, "test result")
    if run.kind != TestRun.Kind.TEST:
        raise Refusal(f"There is no test result “{ident[:80]}”.", 404)
    return run


def run_asked_for(call: Call, parameter: str) -> TestRun:
    if not call.parameter(parameter):
        raise Refusal(f"{parameter} is missing.")
    return run_by(call, call.parameter(parameter))


def pipeline_by(call: Call, *, ident: str = "", slug: str = "", status: int = 404) -> Project:
    """By id; where none is named by slug, and Node may put the id there."""
    projects = Project.objects.visible_to(call.actor)
    named = ident or slug
    if not named:
        raise Refusal("Say which pipeline: pipelineId or pipelineSlug is missing.")
    found = projects.by_id(named) if ident or parse_uuid(named) else None
    if found is None and not ident:
        found = projects.filter(slug=slug).first()
    if found is None:
        raise Refusal(f"There is no pipeline “{named[:80]}”.", status)
    return found


def pipeline_in(call: Call, body: Body) -> Project:
    return pipeline_by(call, ident=body.text("pipelineId"), slug=body.text("pipelineSlug"), status=400)


def pipeline_asked_for(call: Call) -> Project:
    return pipeline_by(call, ident=call.parameter("pipelineId"), slug=call.parameter("pipelineSlug"))


def pipeline_ids(project_ids: Iterable[UUID]) -> dict[UUID, str]:
    rows = Project.objects.filter(pk__in=set(project_ids)).values("id", "external_id")
    return {row["id"]: checked_id(row) for row in rows}


def golden_ids(project_ids: Iterable[UUID]) -> dict[UUID, str]:
    """The projects' golden data sets, made where they are missing."""
    wanted = set(project_ids)
    rows = TestSet.objects.filter(project__in=wanted, is_golden=True, deleted_at__isnull=True)
    found = {row["project_id"]: wire_id(row) for row in rows.values("id", "external_id", "project_id")}
    for project in Project.objects.filter(pk__in=wanted - found.keys()) if wanted - found.keys() else ():
        test_set = golden_set(project)
        found[project.pk] = wire_id({"id": test_set.pk, "external_id": test_set.external_id})
    return found


def golden_id(project: Project) -> str:
    return golden_ids([project.pk])[project.pk]


def evaluators_of(project: Project, *, run: TestRun | None = None) -> list[Row]:
    """What the pipeline's pages and clients know as its evaluators: not those that came with results.

    With ``run`` also whatever else judged its results: templates, and evaluators that are deleted now.
    """
    wanted = Q(project=project, deleted_at__isnull=True)
    if run is not None:
        wanted |= Q(pk__in=Rollup.objects.filter(run=run).values("evaluator"))
    found = Evaluator.objects.filter(wanted, origin=Evaluator.Origin.OWN)
    return rows_of(found.order_by("created_at", "id"))


def dataset_ids(memberships: QuerySet[TestSetCase]) -> dict[UUID, str]:
    """Case -> the first data set that it joined; cases that are in none are the golden one's."""
    rows = (
        memberships.filter(test_set__deleted_at__isnull=True)
        .order_by("case_id", "id")
        .distinct("case_id")
        .values_list("case_id", "test_set_id", "test_set__external_id")
    )
    return {case_id: wire_id({"id": pk, "external_id": external_id}) for case_id, pk, external_id in rows}


def datasets_of(cases: Iterable[Row]) -> dict[UUID, str]:
    """Case -> its data set."""
    projects = {case["id"]: case["project_id"] for case in cases}
    found = dataset_ids(TestSetCase.objects.filter(case__in=projects))
    homeless = {project_id for pk, project_id in projects.items() if pk not in found}
    golden = {project.pk: golden_id(project) for project in Project.objects.filter(pk__in=homeless)}
    return {pk: found.get(pk) or golden[project_id] for pk, project_id in projects.items()}


def live_cases(call: Call) -> QuerySet[Case]:
    return Case.objects.visible_to(call.actor).filter(archived_at__isnull=True)


def golden_cases(cases: QuerySet[Case], project_ids: Iterable[UUID]) -> QuerySet[Case]:
    """Those that are in their project's golden set."""
    return cases.filter(
        project__in=list(project_ids),
        memberships__test_set__is_golden=True,
        memberships__test_set__deleted_at__isnull=True,
    )


IN_SET = ("memberships__position", "id")  # the order of cases that are found by their membership
