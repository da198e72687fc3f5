"""Insights, and the statistics that came before them."""

from __future__ import annotations

from typing import Any

import pytest

from runs.models import Case, TestRun
from tests.compat.rhesis.conftest import Door, World
from tests.factories import make_case, make_result

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(door: Door, world: World) -> Door:
    """Three results with words: one passes, one fails, one errored; one test that nobody asked."""
    door.put("tests/case-1", {"requirement": "Refuses", "category": "Safety", "topic": "Cards", "priority": 1})
    door.put("tests/case-2", {"requirement": "Refuses", "category": "Tone", "priority": 5})
    make_case(world.project, world.test_set, external_id="case-3")
    broken = make_case(world.project, world.test_set, external_id="case-4")
    make_result(world.run, case=broken.pk, error="It broke.", output=None, passed=None)
    Case.objects.filter(results__isnull=True, external_id__isnull=True).delete()
    door.put("tests/case-4", {"requirement": "Answers"})
    return door


def rows(door: Door, **query: Any) -> Any:
    said = door.get("insights", **query)
    assert door.answer.status_code == 200, said
    return said["rows"]


def test_an_insight_says_what_was_asked(told: Door):
    said = told.get("insights", entity="test_result", group_by="requirement", measures=["count", "pass_rate"])

    assert said == {
        "entity": "test_result",
        "dimensions": ["requirement"],
        "measures": ["count", "pass_rate"],
        "rows": [
            {"requirement": "Answers", "count": 1, "pass_rate": 0.0},
            {"requirement": "Refuses", "count": 2, "pass_rate": 50.0},
        ],
    }


def test_insights_into_results(told: Door, world: World):
    everything = ["count", "passed", "failed", "pass_rate"]
    year = world.run.created_at.year

    assert rows(told, entity="test_result", measures=everything) == [
        {"count": 3, "passed": 1, "failed": 1, "pass_rate": 50.0}
    ]
    assert rows(told, entity="test_result", group_by="status") == [
        {"status": "Error", "count": 1}, {"status": "Fail", "count": 1}, {"status": "Pass", "count": 1},
    ]  # fmt: skip
    assert rows(told, entity="test_result", group_by=["year", "test_run"]) == [
        {"year": year, "test_run": "Safety Evaluation - run 1", "count": 3}
    ]
    assert rows(told, entity="test_result", group_by="category") == [
        {"category": "Safety", "count": 1}, {"category": "Tone", "count": 1}, {"category": None, "count": 1},
    ]  # fmt: skip
    requirement = told.get("tests/case-1")["requirement_id"]
    assert {"requirement_id": requirement, "count": 2} in rows(told, entity="test_result", group_by="requirement_id")


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"test_run_ids": "run-123"}, 3),
        ({"test_run_ids": "run-404"}, 0),
        ({"test_ids": ["case-1", "case-2"]}, 2),
        ({"test_set_ids": "test-set-456"}, 3),
        ({"endpoint_ids": "endpoint-123"}, 3),
        ({"status_ids": "passed"}, 1),
        ({"status_names": ["Fail", "Error"]}, 2),
        ({"metric_names": "Refusal"}, 2),
        ({"test_type_ids": "testtype-multi-turn"}, 0),
        ({"user_ids": "ada@example.com"}, 3),
        ({"tags": "nightly"}, 1),
        ({"months": 1}, 3),
        ({"start_date": "2100-01-01"}, 0),
        ({"end_date": "2100-01-01"}, 3),
    ],
)
def test_insights_are_filtered(told: Door, filters: dict[str, Any], count: int):
    told.post("tags/TestResult/result-1", {"name": "nightly"})

    assert rows(told, entity="test_result", **filters) == [{"count": count}]


def test_insights_into_metrics(told: Door):
    told.post(
        "test_results/result-1/reviews", {"status_id": "failed", "target": {"type": "metric", "reference": "Refusal"}}
    )
    measures = ["count", "passed", "failed", "pass_rate", "automated_passed", "automated_failed", "human_review_count"]

    assert rows(told, entity="metric", group_by="metric_name", measures=measures) == [
        {"metric_name": "Answer Relevancy", "count": 2, "passed": 2, "failed": 0, "pass_rate": 100.0,
         "automated_passed": 2, "automated_failed": 0, "human_review_count": 0},
        {"metric_name": "Refusal", "count": 2, "passed": 0, "failed": 2, "pass_rate": 0.0,
         "automated_passed": 1, "automated_failed": 1, "human_review_count": 1},
    ]  # fmt: skip


def test_insights_into_runs(told: Door):
    measures = ["count", "passed", "failed", "pass_rate"]

    assert rows(told, entity="test_run", group_by=["status", "test_set", "executor"], measures=measures) == [
        {"status": "Completed", "test_set": "Safety Evaluation", "executor": "Ada", "count": 1, "passed": 1,
         "failed": 1, "pass_rate": 50.0}
    ]  # fmt: skip


def test_insights_into_tests(told: Door):
    measures = ["count", "unrun_count", "run_count", "passed", "failed", "pass_rate"]

    assert rows(told, entity="test", measures=measures) == [
        {"count": 4, "unrun_count": 1, "run_count": 3, "passed": 1, "failed": 1, "pass_rate": 50.0}
    ]
    assert rows(told, entity="test", group_by="is_unrun") == [
        {"is_unrun": False, "count": 3}, {"is_unrun": True, "count": 1},
    ]  # fmt: skip


def test_the_tests_behind_the_numbers(told: Door):
    def ids(**query: Any) -> list[str]:
        found: list[str] = told.get("insights/ids", **query)["ids"]
        return found

    assert ids(entity="test_result") == ["case-1", "case-2", "case-4"]
    assert ids(entity="test_result", outcome="fail") == ["case-2"]
    assert ids(entity="test_result", outcome="pass") == ["case-1"]
    assert ids(entity="metric", outcome="fail", metric_names="Refusal") == ["case-2"]
    assert ids(entity="test", test_set_ids="test-set-456") == ["case-1", "case-2", "case-3", "case-4"]
    assert ids(entity="test_run", test_run_ids="run-123") == ["case-1", "case-2", "case-4"]
    assert told.refused("GET", "insights/ids", entity="test", outcome="fail")[0] == 400


def test_several_questions_at_once(told: Door):
    said = told.post(
        "insights/query",
        {
            "all": {"entity": "test_result"},
            "failed": {"entity": "test_result", "filters": {"status_names": ["Fail"]}, "measures": ["count", "failed"]},
        },
    )

    assert {label: one["rows"] for label, one in said.items()} == {
        "all": [{"count": 3}], "failed": [{"count": 1, "failed": 1}],
    }  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"entity": "mood"},
        {"entity": "test_result", "group_by": "password"},
        {"entity": "test_result", "measures": "median"},
        {"entity": "test_result", "secrets": "all"},
        {"entity": "test_result", "months": 0},
    ],
)
def test_unknown_questions_are_refused(told: Door, query: dict[str, Any]):
    status, detail = told.refused("GET", "insights", **query)

    assert (status, type(detail)) == (400, str)
    assert told.refused("POST", "insights/query", {"a": query | {"group_by": ["x"]}})[0] in (400, 422)


def test_statistics_of_results(told: Door):
    said = told.get("test_results/stats", mode="all")

    assert said["overall_pass_rates"] == {"total": 3, "passed": 1, "failed": 1, "pass_rate": 50.0}
    assert said["metric_pass_rates"]["Refusal"] == {"total": 2, "passed": 1, "failed": 1, "pass_rate": 50.0}
    assert said["behavior_pass_rates"]["Refuses"] == {"total": 2, "passed": 1, "failed": 1, "pass_rate": 50.0}
    assert list(said["category_pass_rates"]) == ["Safety", "Tone"]
    assert list(said["topic_pass_rates"]) == ["Cards"]
    assert [month["overall"]["total"] for month in said["timeline"]] == [3]
    assert list(said["timeline"][0]["metrics"]) == ["Answer Relevancy", "Refusal"]
    assert [(run["id"], run["total_tests"]) for run in said["test_run_summary"]] == [("run-123", 3)]
    metadata = said["metadata"]
    assert (metadata["total_test_runs"], metadata["total_test_results"], metadata["mode"]) == (1, 3, "all")
    assert metadata["available_behaviors"] == ["Answers", "Refuses"]


def test_statistics_of_runs(told: Door):
    said = told.get("test_runs/stats", test_run_ids="run-123", top=3)

    assert said["status_distribution"] == [{"status": "Completed", "count": 1, "percentage": 100.0}]
    assert said["result_distribution"] == {"total": 3, "passed": 1, "failed": 1, "pending": 1, "pass_rate": 50.0}
    assert said["most_run_test_sets"] == [{"test_set_name": "Safety Evaluation", "run_count": 1}]
    assert said["top_executors"] == [{"executor_name": "Ada", "run_count": 1}]
    assert said["timeline"][0]["result_breakdown"] == {"passed": 1, "failed": 1, "pending": 1}
    assert said["overall_summary"] == {
        "total_runs": 1, "unique_test_sets": 1, "unique_executors": 1, "most_common_status": "Completed",
        "pass_rate": 50.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "mode", "sections"),
    [
        ("test_results/stats", "summary", {"overall_pass_rates"}),
        ("test_results/stats", "metrics", {"metric_pass_rates"}),
        ("test_results/stats", "timeline", {"timeline"}),
        ("test_results/stats", "test_runs", {"test_run_summary"}),
        ("test_runs/stats", "status", {"status_distribution"}),
        ("test_runs/stats", "summary", {"overall_summary"}),
    ],
)
def test_a_mode_chooses_sections(told: Door, path: str, mode: str, sections: set[str]):
    assert set(told.get(path, mode=mode)) == {*sections, "metadata"}
    assert told.refused("GET", path, mode="mood")[0] == 400
    assert told.refused("GET", path, months=0)[0] == 400


def test_statistics_are_filtered(told: Door):
    def total(**query: Any) -> int:
        count: int = told.get("test_results/stats", mode="overall", **query)["overall_pass_rates"]["total"]
        return count

    assert total(priority_min=2) == 1
    assert total(priority_max=2) == 1
    assert total(test_run_id="run-123") == 3
    assert total(start_date="2100-01-01") == 0
    assert TestRun.objects.count() == 1
