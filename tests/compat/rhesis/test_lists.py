"""GET on every resource: bare arrays, their keys, totals, pages, order, selection, with and without a slash."""

from __future__ import annotations

import pytest

from evalhub.compat.rhesis import lookups, models, notes, reviews, set_up, test_results, test_runs, test_sets
from tests.compat.rhesis.conftest import Door, World
from tests.factories import make_organization, make_project, make_run, make_token, make_user

pytestmark = pytest.mark.django_db

RESOURCES = {
    "test_runs": test_runs.KEYS,
    "test_results": test_results.KEYS,
    "test_configurations": set_up.CONFIGURATION_KEYS,
    "test_sets": test_sets.SET_KEYS,
    "tests": test_sets.TEST_KEYS,
    "prompts": test_sets.PROMPT_KEYS,
    "endpoints": set_up.ENDPOINT_KEYS,
    "projects": set_up.PROJECT_KEYS,
    "metrics": set_up.METRIC_KEYS,
    "models": models.KEYS,
    "categories": test_sets.WORD_KEYS,
    "topics": test_sets.WORD_KEYS,
    "requirements": test_sets.WORD_KEYS,
    "behaviors": test_sets.WORD_KEYS,
    "tasks": notes.TASK_KEYS,
    "comments": notes.COMMENT_KEYS,
    "tags": notes.TAG_KEYS,
    "files": notes.FILE_KEYS,
    "annotations": reviews.KEYS,
    "statuses": lookups.STATUS_KEYS,
    "type_lookups": lookups.VALUE_KEYS,
    "users": lookups.USER_KEYS,
}


@pytest.fixture
def full(door: Door, world: World) -> Door:
    """A row of everything."""
    door.post("tests", {"prompt": {"content": "Hello?"}, "category": "Tone", "topic": "Greeting", "behavior": "Polite"})
    about = {"entity_type": "TestRun", "entity_id": "run-123"}
    door.post("endpoints", {"name": "judge", "connection_type": "REST", "request_mapping": {"model": "m-1"}})
    door.post("tasks", {"title": "Look at it", "status_id": "open", **about})
    door.post("comments", {"content": "Why?", **about})
    door.post("tags/TestRun/run-123", {"name": "nightly", "icon_unicode": "🌙"})
    door.post("test_results/result-1/reviews", {"status_id": "failed", "comments": "No."})
    return door


def test_lists_are_bare_arrays_with_the_total_in_a_header(full: Door):
    for resource, keys in RESOURCES.items():
        rows = full.get(resource)
        total = full.answer["X-Total-Count"]
        with_slash = full.get(f"{resource}/")

        assert isinstance(rows, list), resource
        assert total == str(len(rows)), resource
        assert [row["id"] for row in with_slash] == [row["id"] for row in rows], resource
        assert bool(rows) is (resource != "files"), resource
        assert all(set(row) == set(keys) for row in rows), resource


def test_ids_are_texts_or_null(full: Door):
    for resource in RESOURCES:
        rows = full.get(resource)

        ids = {type(value) for row in rows for key, value in row.items() if key == "id" or key.endswith("_id")}
        assert ids <= {str, type(None)}, resource


def test_pages_add_up_to_the_whole(full: Door):
    for resource in RESOURCES:
        everything = [row["id"] for row in full.get(resource)]
        first = [row["id"] for row in full.get(resource, limit=1)]
        total = full.answer["X-Total-Count"]
        rest = [row["id"] for row in full.get(resource, skip=1)]

        assert first + rest == everything, resource
        assert total == str(len(everything)), resource


def test_select_keeps_the_named_keys_and_the_id(full: Door):
    for resource in RESOURCES:
        rows = full.get(resource, odata_select="created_at, nano_id")

        assert all(set(row) == {"id", "created_at", "nano_id"} for row in rows), resource
        assert full.refused("GET", resource, odata_select="secret")[0] == 400, resource


def test_one_row_is_the_row_of_the_list(full: Door):
    for resource in RESOURCES:
        rows = full.get(resource)

        assert [full.get(f"{resource}/{row['id']}") for row in rows[:2]] == rows[:2], resource


def test_what_does_not_exist_is_not_found(full: Door):
    for resource in RESOURCES:
        status, detail = full.refused("GET", f"{resource}/nothing-like-it")

        assert (status, "not found" in detail) == (404, True), resource


def test_a_list_makes_as_many_queries_for_one_row_as_for_three(full: Door, django_assert_max_num_queries):
    for resource in RESOURCES:
        with django_assert_max_num_queries(25) as one:
            full.get(resource, limit=1)
        with django_assert_max_num_queries(25) as three:
            full.get(resource, limit=3)

        assert len(three) <= len(one) + 1, resource  # words that only some rows have are looked up once


def test_the_newest_comes_first(door: Door, world: World):
    make_run(world.project, name="Later", configuration=world.configuration)

    names = [run["name"] for run in door.get("test_runs")]
    reverse = [run["name"] for run in door.get("test_runs", sort_by="created_at", sort_order="asc")]

    assert names == ["Later", "Safety Evaluation - run 1"]
    assert reverse == names[::-1]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"limit": 101}, 400),
        ({"limit": 0}, 400),
        ({"limit": "many"}, 422),
        ({"skip": -1}, 400),
        ({"sort_by": "password"}, 400),
        ({"sort_order": "up"}, 422),
        ({"odata_filter": "password eq 'x'"}, 400),
        ({"odata_filter": "name eq"}, 400),
        ({"has_reviews": "perhaps"}, 422),
    ],
)
def test_wrong_questions_are_refused(door: Door, world: World, query: dict[str, str], status: int):
    assert door.refused("GET", "test_runs", **query)[0] == status


def test_more_than_one_piece_is_sent_whole(door: Door, world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("evalhub.compat.rhesis.listing.PIECE", 1)

    rows = door.get("test_results")

    assert door.answer.streaming
    assert door.answer["X-Total-Count"] == "2"
    assert [row["id"] for row in rows] == ["result-2", "result-1"]


def test_a_project_in_the_header_hides_the_others(door: Door, world: World):
    other = make_project(world.organization, external_id="other")
    make_run(other, name="Elsewhere")
    door.headers = {"X-Project-Id": "other"}

    assert [run["name"] for run in door.get("test_runs")] == ["Elsewhere"]
    assert door.refused("GET", "test_runs/run-123")[0] == 404


def test_a_project_of_somebody_else_in_the_header_is_forbidden(door: Door, world: World):
    theirs = make_project(make_organization())
    door.headers = {"X-Project-Id": str(theirs.pk)}

    assert door.refused("GET", "test_runs")[0] == 403


def test_without_a_key_nothing_is_said(world: World):
    stranger = Door("wrong")

    assert stranger.refused("GET", "test_runs") == (401, "Authentication required")
    assert stranger.get("health") == {"status": "ok"}


def test_another_organisation_sees_nothing(world: World):
    elsewhere = make_organization()
    stranger = Door(make_token(make_user(elsewhere), elsewhere))

    assert stranger.get("test_runs") == []
    assert stranger.get("test_results", odata_filter="test_run_id eq 'run-123'") == []
    assert stranger.refused("GET", "test_runs/run-123")[0] == 404


def test_unknown_addresses_and_methods_answer_in_json(door: Door):
    assert door.refused("GET", "telepathy")[0] == 404
    assert door.refused("DELETE", "test_runs") == (405, "Method Not Allowed")
    assert door.refused("GET", "")[0] == 404


def test_a_key_has_an_allowance(door: Door, world: World, settings):
    settings.API_REQUESTS_PER_MINUTE = 2

    said = [door.get("test_configurations/config-123") for _ in range(3)]

    assert [row.get("id") for row in said] == ["config-123", "config-123", None]
    assert (door.answer.status_code, said[2]) == (429, {"detail": "Too many requests with this API key."})
    assert 1 <= int(door.answer["Retry-After"]) <= 30


def test_executing_comes_not_too_often(door: Door, world: World, settings):
    settings.LAUNCHES_PER_MINUTE = 1

    first = door.post("test_configurations/config-123/execute")
    second = door.post("test_sets/test-set-456/execute/endpoint-123")

    assert (first["status"], door.answer.status_code) == ("submitted", 429)
    wait = door.answer["Retry-After"]
    assert second == {"detail": f"You launched as often as a minute allows (1). Try again in {wait} s."}
