"""Rows by the ids and slugs of the clients; every fetch starts from ``visible_to``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from evalhub.accounts.tenancy import parse_uuid
from evalhub.compat.gentrace.door import Call
from evalhub.compat.gentrace.reading import Body, Refusal
from evalhub.compat.gentrace.words import COLUMNS, Row, wire_id
from runs.cases import golden_set
from runs.models import Case, Evaluator, Project, TestSet, TestSetCase


def rows_of(found: QuerySet[Any]) -> list[Row]:
    return list(found.values(*COLUMNS[found.model]))


def one(model: Any, call: Call, ident: str, what: str, *, status: int = 404) -> Any:
    """The visible row of that id (a UUID of any case), else a refusal."""
    if parse_uuid(ident) is None:
        raise Refusal(f"“{ident[:80]}” is not a UUID.", status)
    found = model.objects.visible_to(call.actor).with_id(ident).first()
    if found is None:
        raise Refusal(f"There is no {what} {ident[:80]}.", status)
    return found


def pipeline_by(call: Call, *, ident: str = "", slug: str = "", status: int = 404) -> Project:
    """By id, else by slug; Node may put the id where the slug belongs."""
    projects = Project.objects.visible_to(call.actor)
    named = ident or slug
    if not named:
        raise Refusal("Say which pipeline: pipelineId or pipelineSlug is missing.")
    found = None
    if parse_uuid(named):
        found = projects.with_id(named).first()
    if found is None and slug:
        found = projects.filter(slug=slug).first()
    if found is None:
        raise Refusal(f"There is no pipeline “{named[:80]}”.", status)
    return found


def pipeline_in(call: Call, body: Body, *, slug_key: str = "pipelineSlug") -> Project:
    return pipeline_by(call, ident=body.text("pipelineId"), slug=body.text(slug_key), status=400)


def pipeline_ids(project_ids: Iterable[UUID]) -> dict[UUID, str]:
    rows = Project.objects.filter(pk__in=set(project_ids)).values("id", "external_id")
    return {row["id"]: wire_id(row) for row in rows}


def golden_ids(project_ids: Iterable[UUID]) -> dict[UUID, str]:
    rows = TestSet.objects.filter(project__in=set(project_ids), is_golden=True, deleted_at__isnull=True)
    return {row["project_id"]: wire_id(row) for row in rows.values("id", "external_id", "project_id")}


def evaluators_of(project: Project) -> list[Row]:
    """What the pipeline's pages and clients know as its evaluators: not those that came with results."""
    own = Evaluator.objects.filter(project=project, origin=Evaluator.Origin.OWN, deleted_at__isnull=True)
    return rows_of(own.order_by("created_at", "id"))


def dataset_ids(cases: Iterable[Row]) -> dict[UUID, str]:
    """Case -> its data set: the first that it joined, else its project's golden one (made where it is missing)."""
    by_id = {case["id"]: case for case in cases}
    rows = (
        TestSetCase.objects.filter(case__in=by_id, test_set__deleted_at__isnull=True)
        .order_by("case_id", "id")
        .distinct("case_id")
        .values("case_id", "test_set_id", "test_set__external_id")
    )
    found = {
        row["case_id"]: wire_id({"id": row["test_set_id"], "external_id": row["test_set__external_id"]}) for row in rows
    }
    homeless = {case["project_id"] for pk, case in by_id.items() if pk not in found}
    golden = golden_ids(homeless)
    for project in Project.objects.filter(pk__in=homeless - golden.keys()):
        test_set = golden_set(project)
        golden[project.pk] = wire_id({"id": test_set.pk, "external_id": test_set.external_id})
    return {pk: found.get(pk) or golden[case["project_id"]] for pk, case in by_id.items()}


def live_cases(call: Call) -> QuerySet[Case]:
    return Case.objects.visible_to(call.actor).filter(archived_at__isnull=True)
