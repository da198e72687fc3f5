"""Test sets, tests, prompts, words, projects, endpoints, configurations and metrics."""

from __future__ import annotations

from typing import Any

import pytest

from evalhub.accounts.rights import Role
from runs.models import Case, CaseRevision, Endpoint, Evaluator, Project, TestConfiguration
from tests.compat.rhesis.conftest import Door, World
from tests.factories import make_result, make_token, make_user

pytestmark = pytest.mark.django_db

SINGLE = {"prompt": {"content": "How do I ...", "language_code": "en", "expected_response": None}, "category": "Safety",
          "topic": "Privacy", "requirement": "Refuses", "test_type": "Single-Turn", "metadata": {"a": 1}}  # fmt: skip
MULTI = {"category": "Safety", "topic": "Privacy", "behavior": "Refuses",
         "test_configuration": {"goal": "Get a refund", "instructions": "", "restrictions": "", "scenario": "",
                                "max_turns": 10, "min_turns": 2}}  # fmt: skip
BULK = {"name": "Safety", "description": "d", "short_description": "s", "test_set_type": "Single-Turn", "metadata": {},
        "tests": [SINGLE, MULTI]}  # fmt: skip


# --- test sets and tests ----------------------------------------------------------------------------------------------


def test_a_test_set_is_made_with_its_tests(door: Door, world: World):
    made = door.post("test_sets/bulk", BULK)
    tests = door.get(f"test_sets/{made['id']}/tests", skip=0, limit=100)

    assert {key: made[key] for key in ("name", "description", "short_description", "test_set_type", "test_count")} == {
        "name": "Safety", "description": "d", "short_description": "s", "test_set_type": "Single-Turn", "test_count": 2,
    }  # fmt: skip
    assert (made["categories"], made["topics"], made["requirements"], made["behaviors"]) == (
        ["Safety"], ["Privacy"], ["Refuses"], ["Refuses"],
    )  # fmt: skip
    single, multi = tests
    assert (single["prompt"]["content"], single["test_type"], single["test_metadata"]) == (
        "How do I ...", "Single-Turn", {"a": 1},
    )  # fmt: skip
    assert (multi["test_type"], multi["test_configuration"], multi["prompt_id"]) == (
        "Multi-Turn", MULTI["test_configuration"], None,
    )  # fmt: skip
    for test in tests:
        assert (test["category"], test["topic"], test["requirement"], test["behavior"]) == (
            "Safety", "Privacy", "Refuses", "Refuses",
        )  # fmt: skip
    assert Case.objects.get(pk=single["id"]).inputs == {"input": "How do I ..."}
    assert Case.objects.get(pk=single["id"]).project.is_default


def test_an_empty_test_set_is_fine(door: Door, world: World):
    made = door.post("test_sets/bulk", {"name": "Empty", "test_set_type": "Multi-Turn", "tests": []})

    assert (made["test_count"], made["test_set_type"], made["description"]) == (0, "Multi-Turn", "")


def test_a_test_set_has_several_names(door: Door, world: World):
    made = door.post("test_sets", {"name": "Big Bang"})

    assert [door.get(f"test_sets/{name}")["id"] for name in (made["id"], made["nano_id"], made["slug"])] == [
        made["id"]
    ] * 3


def test_a_test_set_in_the_project_of_the_header(door: Door, world: World):
    door.headers = {"X-Project-Id": str(world.project.pk)}

    assert door.post("test_sets/bulk", BULK)["project_id"] == str(world.project.pk)


def test_a_test_set_changes_in_part(door: Door, world: World):
    changed = door.put("test_sets/test-set-456", {"name": "Renamed", "metadata": {"a": 1}, "status_id": "approved",
                                                  "short_description": None})  # fmt: skip

    assert (changed["name"], changed["metadata"], changed["status"], changed["test_count"]) == (
        "Renamed", {"a": 1}, {"id": "approved", "name": "Approved", "description": None}, 2,
    )  # fmt: skip


def test_tests_join_and_leave(door: Door, world: World):
    made = door.post("tests", SINGLE)

    joined = door.post("test_sets/test-set-456/associate", {"test_ids": [made["id"], "case-1"]})
    left = door.post("test_sets/test-set-456/disassociate", {"test_ids": ["case-1"]})

    assert (joined["success"], joined["total_tests"]) == (True, 3)
    assert (left["success"], left["total_tests"], left["removed_associations"]) == (True, 2, 1)
    assert [test["id"] for test in door.get("test_sets/test-set-456/tests")] == ["case-2", made["id"]]
    unknown = door.refused("POST", "test_sets/test-set-456/associate", {"test_ids": ["case-404"]})
    assert unknown == (400, "Test not found: case-404")


def test_sets_with_and_without_runs(door: Door, world: World):
    door.post("test_sets", {"name": "Fresh"})

    assert [row["name"] for row in door.get("test_sets", has_runs="true")] == ["Safety Evaluation"]
    assert [row["name"] for row in door.get("test_sets", has_runs="false")] == ["Fresh"]


def test_a_used_test_keeps_what_it_was(door: Door, world: World):
    changed = door.put("tests/case-1", {"prompt": {"content": "New?", "expected_response": "Yes."}, "priority": 3})

    case = Case.objects.get(external_id="case-1")
    assert (changed["prompt"]["content"], changed["priority"]) == ("New?", 3)
    assert (case.inputs, case.expected, case.revision) == ({"input": "New?"}, {"output": "Yes."}, 2)
    assert CaseRevision.objects.get(case=case).inputs == world.results[0].inputs


def test_a_pulled_test_pushed_back_changes_nothing(door: Door, world: World):
    for body in (SINGLE, MULTI, {**SINGLE, "test_parameters": {"temperature": 1}}):
        made = door.post("tests", body)

        assert door.put(f"tests/{made['id']}", made) == made


def test_a_prompt_changes_the_tests_that_ask_it(door: Door, world: World):
    test = door.post("tests", SINGLE)

    door.put(f"prompts/{test['prompt_id']}", {"content": "Shorter?"})

    assert door.get(f"tests/{test['id']}")["prompt"]["content"] == "Shorter?"
    assert Case.objects.get(pk=test["id"]).inputs == {"input": "Shorter?"}
    assert door.delete(f"prompts/{test['prompt_id']}")["content"] == "Shorter?"
    assert door.get(f"tests/{test['id']}")["prompt"] == {
        "id": None, "content": "Shorter?", "language_code": "en", "expected_response": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("tests", {}, 422),
        ("tests", {"category": "x"}, 422),
        ("tests", {"prompt": {}}, 422),
        ("tests", {"prompt": "text"}, 422),
        ("tests", {"prompt_id": "nope"}, 400),
        ("tests", {**SINGLE, "test_type": "No-Turn"}, 422),
        ("tests", {**SINGLE, "test_configuration": {"goal": 7}}, 422),
        ("tests", {**SINGLE, "category": ["a"]}, 422),
        ("tests", {**SINGLE, "category_id": "nope"}, 400),
        ("tests", {**SINGLE, "status_id": "asleep"}, 400),
        ("test_sets/bulk", {}, 422),
        ("test_sets/bulk", {"name": " "}, 422),
        ("test_sets/bulk", {"name": "x", "tests": {}}, 422),
        ("test_sets/bulk", {"name": "x", "tests": [1]}, 422),
        ("test_sets/bulk", {"name": "x", "tests": [{}]}, 422),
        ("test_sets", {"name": "x", "project_id": "nope"}, 400),
        ("prompts", {}, 422),
        ("categories", {}, 422),
        ("projects", {}, 422),
        ("endpoints", {"name": "x"}, 422),
        ("endpoints", {"name": "x", "connection_type": "Pigeon"}, 422),
        ("endpoints", {"name": "x", "connection_type": "REST", "url": "javascript:alert(1)"}, 400),
        ("endpoints", {"name": "x", "connection_type": "REST", "url": "http://user:pw@host/"}, 400),
        ("endpoints", {"name": "x", "connection_type": "REST", "request_mapping": "x"}, 422),
        ("test_configurations", {}, 422),
        ("test_configurations", {"endpoint_id": "nope"}, 400),
        ("test_configurations", {"endpoint_id": "endpoint-123", "test_set_id": "nope"}, 400),
        ("metrics", {}, 422),
        ("metrics", {"name": "x", "score_type": "colour"}, 422),
        ("metrics", {"name": "x", "score_type": "categorical"}, 422),
        ("metrics", {"name": "x", "score_type": "categorical", "categories": ["a"], "passing_categories": ["b"]}, 400),
        ("metrics", {"name": "x", "score_type": "binary", "threshold_operator": ">"}, 400),
        ("metrics", {"name": "x", "threshold": "high"}, 422),
    ],
)  # fmt: skip
def test_wrong_bodies_are_refused(door: Door, world: World, path: str, body: dict[str, Any], status: int):
    code, detail = door.refused("POST", path, body)

    assert code == status
    assert isinstance(detail, str if status == 400 else list)


def test_a_refused_bulk_leaves_nothing(door: Door, world: World):
    door.post("test_sets/bulk", {**BULK, "name": "Half", "tests": [SINGLE, {}]})

    assert door.get("test_sets", odata_filter="name eq 'Half'") == []
    assert door.get("prompts") == []


def test_two_thousand_tests_are_made_in_few_queries(door: Door, world: World, django_assert_max_num_queries):
    tests = [{**SINGLE, "prompt": {"content": f"Question {n}?"}} for n in range(2000)]

    with django_assert_max_num_queries(80):
        made = door.post("test_sets/bulk", {**BULK, "tests": tests})

    assert made["test_count"] == 2000
    assert len(door.get(f"test_sets/{made['id']}/tests")) == 2000


def test_tests_have_files(door: Door, world: World):
    made = door.post("tests", SINGLE)

    assert door.get(f"tests/{made['id']}/files") == []


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", ["categories", "topics", "requirements", "behaviors"])
def test_words_are_made_once(door: Door, world: World, resource: str):
    made = door.post(resource, {"name": "Tone"})
    again = door.post(resource, {"name": "Tone", "description": "How it sounds."})
    renamed = door.put(f"{resource}/{made['id']}", {"name": "Voice"})
    other = door.post(resource, {"name": "Other"})

    assert (made["description"], again["id"], again["description"]) == ("", made["id"], "How it sounds.")
    assert (renamed["name"], renamed["description"]) == ("Voice", "How it sounds.")
    assert door.refused("PUT", f"{resource}/{other['id']}", {"name": "Voice"})[0] == 409
    assert door.delete(f"{resource}/{made['id']}")["name"] == "Voice"
    assert door.refused("DELETE", f"{resource}/{made['id']}")[0] == 404


@pytest.mark.parametrize("resource", ["requirements", "behaviors", "test_sets"])
def test_metrics_of_requirements_and_test_sets(door: Door, world: World, resource: str):
    ident = "test-set-456" if resource == "test_sets" else door.post(resource, {"name": "Refuses"})["id"]

    added = door.post(f"{resource}/{ident}/metrics/{world.refusal.pk}")
    twice = door.post(f"{resource}/{ident}/metrics/{world.refusal.pk}")
    listed = door.get(f"{resource}/{ident}/metrics/")
    removed = door.delete(f"{resource}/{ident}/metrics/{world.refusal.pk}")

    assert [row["name"] for row in added] == ["Refusal"]
    assert added == twice == listed
    assert removed == []
    assert door.refused("POST", f"{resource}/{ident}/metrics/nope")[0] == 404


# --- projects and endpoints -------------------------------------------------------------------------------------------


def test_a_project_is_made_changed_and_put_away(door: Door, world: World):
    made = door.post("projects", {"name": "Bank", "description": "d", "icon": "bank"})
    closed = door.put(f"projects/{made['id']}", {"is_active": False})
    opened = door.put(f"projects/{made['id']}", {"is_active": True, "name": "Bank 2"})

    assert (made["name"], made["description"], made["icon"], made["is_active"]) == ("Bank", "d", "bank", True)
    assert (closed["is_active"], opened["is_active"], opened["name"]) == (False, True, "Bank 2")
    assert door.filtered("projects", "is_active eq true") == ["Bank 2", "Shop"]
    assert door.delete(f"projects/{made['id']}")["name"] == "Bank 2"
    assert door.refused("GET", f"projects/{made['id']}")[0] == 404


def test_the_default_project_stays(door: Door, world: World):
    project = Project.default_of(world.organization)

    assert door.refused("DELETE", f"projects/{project.pk}")[0] == 400


ENDPOINT = {
    "name": "API", "connection_type": "REST", "url": "https://api.example.com", "method": "POST",
    "endpoint_path": "/v1", "request_headers": {"X": "1"}, "query_params": {"a": 1},
    "request_mapping": {"message": "{{ input }}"}, "response_mapping": {"output": "$.choices[0].message.content"},
    "timeout_seconds": 20, "auth_token": "very-secret", "environment": "staging", "description": "d",
}  # fmt: skip


def test_an_endpoint_keeps_its_secret(door: Door, world: World):
    made = door.post("endpoints", {**ENDPOINT, "project_id": str(world.project.pk)})
    path = f"endpoints/{made['id']}"
    renamed = door.put(path, {"name": "API 2", "auth_token": None})

    shown = {key: value for key, value in ENDPOINT.items() if key != "auth_token"}
    assert {key: made[key] for key in shown} == shown
    assert (made["has_auth_token"], made["auth_type"], made["project"]["name"]) == (True, "bearer_token", "Shop")
    assert "very-secret" not in str([made, renamed, door.get("endpoints")])
    assert (renamed["name"], renamed["has_auth_token"]) == ("API 2", True)
    assert Endpoint.objects.get(pk=made["id"]).secrets == {"auth_token": "very-secret"}


def test_a_secret_stays_with_its_address(door: Door, world: World):
    made = door.post("endpoints", ENDPOINT)

    moved = door.put(f"endpoints/{made['id']}", {"url": "https://evil.example.com"})

    assert moved["has_auth_token"] is False


def test_a_pulled_endpoint_pushed_back_changes_nothing(door: Door, world: World):
    made = door.post("endpoints", ENDPOINT)

    assert door.put(f"endpoints/{made['id']}", made) == made


def test_endpoints_that_cannot_be_called_are_kept(door: Door, world: World):
    for kind in ("WebSocket", "GRPC", "SDK"):
        assert door.post("endpoints", {"name": kind, "connection_type": kind})["connection_type"] == kind


# --- test configurations ----------------------------------------------------------------------------------------------


def test_the_configuration_of_the_page(door: Door, world: World):
    body = {"endpoint_id": "endpoint-123", "test_set_id": "test-set-456", "use_case_id": "uc-1",
            "attributes": {"timeout": 30, "retry_count": 3}, "category_id": None, "id": None,
            "user_id": None}  # fmt: skip

    made = door.post("test_configurations", body)
    changed = door.put(f"test_configurations/{made['id']}", {"attributes": {"timeout": 60}})

    assert {key: made[key] for key in ("endpoint_id", "test_set_id", "use_case_id", "category_id")} == {
        "endpoint_id": "endpoint-123", "test_set_id": "test-set-456", "use_case_id": "uc-1", "category_id": None,
    }  # fmt: skip
    assert made["attributes"] == {"timeout": 30, "retry_count": 3, "use_case_id": "uc-1"}
    assert changed["attributes"] == {"timeout": 60, "use_case_id": "uc-1"}
    assert TestConfiguration.objects.get(pk=made["id"]).name == "Safety Evaluation on Production Chatbot"
    assert door.put(f"test_configurations/{made['id']}", changed) == changed


def test_a_configuration_narrows_what_is_asked(door: Door, world: World):
    words = {key: door.post(f"{plural}", {"name": "x"})["id"] for key, plural in
             (("category_id", "categories"), ("topic_id", "topics"))}  # fmt: skip
    prompt = door.post("prompts", {"content": "?"})["id"]

    made = door.post("test_configurations", {"endpoint_id": "endpoint-123", **words, "prompt_id": prompt})
    wider = door.put(f"test_configurations/{made['id']}", {"category_id": None})

    assert {key: made[key] for key in words} == words
    assert (made["prompt_id"], wider["category_id"], wider["topic_id"]) == (prompt, None, words["topic_id"])


# --- before executing -------------------------------------------------------------------------------------------------


def checks(door: Door, **body: Any) -> dict[str, str]:
    said = door.post("preflight-checks", {"test_set_id": "test-set-456", "endpoint_id": "endpoint-123", **body})
    return {check["check_id"]: check["status"] for check in said["checks"]} | {"summary": said["summary"]}


def test_preflight_says_what_would_not_be_judged_or_played(door: Door, world: World, settings):
    model = door.post("endpoints", {"name": "m", "connection_type": "REST", "url": "https://m.example.com",
                                    "request_mapping": {"model": "m-1"}})["id"]  # fmt: skip
    clarity = door.post("metrics", {"name": "Clarity", "evaluation_prompt": "?", "score_type": "numeric"})["id"]
    nothing = checks(door)
    door.post(f"test_sets/test-set-456/metrics/{clarity}")
    no_judge, judged = checks(door), checks(door, evaluation_model_id=model)
    talk = door.post("tests", {"category": "c", "behavior": "b", "test_configuration": {"goal": "Get a refund"}})["id"]
    door.post("test_sets/test-set-456/associate", {"test_ids": [talk]})
    nobody, both = checks(door), checks(door, evaluation_model_id=model, execution_model_id=model)
    settings.JUDGE_URL = "https://models.example.com"

    assert (nothing["metrics"], no_judge["metrics"], judged["metrics"]) == ("warning", "warning", "passed")
    assert (no_judge["summary"], judged["summary"]) == ("warning", "passed")
    assert "conversations" not in judged
    assert (nobody["conversations"], nobody["summary"]) == ("failed", "failed")
    assert (both["conversations"], both["summary"]) == ("passed", "passed")
    assert checks(door)["summary"] == "passed"


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_a_numeric_metric(door: Door, world: World):
    body = {"name": "Clarity", "evaluation_prompt": "Is the output clear?", "evaluation_steps": "Read.\nThink.",
            "score_type": "numeric", "min_score": 0, "max_score": 10, "threshold": 7, "class_name": "NumericJudge",
            "metric_scope": ["Single-Turn"], "backend_type": "custom", "metric_type": "custom-prompt"}  # fmt: skip

    made = door.post("metrics", body)

    assert {key: made[key] for key in body} == body
    assert made["threshold_operator"] == ">="
    kept = Evaluator.objects.get(pk=made["id"])
    assert (kept.who, kept.value_type, kept.verdict(7), kept.verdict(6.9)) == ("ai", "number", True, False)
    assert "Read.\nThink." in kept.definition["prompt"]
    assert "{{ output }}" in kept.definition["prompt"]


@pytest.mark.parametrize(("operator", "calm", "angry"), [("=", True, False), ("!=", False, True), (None, True, False)])
def test_a_categorical_metric(door: Door, world: World, operator: str | None, calm: bool, angry: bool):
    body = {"name": "Tone", "evaluation_prompt": "Which tone?", "score_type": "categorical",
            "categories": ["Calm", "Angry"], "passing_categories": ["calm"],
            "threshold_operator": operator}  # fmt: skip

    made = door.post("metrics", body)

    kept = Evaluator.objects.get(pk=made["id"])
    assert (made["categories"], made["class_name"]) == (["Calm", "Angry"], "CategoricalJudge")
    assert (kept.verdict(None, "CALM"), kept.verdict(None, "angry")) == (calm, angry)


def test_a_binary_metric(door: Door, world: World):
    made = door.post("metrics", {"name": "Polite", "evaluation_prompt": "Polite?", "score_type": "binary"})

    kept = Evaluator.objects.get(pk=made["id"])
    assert (made["score_type"], made["categories"], made["threshold_operator"]) == ("binary", None, "=")
    assert (kept.verdict(None, "true"), kept.verdict(None, "False")) == (True, False)


def test_a_metric_changes_in_part(door: Door, world: World):
    make_result(world.run)
    changed = door.put(f"metrics/{world.relevancy.pk}", {"threshold": 0.9, "description": "d"})

    kept = Evaluator.objects.get(pk=world.relevancy.pk)
    assert (changed["threshold"], changed["description"], changed["name"]) == (0.9, "d", "Answer Relevancy")
    assert (kept.value_type, kept.who, kept.version) == ("percentage", "heuristic", 2)


def test_a_metric_is_found_by_its_handle(door: Door, world: World):
    made = door.post("metrics", {"name": "Clarity"})

    assert door.filtered("metrics", f"nano_id eq '{made['nano_id']}'") == ["Clarity"]
    assert door.delete(f"metrics/{made['id']}")["name"] == "Clarity"


# --- rights -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "test_sets/bulk", BULK),
        ("POST", "tests", SINGLE),
        ("PUT", "tests/case-1", {"priority": 1}),
        ("DELETE", "tests/case-1", None),
        ("POST", "prompts", {"content": "x"}),
        ("POST", "categories", {"name": "x"}),
        ("POST", "projects", {"name": "x"}),
        ("POST", "endpoints", ENDPOINT),
        ("PUT", "endpoints/endpoint-123", {"name": "x"}),
        ("DELETE", "endpoints/endpoint-123", None),
        ("POST", "test_configurations", {"endpoint_id": "endpoint-123"}),
        ("POST", "metrics", {"name": "x"}),
        ("POST", "test_sets/test-set-456/execute/endpoint-123", None),
        ("POST", "endpoints/endpoint-123/invoke", {"input": "hi"}),
        ("POST", "statuses", {"name": "x"}),
        ("POST", "tasks", {"title": "x", "status_id": "open"}),
        ("POST", "comments", {"content": "x", "entity_type": "Test", "entity_id": "case-1"}),
        ("POST", "tags/Test/case-1", {"name": "x"}),
    ],
)
def test_viewers_change_nothing(door: Door, world: World, method: str, path: str, body: Any):
    viewer = Door(make_token(make_user(world.organization, Role.VIEWER), world.organization))

    status, said = viewer.refused(method, path, body)
    assert status == 403
    assert said.startswith("This API key does not allow that (")
