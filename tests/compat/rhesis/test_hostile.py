"""Whatever is sent, the door says in its own shape what is wrong with it, and never 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from tests.compat.rhesis.conftest import Door, World
from tests.compat.rhesis.test_setting_up import BULK, ENDPOINT, MULTI, SINGLE

pytestmark = pytest.mark.django_db

VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 2**63, 1e308, "", "x", "x" * 10_000, "🌙", "'%\\", "9999-12-31T23:59:59-23:59",
    "2026-13-45", [], [None], [1, "a"], [{"id": 1}], {}, {"name": None}, {"type": "metric"},
    "00000000-0000-0000-0000-000000000000",
]  # fmt: skip
TEXTS = ["", " ", "x", "'", "%", "-1", "0", "1", "1.5", "999999999999999999999", "١", "+1", "1_0", "null", "true", "[]",
         "{}", "🌙", "x" * 3000, "2026-13-45", "0001-01-01", "a\0b", "\ud7ff"]  # fmt: skip
BODIES: dict[str, dict[str, Any]] = {
    "POST test_runs": {"test_configuration_id": "config-123", "name": "x", "status_id": "queued", "status": "Progress",
                       "attributes": {}, "owner_id": None, "assignee_id": None, "tags": []},
    "PUT test_runs/run-123": {"test_configuration_id": "config-123", "name": "x", "status_id": "failed",
                              "attributes": {}, "owner_id": None, "tags": ["a"]},
    "POST test_runs/run-123/rescore": {"metrics": [], "evaluation_model_id": "x"},
    "POST test_results": {"test_configuration_id": "config-123", "test_run_id": "run-123", "test_id": "case-1",
                          "prompt_id": None, "status_id": "passed", "test_output": {}, "test_metrics": {},
                          "test_reviews": {}, "tags": []},
    "PUT test_results/result-1": {"test_run_id": "run-123", "test_id": "case-1", "status_id": "failed",
                                  "test_output": {}, "test_metrics": {}, "test_reviews": {}, "tags": []},
    "POST test_results/result-1/reviews": {"status_id": "passed", "comments": "x", "target": {}, "resolved": True},
    "POST annotations": {"entity_type": "TestResult", "entity_id": "result-1", "status_id": "passed", "comments": "x",
                         "target": {}, "attributes": {}, "trace_id": None},
    "POST test_sets/bulk": BULK,
    "PUT test_sets/test-set-456": {key: value for key, value in BULK.items() if key != "tests"},
    "POST test_sets/test-set-456/associate": {"test_ids": []},
    "POST test_sets/test-set-456/execute/endpoint-123": {"execution_options": {}, "metrics": [],
                                                         "reference_test_run_id": None, "experiment_id": None},
    "POST tests": {**SINGLE, "priority": 1, "owner_id": None, "assignee_id": None, "status_id": None, "prompt_id": None,
                   "category_id": None, "test_parameters": {}, "name": "x", "tags": []},
    "PUT tests/case-1": MULTI,
    "POST tests/execute": {"test_id": "case-1", "endpoint_id": "endpoint-404", "evaluate_metrics": True},
    "POST prompts": {"content": "x", "language_code": "en", "expected_response": "y"},
    "POST categories": {"name": "x", "description": "y"},
    "POST requirements": {"name": "x", "description": "y"},
    "POST projects": {"name": "x", "description": "y", "is_active": True, "icon": "z", "owner_id": None},
    "POST endpoints": {**ENDPOINT, "project_id": None, "auth_type": "api_key", "response_format": "json", "scopes": [],
                       "token_url": "https://example.com/token", "client_secret": "x"},
    "PUT endpoints/endpoint-123": ENDPOINT,
    "POST test_configurations": {"endpoint_id": "endpoint-123", "test_set_id": "test-set-456", "category_id": None,
                                 "topic_id": None, "prompt_id": None, "status_id": None, "attributes": {},
                                 "use_case_id": None},
    "POST metrics": {"name": "x", "evaluation_prompt": "y", "score_type": "categorical", "categories": ["a"],
                     "passing_categories": ["a"], "threshold": 1, "threshold_operator": "=", "min_score": 0,
                     "max_score": 1, "metric_scope": [], "backend_type": "custom", "class_name": "X"},
    "POST tasks": {"title": "x", "status_id": "open", "description": "", "assignee_id": None, "priority_id": "Low",
                   "entity_type": "TestRun", "entity_id": "run-123", "completed_at": None, "task_metadata": {}},
    "POST comments": {"content": "x", "entity_type": "TestRun", "entity_id": "run-123"},
    "POST tags/TestRun/run-123": {"name": "x", "icon_unicode": "y"},
    "POST statuses": {"name": "x", "description": "y", "entity_type_id": "Test"},
    "POST type_lookups": {"type_name": "x", "type_value": "y", "description": "z"},
    "POST preflight-checks": {"test_set_id": "test-set-456", "endpoint_id": "endpoint-123", "mode": "sync",
                              "selected_metrics": []},
    "POST insights/query": {"a": {"entity": "test_result"}},
}  # fmt: skip
QUERIES: dict[str, tuple[str, ...]] = {
    "test_runs": ("$filter", "$select", "skip", "limit", "sort_by", "sort_order", "has_reviews", "has_experiment"),
    "test_sets": ("has_runs", "$filter"),
    "statuses": ("entity_type", "$filter", "$select", "sort_by", "skip", "limit"),
    "annotations": ("test_run_id", "metric", "annotator_id", "requirement_id", "date_from", "date_to", "$filter",
                    "sort_by", "limit", "test_set_id", "endpoint_id", "trace_id"),
    "insights": ("entity", "group_by", "measures", "months", "start_date", "end_date", "test_run_ids", "tags"),
    "insights/ids": ("entity", "outcome", "status_names", "test_type_ids", "user_ids"),
    "test_results/stats": ("mode", "months", "test_run_ids", "priority_min", "priority_max", "start_date", "tags"),
    "test_runs/stats": ("mode", "months", "top", "status_list", "user_ids"),
    "test_runs/run-123/traces": ("offset", "limit"),
}  # fmt: skip


def say(door: Door, method: str, path: str, text: bytes) -> None:
    answer = Client().generic(
        method,
        f"/rhesis/{path}",
        text,
        content_type="application/json",
        headers={"Authorization": f"Bearer {door.token}"},
    )
    check(answer, (method, path, text[:300]))


def check(answer: Any, asked: Any) -> None:
    assert answer.status_code < 500, asked
    if answer.status_code >= 400:
        detail = json.loads(answer.content)["detail"]
        assert isinstance(detail, list if answer.status_code == 422 else str), asked


@pytest.mark.parametrize("call", BODIES)
def test_any_value_under_any_key(door: Door, world: World, call: str):
    method, path = call.split()
    for key in BODIES[call]:
        for value in VALUES:
            say(door, method, path, json.dumps({**BODIES[call], key: value}).encode())


@pytest.mark.parametrize("call", ["POST test_results", "POST test_sets/bulk", "POST tests", "POST endpoints"])
def test_any_value_deeper_down(door: Door, world: World, call: str):
    method, path = call.split()
    deeper: dict[str, list[Any]] = {
        "POST test_results": [
            {"test_metrics": {"metrics": {"A": {key: value}}}}
            for key in ("score", "threshold", "is_successful", "reason", "error", "duration_ms", "description")
            for value in VALUES
        ]
        + [{"test_output": {"conversation_summary": [v, {"turn": v, "success": v}], "session_id": v}} for v in VALUES]
        + [{"test_reviews": {"reviews": [{"status_id": value, "target": value}]}} for value in VALUES],
        "POST test_sets/bulk": [{"tests": [{**SINGLE, key: value}]} for key in SINGLE for value in VALUES],
        "POST tests": [{"prompt": {"content": "x", "id": value, "expected_response": value}} for value in VALUES]
        + [{"test_configuration": {"goal": value, "max_turns": value}} for value in VALUES],
        "POST endpoints": [{"request_headers": {"a": value}, "response_mapping": {"b": value}} for value in VALUES],
    }
    for part in deeper[call]:
        say(door, method, path, json.dumps({**BODIES[call], **part}).encode())
    for resource in ("test_results", "test_sets", "tests", "endpoints"):
        check(Client().get(f"/rhesis/{resource}", headers={"Authorization": f"Bearer {door.token}"}), resource)


@pytest.mark.parametrize("path", QUERIES)
def test_any_text_in_any_parameter(door: Door, world: World, path: str):
    for name in QUERIES[path]:
        for text in TEXTS:
            query = {"entity": "test_result", name: text} if path.startswith("insights") else {name: text}
            answer = Client().get(
                f"/rhesis/{path}", query_params=query, headers={"Authorization": f"Bearer {door.token}"}
            )
            check(answer, (path, name, text))


def test_any_text_in_a_path(door: Door, world: World):
    for path in ("test_runs/{}", "test_results/{}/reviews/{}", "test_sets/{}", "statuses/{}", "annotations/{}",
                 "comments/{}/emoji/{}", "tags/{}/{}/{}", "tasks/{}/{}", "users/{}", "files/{}/content",
                 "{}"):  # fmt: skip
        for text in ("%00", "%ff", "%F0%9F%8C%99", "..", "%2e%2e", "x" * 3000, "%27", "%25", "1", "-", "%20"):
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                say(door, method, path.replace("{}", text), b"{}")


def test_bodies_that_are_no_json(door: Door, world: World):
    for text in (b"", b"null", b"[]", b"1", b'"a"', b"{", b"\xff\xfe", b'{"a":NaN}', b'{"name":"\\ud800"}',
                 b'{"name":"\\u0000"}', b'{"a":1e400}', b'{"a":1,"a":2}', b"[" * 100_000, b'{"a":' * 1000):  # fmt: skip
        for call in BODIES:
            method, path = call.split()
            say(door, method, path, text)
