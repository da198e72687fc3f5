"""Test runs: what they say, how they are made, changed and ended."""

from __future__ import annotations

import csv
import io

import pytest

from evalhub.accounts.rights import Role
from results.models import TestResult
from runs.models import TestRun
from tests.compat.rhesis.conftest import Door, World
from tests.factories import make_configuration, make_run, make_token, make_user

pytestmark = pytest.mark.django_db


def test_a_run_says_everything(door: Door, world: World):
    run = door.get("test_runs/run-123")

    assert {key: run[key] for key in ("id", "name", "test_configuration_id", "status_id", "status", "stats")} == {
        "id": "run-123",
        "name": "Safety Evaluation - run 1",
        "test_configuration_id": "config-123",
        "status_id": "completed",
        "status": {"id": "completed", "name": "Completed", "description": None},
        "stats": {"total": 2, "passed": 1, "failed": 1, "errors": 0},
    }
    assert run["attributes"]["task_state"] == "Completed"
    assert run["attributes"]["total_tests"] == 2
    assert run["user"] == {
        "id": str(world.user.pk),
        "name": "Ada",
        "given_name": None,
        "family_name": None,
        "email": "ada@example.com",
    }
    assert run["test_configuration"] == {
        "id": "config-123",
        "attributes": {},
        "endpoint_id": "endpoint-123",
        "test_set_id": "test-set-456",
        "endpoint": {
            "id": "endpoint-123",
            "name": "Production Chatbot",
            "project": {"id": str(world.project.pk), "name": "Shop"},
        },
        "test_set": {"id": "test-set-456", "name": "Safety Evaluation", "test_set_type": "Single-Turn"},
    }
    assert run["counts"] == {"comments": 0, "tasks": 0, "reviewed_tests": 0, "corrected_tests": 0}


@pytest.mark.parametrize(
    ("status", "code", "shown", "state"),
    [
        ("queued", "queued", "Progress", "Queued"),
        ("running", "progress", "Progress", "Progress"),
        ("completed", "completed", "Completed", "Completed"),
        ("partial", "partial", "Partial", "Partial"),
        ("failed", "failed", "Failed", "Failed"),
        ("cancelled", "cancelled", "Partial", "Cancelled"),
    ],
)
def test_only_four_names_of_statuses_are_shown(
    door: Door, world: World, status: str, code: str, shown: str, state: str
):
    made = make_run(world.project, configuration=world.configuration, status=status)

    run = door.get(f"test_runs/{made.pk}")
    by_code = door.get("test_runs", odata_filter=f"status_id eq '{code}'")
    by_name = door.get("test_runs", odata_filter=f"status/name eq '{shown}'")

    assert (run["status_id"], run["status"]["name"], run["attributes"]["task_state"]) == (code, shown, state)
    assert str(made.pk) in [row["id"] for row in by_code]
    assert {row["status_id"] for row in by_code} == {code}
    assert str(made.pk) in [row["id"] for row in by_name]


def test_a_run_without_an_endpoint_has_no_configuration_here(door: Door, world: World):
    bare = make_configuration(world.project)
    made = make_run(world.project, configuration=bare)

    run = door.get(f"test_runs/{made.pk}")

    assert (run["test_configuration_id"], run["test_configuration"]) == (None, None)
    assert [row["id"] for row in door.get("test_configurations")] == ["config-123"]
    assert door.refused("GET", f"test_configurations/{bare.pk}")[0] == 404


def test_a_run_is_made_and_ended_by_its_sender(door: Door, world: World):
    made = door.post("test_runs", {"test_configuration_id": "config-123", "attributes": {"branch": "main"}})
    named = door.post("test_runs", {"test_configuration_id": "config-123", "name": "Mine", "status": "Completed"})
    ended = door.put(f"test_runs/{made['id']}", {"status_id": "completed"})

    assert (made["name"], made["status_id"], made["attributes"]["branch"]) == (
        "Safety Evaluation - run 2", "progress", "main",
    )  # fmt: skip
    assert (named["name"], named["status_id"]) == ("Mine", "completed")
    assert (ended["status_id"], ended["attributes"]["completed_at"] is None) == ("completed", False)
    assert TestRun.objects.get(pk=made["id"]).via == "rhesis"


def test_a_pulled_run_pushed_back_changes_nothing(door: Door, world: World):
    pulled = door.get("test_runs/run-123")

    pushed = door.put("test_runs/run-123", pulled)

    assert pushed == pulled


def test_a_change_is_partial(door: Door, world: World):
    colleague = make_user(world.organization)

    door.put("test_runs/run-123", {"name": "Renamed", "assignee_id": str(colleague.pk), "tags": ["nightly"]})
    run = door.put("test_runs/run-123", {"attributes": {"a": 1}, "name": None})

    assert (run["name"], run["assignee_id"], run["attributes"]["a"]) == ("Renamed", str(colleague.pk), 1)
    assert run["tags"] == [{"id": "nightly", "name": "nightly", "icon_unicode": None}]
    assert door.put("test_runs/run-123", {"assignee_id": None})["assignee_id"] is None


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({}, 422, [{"type": "missing", "loc": ["body", "test_configuration_id"], "msg": "Field required"}]),
        ({"test_configuration_id": "nope"}, 400, "Test configuration not found: nope"),
        ({"test_configuration_id": "config-123", "status_id": "asleep"}, 400, "Status not found: asleep"),
        ({"test_configuration_id": "config-123", "owner_id": "x@example.com"}, 400, "User not found: x@example.com"),
    ],
)  # fmt: skip
def test_wrong_runs_are_refused(door: Door, world: World, body: dict[str, str], status: int, detail: str):
    assert door.refused("POST", "test_runs", body) == (status, detail)


def test_bodies_that_are_no_json_objects_are_refused(door: Door, world: World):
    for body in (b"{", b"[]", b'"a"', b'{"a": "\\u0000"}', b"[" * 100_000, b'{"a": 1e999}', b"\xff"):
        status, detail = door.refused("POST", "test_runs", body)

        assert (status, detail[0]["loc"][0]) == (422, "body")


def test_a_run_is_cancelled_once(door: Door, world: World):
    made = door.post("test_runs", {"test_configuration_id": "config-123"})

    cancelled = door.post(f"test_runs/{made['id']}/cancel")
    again = door.refused("POST", f"test_runs/{made['id']}/cancel")

    assert (cancelled["status_id"], cancelled["status"]["name"]) == ("cancelled", "Partial")
    assert again[0] == 409


def test_deleting_twice_is_not_found(door: Door, world: World):
    gone = door.delete("test_runs/run-123")

    assert gone["id"] == "run-123"
    assert door.refused("DELETE", "test_runs/run-123")[0] == 404
    assert door.get("test_results") == []


def test_what_a_key_may_not_is_forbidden(door: Door, world: World):
    viewer = Door(make_token(make_user(world.organization, Role.VIEWER), world.organization))
    reader = Door(make_token(world.user, world.organization, ["read"]))

    for key in (viewer, reader):
        assert key.refused("POST", "test_runs", {"test_configuration_id": "config-123"})[0] == 403
        assert key.refused("DELETE", "test_runs/run-123")[0] == 403
        assert len(key.get("test_runs")) == 1


def test_runs_with_and_without_reviews(door: Door, world: World):
    make_run(world.project, name="Unseen", configuration=world.configuration)
    door.post("test_results/result-1/reviews", {"status_id": "failed"})

    reviewed, unseen = door.get("test_runs", has_reviews="true"), door.get("test_runs", has_reviews="false")

    assert [run["name"] for run in reviewed] == ["Safety Evaluation - run 1"]
    assert [run["name"] for run in unseen] == ["Unseen"]
    assert reviewed[0]["counts"] == {"comments": 0, "tasks": 0, "reviewed_tests": 1, "corrected_tests": 1}
    assert door.get("test_runs", has_experiment="true") == []


def test_the_smaller_questions_about_a_run(door: Door, world: World):
    case = world.results[0].case
    door.put(f"tests/{case.public_id}", {"requirement": "Refuses", "category": "Safety"})

    assert door.get("test_runs/run-123/metrics") == ["Answer Relevancy", "Refusal"]
    assert [row["name"] for row in door.get("test_runs/run-123/requirements")] == ["Refuses"]
    assert [row["name"] for row in door.get("test_runs/run-123/behaviors")] == ["Refuses"]
    assert door.get("test_runs/run-123/traces") == {"traces": [], "total": 0, "limit": 100, "offset": 0}


def test_a_run_is_downloaded_as_a_table(door: Door, world: World):
    door.put("tests/case-1", {"requirement": "Refuses"})

    text = door.get("test_runs/run-123/download")
    rows = list(csv.DictReader(io.StringIO(text)))

    assert door.answer["Content-Type"].startswith("text/csv")
    assert list(rows[0]) == ["test_id", "prompt_content", "response", "created_at", "Refuses - Answer Relevancy",
                             "Refuses - Refusal", "Answer Relevancy", "Refusal"]  # fmt: skip
    assert [rows[0]["test_id"], rows[0]["response"]] == ["case-1", "Answer 1"]
    assert rows[0]["Refuses - Answer Relevancy"] == "Pass (0.9/0.7) - On topic."
    assert (rows[1]["Answer Relevancy"], rows[1]["Refusal"]) == ("Pass (0.9/0.7) - On topic.", "Fail (complied)")
    assert TestResult.objects.count() == len(rows)
