"""What the machine can do: bare views with hand-written SQL and orjson, served beside EvalHub in the same processes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from evalhub.benchmark.expanding import by_hand
from evalhub.database.copying import copy_rows
from evalhub.database.ids import new_id
from results.recording import SEARCH_COLUMNS

RUNS = """
    SELECT r.id, r.number, r.name, r.status, r.branch, r.commit, r.pass_rate, r.pass_low, r.pass_high, r.result_count,
        r.passed, r.failed, r.errors, r.reviews_required, r.reviews_done, r.corrected, r.created_at, p.id, p.name
    FROM runs_testrun r JOIN runs_project p ON p.id = r.project_id
    WHERE r.organization_id = %s AND r.deleted_at IS NULL AND r.kind = 'test'
    ORDER BY r.created_at DESC, r.id DESC LIMIT 50
"""
SORTED = """
    SELECT e.result_id FROM results_evaluation e
    WHERE e.run_id = %s AND e.evaluator_id = %s AND e.outcome = 'failed' AND e.source = 'machine' AND e.is_current
        AND e.turn IS NULL
    ORDER BY e.value DESC NULLS LAST, e.result_id DESC LIMIT 50
"""
RESULTS = """
    SELECT r.id, r.external_id, r.run_id, t.name, c.id, c.external_id, c.number, c.name, r.repetition, r.position,
        r.name, r.outcome, r.machine_outcome, r.human_verdict, r.corrected, r.review_state, r.reviews_required,
        r.reviews_done, r.review_count, r.error_code, r.latency_ms, r.cost, r.tokens, r.tags, r.created_at,
        r.archived_at, r.input_preview, r.output_preview
    FROM results_testresult r JOIN runs_testrun t ON t.id = r.run_id LEFT JOIN runs_case c ON c.id = r.case_id
    WHERE r.id = ANY(%s)
"""
RESULT_KEYS = (
    "id", "external_id", "run", "run_name", "case", "case_external_id", "case_number", "case_name", "repetition",
    "position", "name", "outcome", "machine_outcome", "human_verdict", "corrected", "review_state", "reviews_required",
    "reviews_done", "review_count", "error_code", "latency_ms", "cost", "tokens", "tags", "created_at", "archived_at",
    "input", "output", "scores",
)  # fmt: skip
MARKS = """
    SELECT e.result_id, e.evaluator_id, v.external_id, v.name, e.state, e.value, e.label, e.passed, e.effective
    FROM results_evaluation e JOIN runs_evaluator v ON v.id = e.evaluator_id
    WHERE e.result_id = ANY(%s) AND e.is_current AND e.turn IS NULL
"""
MARK_KEYS = ("evaluator", "external_id", "name", "state", "value", "label", "passed", "effective")
ONE = """
    SELECT r.*, c.*, t.name
    FROM results_testresult r JOIN runs_testrun t ON t.id = r.run_id LEFT JOIN runs_case c ON c.id = r.case_id
    WHERE r.id = %s
"""
PARTS = (
    "SELECT p.* FROM results_step p WHERE p.result_id = %s ORDER BY p.position",
    """
    SELECT p.*, e.name FROM results_evaluation p LEFT JOIN runs_evaluator e ON e.id = p.evaluator_id
    WHERE p.result_id = %s ORDER BY p.created_at
    """,
    """
    SELECT p.*, u.name, u.email FROM results_review p LEFT JOIN accounts_user u ON u.id = p.reviewer_id
    WHERE p.result_id = %s ORDER BY p.created_at DESC
    """,
)
NUMBERS = """
    SELECT e.name, r.scored, r.passed, r.failed, r.errors, r.value_sum, r.value_count, r.value_min, r.value_max
    FROM results_rollup r JOIN runs_evaluator e ON e.id = r.evaluator_id WHERE r.run_id = %s
"""


def rows_of(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def said(value: Any) -> HttpResponse:
    return HttpResponse(orjson.dumps(value), content_type="application/json")


def runs(request: HttpRequest) -> HttpResponse:
    return said(rows_of(RUNS, request.GET["organization"]))


def results(request: HttpRequest) -> HttpResponse:
    ids = [row[0] for row in rows_of(SORTED, request.GET["run"], request.GET["evaluator"])]
    found = {row[0]: row for row in rows_of(RESULTS, ids)}
    marks: dict[Any, list[dict[str, Any]]] = {pk: [] for pk in ids}
    for mark in rows_of(MARKS, ids):
        marks[mark[0]].append(dict(zip(MARK_KEYS, mark[1:], strict=True)))
    return said([dict(zip(RESULT_KEYS, (*found[pk], marks[pk]), strict=True)) for pk in ids])


def result(request: HttpRequest) -> HttpResponse:
    ident = request.GET["result"]
    (row,) = rows_of(ONE, ident)
    return said([*row, *(rows_of(part, ident) for part in PARTS)])


def numbers(request: HttpRequest) -> HttpResponse:
    return said(rows_of(NUMBERS, request.GET["run"]))


def expanded(request: HttpRequest) -> HttpResponse:
    return HttpResponse(by_hand(UUID(request.GET["run"])), content_type="application/json")


def ingest(request: HttpRequest) -> HttpResponse:
    """Decode a batch and copy it into the same tables with all their indexes; nothing is checked or counted."""
    body = orjson.loads(request.body)
    organization, run, evaluators = (
        request.GET["organization"],
        request.GET["run"],
        request.GET["evaluators"].split(","),
    )
    results, texts, evaluations = [], [], []
    for position, item in enumerate(body["results"]):
        pk = new_id()
        text = item["output"]["output"]
        results.append(
            (
                "now", "now", pk, organization, run, position, 1, item["case"]["name"], "", text[:300],
                orjson.dumps(item["case"]["inputs"]).decode(), orjson.dumps(item["output"]).decode(),
                item["latency_ms"], *CONSTANT_RESULT,
            )
        )  # fmt: skip
        texts.append((pk, organization, run, text[:2000], False))
        for evaluator, judged in zip(evaluators, item["evaluations"], strict=True):
            evaluations.append(
                (
                    "now", "now", new_id(), organization, run, pk, evaluator, judged["value"], judged["passed"],
                    judged["explanation"], *CONSTANT_EVALUATION,
                )
            )  # fmt: skip
    with transaction.atomic():
        copy_rows("results_testresult", RESULT_COLUMNS, results)
        copy_rows("results_searchtext", SEARCH_COLUMNS, texts)
        copy_rows("results_evaluation", EVALUATION_COLUMNS, evaluations)
    return said({"created": len(results)})


_RESULT_DEFAULTS = {
    "conversation": "[]", "error": "", "error_code": "", "reported_outcome": "", "machine_outcome": "passed",
    "outcome": "passed", "human_verdict": "", "review_state": "none", "reviews_required": 0, "reviews_done": 0,
    "review_count": 0, "corrected": False, "usage": "{}", "session_id": "", "render_html_key": "",
    "collection_method": "", "tags": [], "metadata": "{}", "attributes": "{}",
}  # fmt: skip
_EVALUATION_DEFAULTS = {
    "source": "machine", "author_name": "", "nth": 0, "is_current": True, "state": "scored", "error": "", "usage": "{}",
    "via": "api", "outcome": "passed", "metadata": "{}",
}  # fmt: skip
CONSTANT_RESULT, CONSTANT_EVALUATION = tuple(_RESULT_DEFAULTS.values()), tuple(_EVALUATION_DEFAULTS.values())
RESULT_COLUMNS = (
    "created_at", "updated_at", "id", "organization_id", "run_id", "position", "repetition", "name", "input_preview",
    "output_preview", "inputs", "output", "latency_ms", *_RESULT_DEFAULTS,
)  # fmt: skip
EVALUATION_COLUMNS = (
    "created_at", "updated_at", "id", "organization_id", "run_id", "result_id", "evaluator_id", "value", "passed",
    "explanation", *_EVALUATION_DEFAULTS,
)  # fmt: skip

urlpatterns = [
    path("floor/runs", runs),
    path("floor/results", results),
    path("floor/result", result),
    path("floor/numbers", numbers),
    path("floor/expanded", expanded),
    path("floor/ingest", ingest),
]
