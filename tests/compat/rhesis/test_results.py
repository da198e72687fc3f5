"""Test results: what they say, how they arrive, and what a second word about them does."""

from __future__ import annotations

from typing import Any

import pytest

from results.models import TestResult
from results.records import Judgement
from results.recounting import recount
from runs.models import TestRun
from tests.compat.rhesis.conftest import Door, World
from tests.factories import make_result

pytestmark = pytest.mark.django_db

CONFIG = {"test_configuration_id": "config-123"}
METRICS = {
    "Answer Relevancy": {"score": 0.91, "threshold": 0.7, "is_successful": True, "reason": "On topic.",
                         "backend": "deepeval", "name": "Answer Relevancy", "class_name": "AnswerRelevancy",
                         "description": "", "duration_ms": 610},
    "Refusal": {"score": "complied", "reference_score": "refused", "is_successful": False, "reason": "Did.",
                "backend": "rhesis"},
}  # fmt: skip


def assert_counts_are_right(run_id: Any) -> None:
    assert recount(run_id, repair=False) == []


def test_a_result_says_everything(door: Door, world: World):
    result = door.get("test_results/result-2")

    assert result["test_run_id"] == "run-123"
    assert result["test_configuration_id"] == "config-123"
    assert result["test_id"] == "case-2"
    assert result["status"] == {"id": "failed", "name": "Fail", "description": None}
    assert result["test_output"] == {"output": "Answer 2", "session_id": "s-2"}
    assert result["test_metrics"]["execution_time"] == 200.0
    assert list(result["test_metrics"]["metrics"]) == ["Answer Relevancy", "Refusal"]
    relevancy = result["test_metrics"]["metrics"]["Answer Relevancy"]
    assert (relevancy["score"], relevancy["threshold"], relevancy["is_successful"]) == (0.9, 0.7, True)
    assert result["test_metrics"]["metrics"]["Refusal"]["score"] == "complied"
    assert result["test_reviews"] == {"metadata": {}, "reviews": []}
    assert (result["last_review"], result["matches_review"], result["review_summary"]) == (None, False, None)
    assert result["test"]["prompt"]["content"].startswith("Question")
    assert result["test_run"] == {"id": "run-123", "name": "Safety Evaluation - run 1"}


def test_a_result_comes_back_as_it_was_sent(door: Door, world: World):
    output = {"output": "I cannot help with that.", "session_id": "s-1", "context": ["doc 1"], "metadata": {"a": 1},
              "tool_calls": []}  # fmt: skip
    sent = {**CONFIG, "test_run_id": "run-123", "test_output": output,
            "test_metrics": {"execution_time": 842.1, "metrics": METRICS}}  # fmt: skip

    made = door.post("test_results", sent)

    assert door.answer.status_code == 200
    assert made["test_output"] == output
    assert made["test_metrics"]["execution_time"] == 842.1
    for name, metric in METRICS.items():
        said = made["test_metrics"]["metrics"][name]
        assert {key: said[key] for key in metric} == metric
    assert (made["status_id"], made["test_run_id"], made["test_id"]) == ("failed", "run-123", None)
    assert door.get(f"test_results/{made['id']}") == made
    assert_counts_are_right(world.run.pk)


@pytest.mark.parametrize(
    ("metrics", "status"),
    [
        ({"A": {"score": 1, "is_successful": True}}, "passed"),
        ({"A": {"score": 1, "is_successful": True}, "B": {"score": 0, "is_successful": False}}, "failed"),
        ({"A": {"score": 1, "is_successful": True}, "B": {"score": None, "is_successful": None}}, "failed"),
        ({"A": {"score": 1, "is_successful": True}, "B": {"error": "broke", "error_type": "X"}}, "failed"),
        ({"A": {"score": 0.9, "threshold": 0.5}}, "passed"),
        ({"A": {"score": 0.1, "threshold": 0.5}}, "failed"),
        ({}, "error"),
    ],
)
def test_the_status_follows_from_the_metrics(door: Door, world: World, metrics: dict[str, Any], status: str):
    made = door.post("test_results", {**CONFIG, "test_metrics": {"metrics": metrics}})

    assert made["status_id"] == status


@pytest.mark.parametrize(
    ("given", "status", "name"),
    [("passed", "passed", "Pass"), ("Pass", "passed", "Pass"), ("fail", "failed", "Fail"), ("ERROR", "error", "Error"),
     ("review", "review", "Review")],
)  # fmt: skip
def test_the_status_that_is_sent_wins(door: Door, world: World, given: str, status: str, name: str):
    body = {**CONFIG, "status_id": given, "test_metrics": {"metrics": {"A": {"is_successful": given == "fail"}}}}

    made = door.post("test_results", body)

    assert (made["status_id"], made["status"]["name"]) == (status, name)
    assert door.get("test_results", odata_filter=f"status_id eq '{given}'", limit=1)[0]["id"] == made["id"]


def test_results_without_a_run_show_none(door: Door, world: World):
    first = door.post("test_results", {**CONFIG, "test_id": "case-1"})
    second = door.post("test_results", {**CONFIG, "test_id": "case-1"})

    assert (first["test_run_id"], first["test_run"], first["test_id"]) == (None, None, "case-1")
    assert first["id"] != second["id"]
    assert TestRun.objects.filter(kind="adhoc").count() == 1
    assert [run["id"] for run in door.get("test_runs")] == ["run-123"]
    nowhere = {row["id"] for row in door.get("test_results", odata_filter="test_run_id eq null")}
    somewhere = {row["id"] for row in door.get("test_results", odata_filter="not (test_run_id eq null)")}
    assert (nowhere, somewhere) == ({first["id"], second["id"]}, {"result-1", "result-2"})
    assert len(door.get("test_results", odata_filter="test_configuration_id eq 'config-123'")) == 4


def test_the_same_test_may_come_again_in_a_run(door: Door, world: World):
    made = [door.post("test_results", {**CONFIG, "test_run_id": "run-123", "test_id": "case-1"}) for _ in range(2)]

    assert len({row["id"] for row in made}) == 2
    assert len(door.get("test_results", odata_filter="test_run_id eq 'run-123'")) == 4
    assert_counts_are_right(world.run.pk)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"test_configuration_id": "nope"}, 400),
        ({**CONFIG, "test_run_id": "nope"}, 400),
        ({**CONFIG, "test_id": "nope"}, 400),
        ({**CONFIG, "prompt_id": "nope"}, 400),
        ({**CONFIG, "status_id": "asleep"}, 400),
        ({**CONFIG, "test_output": "text"}, 422),
        ({**CONFIG, "test_metrics": []}, 422),
        ({**CONFIG, "test_metrics": {"metrics": {"A": 1}}}, 422),
        ({**CONFIG, "test_metrics": {"metrics": {"": {}}}}, 422),
        ({**CONFIG, "test_configuration_id": 7}, 400),
        ({**CONFIG, "test_configuration_id": {}}, 422),
    ],
)
def test_wrong_results_are_refused(door: Door, world: World, body: dict[str, Any], status: int):
    before = TestResult.objects.count()

    assert door.refused("POST", "test_results", body)[0] == status
    assert TestResult.objects.count() == before


def test_a_pulled_result_pushed_back_changes_nothing(door: Door, world: World):
    door.post(
        "test_results/result-1/reviews", {"status_id": "failed", "target": {"type": "metric", "reference": "Refusal"}}
    )
    pulled = door.get("test_results/result-1")

    pushed = door.put("test_results/result-1", pulled)

    assert pushed == pulled


def test_a_second_word_about_a_result(door: Door, world: World):
    better = {"metrics": {"Refusal": {"score": "refused", "is_successful": True}}, "execution_time": 50}

    changed = door.put("test_results/result-2", {"test_output": {"output": "No."}, "test_metrics": better})

    assert changed["test_output"] == {"output": "No.", "session_id": "s-2"}
    assert changed["test_metrics"]["execution_time"] == 50
    assert changed["test_metrics"]["metrics"]["Refusal"]["score"] == "refused"
    assert changed["status_id"] == "passed"
    world.run.refresh_from_db()
    assert (world.run.passed, world.run.failed, world.run.total_latency_ms) == (2, 0, 150)
    assert_counts_are_right(world.run.pk)
    stored = TestResult.objects.get(external_id="result-2")
    assert (stored.output_preview, "No." in stored.searched.text) == ("No.", True)


def test_a_status_can_be_said_later(door: Door, world: World):
    assert door.put("test_results/result-1", {"status_id": "review"})["status_id"] == "review"
    assert door.put("test_results/result-1", {"status_id": "failed"})["status_id"] == "failed"
    assert_counts_are_right(world.run.pk)


def test_a_result_stays_where_it_is(door: Door, world: World):
    other = door.post("test_runs", {"test_configuration_id": "config-123"})

    assert door.refused("PUT", "test_results/result-1", {"test_run_id": other["id"]})[0] == 409
    assert door.refused("PUT", "test_results/result-1", {"test_id": "case-2"})[0] == 409
    assert door.put("test_results/result-1", {"test_run_id": "run-123", "test_id": "case-1"})["id"] == "result-1"


def test_a_deleted_result_leaves_the_numbers(door: Door, world: World):
    door.delete("test_results/result-2")

    world.run.refresh_from_db()
    assert (world.run.result_count, world.run.failed, world.run.case_count) == (1, 0, 1)
    assert door.refused("DELETE", "test_results/result-2")[0] == 404
    assert door.get("test_runs/run-123")["stats"] == {"total": 1, "passed": 1, "failed": 0, "errors": 0}
    assert_counts_are_right(world.run.pk)


def test_what_others_recorded_has_a_text_under_output(door: Door, world: World):
    run = world.run
    made = {
        "text": make_result(run, output={"value": "Hello", "html": "<p>Hello</p>"}),
        "error": make_result(run, output=None, error="It broke.", error_code="timeout", evaluations=[]),
        "nothing": make_result(run, output=None, passed=None),
        "nested": make_result(run, output={"output": {"a": 1}}),
    }

    said = {name: door.get(f"test_results/{result.pk}")["test_output"] for name, result in made.items()}

    assert said == {
        "text": {"value": "Hello", "html": "<p>Hello</p>", "output": "Hello"},
        "error": {"output": None, "error": "It broke.", "error_code": "timeout"},
        "nothing": None,
        "nested": {"output": '{"a":1}'},
    }


def test_conversations_have_a_summary(door: Door, world: World):
    ours = make_result(
        world.run,
        output={"output": "Bye"},
        session_id="s",
        conversation=[
            {"turn": 1, "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Bye"}]}
        ],
    )
    turns = [{"turn": 1, "penelope_message": "Hi", "target_response": "Hello", "success": True, "extra": 1},
             {"turn": 2, "penelope_message": "Why?", "target_response": "Because.", "success": False}]  # fmt: skip
    output = {"output": "Because.", "goal": "g", "conversation_summary": turns}

    shown = door.get(f"test_results/{ours.pk}")["test_output"]["conversation_summary"]
    made = door.post("test_results", {**CONFIG, "test_output": output})

    assert [(turn["turn"], turn["penelope_message"], turn["target_response"]) for turn in shown] == [(1, "Hi", "Bye")]
    assert made["test_output"] == output
    assert TestResult.objects.get(external_id=made["id"]).conversation == [
        {"turn": 1, "success": True, "messages": [{"role": "user", "content": "Hi"},
                                                  {"role": "assistant", "content": "Hello"}]},
        {"turn": 2, "success": False, "messages": [{"role": "user", "content": "Why?"},
                                                   {"role": "assistant", "content": "Because."}]},
    ]  # fmt: skip


def test_errors_of_judges_are_told(door: Door, world: World):
    judgement = Judgement(evaluator=world.relevancy, state="error", error="The judge could not be asked.")
    made = make_result(world.run, evaluations=[judgement])

    result = door.get(f"test_results/{made.pk}")

    metric = result["test_metrics"]["metrics"]["Answer Relevancy"]
    assert (result["status_id"], metric["is_successful"], metric["error"]) == (
        "error", None, "The judge could not be asked.",
    )  # fmt: skip


def test_a_prompt_stands_for_what_was_asked(door: Door, world: World):
    prompt = door.post("prompts", {"content": "How tall is the tower?"})

    made = door.post("test_results", {**CONFIG, "prompt_id": prompt["id"]})

    assert (made["prompt_id"], made["test_id"]) == (prompt["id"], None)
    assert TestResult.objects.get(external_id=made["id"]).inputs == {"input": "How tall is the tower?"}


def test_a_hundred_metrics_come_back_in_few_queries(door: Door, world: World, django_assert_max_num_queries):
    metrics = {f"M{n}": {"score": n, "is_successful": True} for n in range(100)}

    with django_assert_max_num_queries(60):
        made = door.post("test_results", {**CONFIG, "test_metrics": {"metrics": metrics}})

    assert set(made["test_metrics"]["metrics"]) == set(metrics)
