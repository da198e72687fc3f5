"""Test results: what came back, what machines say of it, and what people say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce
from django.http.response import HttpResponseBase

from evalhub.compat.rhesis.beside import beside
from evalhub.compat.rhesis.door import Call
from evalhub.compat.rhesis.finding import NANO, find, meaning_of, meaning_of_user, visible
from evalhub.compat.rhesis.listing import in_order, list_rows
from evalhub.compat.rhesis.odata import Field, Fields
from evalhub.compat.rhesis.statuses import (
    result_code_expression,
    result_codes,
    result_codes_named,
    result_name_expression,
)
from evalhub.compat.rhesis.words import (
    CASE_COLUMNS,
    EVALUATION_COLUMNS,
    FILE_COLUMNS,
    RESULT_COLUMNS,
    Row,
    Words,
    as_file,
    as_test_result,
)
from results.models import Evaluation, TestResult
from runs.models import (
    Attachment,
    Case,
    Category,
    Endpoint,
    Project,
    Prompt,
    Requirement,
    TestConfiguration,
    TestRun,
    TestSet,
    Topic,
)

KEYS: Final = (
    "id", "nano_id", "created_at", "updated_at", "organization_id", "user_id", "project_id", "test_run_id",
    "test_configuration_id", "test_id", "prompt_id", "status_id", "status", "test_output", "test_metrics",
    "test_reviews", "last_review", "matches_review", "review_summary", "last_annotation", "matches_annotation",
    "annotation_summary", "test", "test_run", "tags", "counts",
)  # fmt: skip


def fields(call: Call) -> Fields:
    user = meaning_of_user(call)
    status = Field("ident", result_code_expression(), result_codes, result_code_expression())
    status_name = Field("ident", result_code_expression(), result_codes_named, result_name_expression())
    prompt = Coalesce("case__prompt__content", KeyTextTransform("input", "case__inputs"), output_field=TextField())
    requirement = Field("ident", "case__requirement_id", meaning_of(call, Requirement))
    requirement_name = Field("text", "case__requirement__name")
    run = {
        "id": Field("ident", "run_id", meaning_of(call, TestRun)),
        "name": Field("text", "run__name"),
        "test_configuration_id": Field("ident", "run__configuration_id", meaning_of(call, TestConfiguration)),
    }
    test = {
        "id": Field("ident", "case_id", meaning_of(call, Case)),
        "prompt/id": Field("ident", "case__prompt_id", meaning_of(call, Prompt)),
        "prompt/content": Field("text", prompt),
        "prompt/expected_response": Field("text", "case__prompt__expected_response"),
        "prompt_id": Field("ident", "case__prompt_id", meaning_of(call, Prompt)),
        "category_id": Field("ident", "case__category_id", meaning_of(call, Category)),
        "category/name": Field("text", "case__category__name"),
        "topic_id": Field("ident", "case__topic_id", meaning_of(call, Topic)),
        "topic/name": Field("text", "case__topic__name"),
        "requirement_id": requirement,
        "requirement/id": requirement,
        "requirement/name": requirement_name,
        "behavior_id": requirement,
        "behavior/name": requirement_name,
        "test_type/type_value": Field("text", "case__kind"),
        "priority": Field("number", "case__priority"),
        "owner_id": Field("ident", "case__owner_id", user),
        "assignee_id": Field("ident", "case__assignee_id", user),
    }
    return {
        "id": Field("ident", "pk", meaning_of(call, TestResult)),
        "nano_id": Field("text", NANO),
        "created_at": Field("time", "created_at"),
        "updated_at": Field("time", "updated_at"),
        "test_run_id": Field("ident", "run_id", meaning_of(call, TestRun), absent=~Q(run__kind=TestRun.Kind.TEST)),
        "test_id": test["id"],
        "prompt_id": test["prompt_id"],
        "test_configuration_id": run["test_configuration_id"],
        "test_configuration/endpoint_id": Field("ident", "run__configuration__endpoint_id", meaning_of(call, Endpoint)),
        "test_configuration/test_set_id": Field("ident", "run__configuration__test_set_id", meaning_of(call, TestSet)),
        "status_id": status,
        "status": status_name,
        "status/id": status,
        "status/name": status_name,
        "user_id": Field("ident", "run__created_by_id", user),
        "project_id": Field("ident", "run__project_id", meaning_of(call, Project)),
        "test_output/output": Field("text", KeyTextTransform("output", "output")),
        "test_output/session_id": Field("text", "session_id"),
        "test_metrics/execution_time": Field("number", "latency_ms"),
        **{f"test_run/{name}": field for name, field in run.items()},
        **{f"test/{name}": field for name, field in test.items()},
    }


def judgements_of(ids: Sequence[UUID]) -> dict[UUID, list[Row]]:
    """The machine's current judgements and all of people's, by result."""
    wanted = Q(source=Evaluation.Source.HUMAN) | Q(is_current=True)
    rows = Evaluation.objects.filter(wanted, result__in=ids).order_by("created_at", "id").values(*EVALUATION_COLUMNS)
    found: dict[UUID, list[Row]] = {}
    for row in rows:
        found.setdefault(row["result_id"], []).append(row)
    return found


def cases_of(rows: Sequence[Row]) -> dict[UUID, Row]:
    """Deleted ones too: old results keep showing them."""
    ids = {row["case_id"] for row in rows if row["case_id"]}
    return {case["id"]: case for case in Case.objects.filter(pk__in=ids).values(*CASE_COLUMNS)} if ids else {}


def show(call: Call, ids: Sequence[UUID]) -> list[Words]:
    rows = in_order(ids, TestResult.objects.filter(pk__in=ids).values(*RESULT_COLUMNS))
    judged, cases, told = judgements_of(ids), cases_of(rows), beside(call, rows, "result")
    return [as_test_result(row, judged.get(row["id"], []), cases.get(row["case_id"]), told) for row in rows]


def one(call: Call, result_id: UUID) -> Words:
    (words,) = show(call, [result_id])
    return words


# --- reading ----------------------------------------------------------------------------------------------------------


def list_results(call: Call) -> HttpResponseBase:
    rows = visible(call, TestResult).filter(archived_at__isnull=True).exclude(run__kind=TestRun.Kind.PRODUCTION)
    return list_rows(call, rows, fields(call), show, KEYS)


def read_result(call: Call, ident: str) -> Words:
    return one(call, find(call, TestResult, ident).pk)


def files(call: Call, ident: str) -> list[Words]:
    result = find(call, TestResult, ident)
    return files_of(call, "result", "TestResult", result)


def files_of(call: Call, entity: str, word: str, row: Any) -> list[Words]:
    found = Attachment.objects.visible_to(call.actor).filter(entity_type=entity, entity_id=row.pk)
    return [as_file(one, row.public_id, word) for one in found.order_by("position", "id").values(*FILE_COLUMNS)]
