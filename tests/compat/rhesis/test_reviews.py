"""Human review in both generations: one effect, in the same evaluations as a review in the browser."""

from __future__ import annotations

from typing import Any

import pytest

from evalhub.accounts.models import User
from evalhub.accounts.rights import Role
from results.assigning import assign_reviewers
from results.models import Evaluation, Review
from results.recounting import recount
from results.reviewing import Correction, submit_review, withdraw_review
from tests.compat.rhesis.conftest import Door, World
from tests.factories import make_result, make_token, make_user

pytestmark = pytest.mark.django_db

METRIC = {"type": "metric", "reference": "Refusal"}
Say = Any


def review(door: Door, status: str, target: dict[str, Any] | None = None, result: str = "result-1", **more: Any) -> Any:
    body = {"status_id": status, **({"target": target} if target else {}), **more}
    return door.post(f"test_results/{result}/reviews", body)


def annotate(
    door: Door, status: str, target: dict[str, Any] | None = None, result: str = "result-1", **more: Any
) -> Any:
    body = {"entity_type": "TestResult", "entity_id": result, "status_id": status, **more}
    return door.post("annotations", {**body, **({"target": target} if target else {})})


GENERATIONS = pytest.mark.parametrize("say", [review, annotate], ids=["reviews", "annotations"])


def ident(said: dict[str, Any]) -> str:
    return said.get("review_id") or said["id"]


def change(door: Door, said: dict[str, Any], **values: Any) -> Any:
    path = f"test_results/result-1/reviews/{said['review_id']}" if "review_id" in said else f"annotations/{said['id']}"
    return door.put(path, values)


def remove(door: Door, said: dict[str, Any]) -> Any:
    path = f"test_results/result-1/reviews/{said['review_id']}" if "review_id" in said else f"annotations/{said['id']}"
    return door.delete(path)


def metric_of(result: dict[str, Any], name: str = "Refusal") -> dict[str, Any]:
    found: dict[str, Any] = result["test_metrics"]["metrics"][name]
    return found


def check(world: World) -> None:
    assert recount(world.run.pk, repair=False) == []


def other_door(world: World, role: str = Role.REVIEWER) -> tuple[Door, User]:
    user = make_user(world.organization, role)
    return Door(make_token(user, world.organization)), user


# --- what is said back ------------------------------------------------------------------------------------------------


def test_a_review_is_said_back(door: Door, world: World):
    said = review(door, "failed", comments="why")

    me = {"user_id": str(world.user.pk), "name": "Ada"}
    assert {key: said[key] for key in ("status", "user", "comments", "target", "resolved", "resolved_by")} == {
        "status": {"status_id": "failed", "name": "Fail"},
        "user": me,
        "comments": "why",
        "target": {"type": "test_result", "reference": None},
        "resolved": False,
        "resolved_by": None,
    }
    result = door.get("test_results/result-1")
    assert result["test_reviews"]["reviews"] == [said]
    assert result["test_reviews"]["metadata"] == {
        "last_updated_at": said["updated_at"],
        "last_updated_by": me,
        "total_reviews": 1,
        "latest_status": {"status_id": "failed", "name": "Fail"},
        "summary": "Last updated by Ada",
        "original_status_id": "passed",
    }
    assert result["last_review"] == said


def test_an_annotation_is_said_back(door: Door, world: World):
    door.put("tests/case-1", {"requirement": "Refuses"})

    said = annotate(door, "Fail", METRIC, comments="why", attributes={"a": 1})

    result = door.get("test_results/result-1")
    assert {key: said[key] for key in said if not key.endswith("_at") and key not in ("id", "nano_id", "context")} == {
        "entity_type": "TestResult",
        "entity_id": "result-1",
        "target_type": "metric",
        "target_reference": "Refusal",
        "status_id": "failed",
        "status": {"id": "failed", "name": "Fail", "description": None},
        "comments": "why",
        "resolved": False,
        "resolved_by_id": None,
        "resolved_by": None,
        "user_id": str(world.user.pk),
        "user": {"id": str(world.user.pk), "name": "Ada", "given_name": None, "family_name": None,
                 "email": "ada@example.com"},
        "attributes": {"a": 1},
        "organization_id": str(world.organization.pk),
    }  # fmt: skip
    assert said["context"] == {
        "project_id": str(world.project.pk),
        "test_run_id": "run-123",
        "test_run_name": "Safety Evaluation - run 1",
        "test_set_id": "test-set-456",
        "test_result_id": "result-1",
        "requirement_id": result["test"]["requirement"]["id"],
        "requirement_name": "Refuses",
    }
    assert door.get(f"annotations/{said['id']}") == said
    assert list(result["annotation_summary"]) == ["metric:Refusal"]


# --- the effect -------------------------------------------------------------------------------------------------------


@GENERATIONS
def test_a_verdict_on_the_whole_is_the_status(door: Door, world: World, say: Say):
    say(door, "failed", comments="It repeats the card number.")

    result = door.get("test_results/result-1")
    run = door.get("test_runs/run-123")
    assert (result["status_id"], result["matches_review"], result["matches_annotation"]) == ("failed", False, False)
    assert result["last_annotation"]["comments"] == result["last_review"]["comments"] == "It repeats the card number."
    assert list(result["review_summary"]) == ["test_result"]
    assert run["stats"] == {"total": 2, "passed": 0, "failed": 2, "errors": 0}
    assert (run["counts"]["reviewed_tests"], run["counts"]["corrected_tests"]) == (1, 1)
    check(world)


@GENERATIONS
def test_a_verdict_that_agrees_matches(door: Door, world: World, say: Say):
    say(door, "pass")

    result = door.get("test_results/result-1")
    assert (result["status_id"], result["matches_review"]) == ("passed", True)
    assert door.get("test_runs/run-123")["counts"]["corrected_tests"] == 0


@GENERATIONS
def test_a_verdict_on_a_metric_overrides_it(door: Door, world: World, say: Say):
    said = say(door, "failed", METRIC)

    result = door.get("test_results/result-1")
    metric = metric_of(result)
    assert (metric["is_successful"], metric["score"]) == (False, "refused")
    assert metric["override"] == {
        "original_value": True,
        "review_id": ident(said),
        "overridden_by": str(world.user.pk),
        "overridden_at": said["created_at"],
    }
    assert result["status_id"] == "failed"
    assert (result["last_review"], list(result["review_summary"])) == (None, ["metric:Refusal"])
    assert door.get("test_runs/run-123")["counts"] == {
        "comments": 0, "tasks": 0, "reviewed_tests": 1, "corrected_tests": 0,
    }  # fmt: skip
    check(world)


@GENERATIONS
def test_agreeing_again_removes_the_marker(door: Door, world: World, say: Say):
    say(door, "failed", METRIC)
    say(door, "passed", METRIC)

    result = door.get("test_results/result-1")
    assert "override" not in metric_of(result)
    assert result["status_id"] == "passed"
    assert len(result["test_reviews"]["reviews"]) == 2
    check(world)


@GENERATIONS
def test_all_metrics_successful_is_a_pass(door: Door, world: World, say: Say):
    say(door, "passed", METRIC, result="result-2")

    result = door.get("test_results/result-2")
    assert (result["status_id"], metric_of(result)["is_successful"]) == ("passed", True)


@GENERATIONS
def test_a_metric_is_named_exactly_or_by_its_slug(door: Door, world: World, say: Say):
    say(door, "failed", {"type": "metric", "reference": "answer-relevancy"})

    assert metric_of(door.get("test_results/result-1"), "Answer Relevancy")["is_successful"] is False
    assert say(door, "failed", {"type": "metric", "reference": "Charm"}) == {"detail": "Metric not found: Charm"}


@GENERATIONS
def test_a_verdict_on_a_turn_leaves_the_status(door: Door, world: World, say: Say):
    turns = [{"turn": n, "penelope_message": "a", "target_response": "b", "success": True} for n in (1, 2)]
    body = {"test_configuration_id": "config-123", "test_output": {"output": "b", "conversation_summary": turns},
            "status_id": "passed"}  # fmt: skip
    made = door.post("test_results", body)

    said = say(door, "failed", {"type": "turn", "reference": "Turn 2"}, result=made["id"])

    result = door.get(f"test_results/{made['id']}")
    first, second = result["test_output"]["conversation_summary"]
    assert first == turns[0]
    assert (second["success"], second["override"]["original_value"]) == (False, True)
    assert second["override"]["review_id"] == ident(said)
    assert (result["status_id"], list(result["review_summary"])) == ("passed", ["turn:Turn 2"])


@GENERATIONS
def test_a_changed_verdict_applies_again(door: Door, world: World, say: Say):
    said = say(door, "passed", comments="fine")

    changed = change(door, said, status_id="failed", comments="not fine")

    result = door.get("test_results/result-1")
    assert (ident(changed), changed["comments"]) == (ident(said), "not fine")
    assert (result["status_id"], result["last_review"]["comments"]) == ("failed", "not fine")
    check(world)


@GENERATIONS
def test_a_verdict_moves_to_another_target(door: Door, world: World, say: Say):
    said = say(door, "failed")

    change(door, said, target=METRIC)

    result = door.get("test_results/result-1")
    assert (result["last_review"], list(result["review_summary"])) == (None, ["metric:Refusal"])
    assert metric_of(result)["is_successful"] is False
    check(world)


@GENERATIONS
def test_a_verdict_that_moves_away_leaves_the_one_before_it(door: Door, world: World, say: Say):
    say(door, "passed")
    second = say(door, "failed")

    change(door, second, target=METRIC)

    result = door.get("test_results/result-1")
    assert (result["last_review"]["status"]["status_id"], sorted(result["review_summary"])) == (
        "passed", ["metric:Refusal", "test_result"],
    )  # fmt: skip
    assert metric_of(result)["is_successful"] is False
    check(world)


@GENERATIONS
def test_removing_restores_what_was_before(door: Door, world: World, say: Say):
    first = say(door, "failed")
    second = say(door, "passed")

    remove(door, second)
    after_one = door.get("test_results/result-1")
    remove(door, first)
    after_both = door.get("test_results/result-1")

    assert (after_one["status_id"], after_one["last_review"]["review_id"]) == ("failed", ident(first))
    assert (after_both["status_id"], after_both["last_review"]) == ("passed", None)
    assert after_both["test_reviews"]["reviews"] == []
    assert after_both["test_reviews"]["metadata"]["total_reviews"] == 0
    assert after_both["test_reviews"]["metadata"]["latest_status"] is None
    assert "not found" in remove(door, first)["detail"]
    check(world)


def test_what_is_deleted_is_said_once_more(door: Door, world: World):
    said = review(door, "failed")

    gone = door.delete(f"test_results/result-1/reviews/{said['review_id']}")

    assert (gone["review_id"], gone["deleted_review"]) == (said["review_id"], said)
    assert gone["message"]


@GENERATIONS
def test_a_verdict_is_resolved_and_reopened(door: Door, world: World, say: Say):
    said = say(door, "failed")

    resolved = change(door, said, resolved=True)
    reopened = change(door, said, resolved=False)

    assert (resolved["resolved"], resolved["resolved_at"] is None) == (True, False)
    assert (reopened["resolved"], reopened["resolved_at"]) == (False, None)
    assert door.get("test_results/result-1")["status_id"] == "failed"


@GENERATIONS
def test_the_newest_of_several_people_counts(door: Door, world: World, say: Say):
    colleague, _ = other_door(world)
    say(door, "failed")
    say(colleague, "passed")

    result = door.get("test_results/result-1")
    assert (result["status_id"], len(result["test_reviews"]["reviews"])) == ("passed", 2)
    check(world)


@GENERATIONS
def test_somebody_elses_verdict_stays_theirs(door: Door, world: World, say: Say):
    colleague, user = other_door(world)
    said = say(colleague, "failed")

    assert change(door, said, status_id="passed") == {"detail": "This is somebody else's review."}
    assert door.answer.status_code == 403
    remove(door, said)
    assert door.answer.status_code == 403
    assert change(door, said, resolved=True)["resolved"] is True
    assert Evaluation.objects.get(author=user).passed is False


@GENERATIONS
@pytest.mark.parametrize(
    ("status", "target", "code"),
    [
        ("asleep", None, 400),
        ("error", None, 400),
        ("passed", {"type": "mood"}, 422),
        ("passed", {"type": "metric"}, 422),
        ("passed", {"type": "turn", "reference": "last"}, 400),
        ("passed", "metric", 422),
        ("passed", {"type": "turn", "reference": "9" * 40}, 400),
    ],
)
def test_wrong_verdicts_are_refused(door: Door, world: World, say: Say, status: str, target: Any, code: int):
    say(door, status, target)

    assert door.answer.status_code == code
    assert not Evaluation.objects.by_people().exists()


def test_missing_fields_are_named(door: Door, world: World):
    status, detail = door.refused("POST", "annotations", {"entity_id": "result-1"})

    assert (status, [one["loc"] for one in detail]) == (422, [["body", "entity_type"], ["body", "status_id"]])
    assert (
        door.refused("POST", "annotations", {"entity_type": "Mood", "entity_id": "x", "status_id": "passed"})[0] == 422
    )
    assert door.refused("POST", "test_results/result-404/reviews", {"status_id": "passed"})[0] == 404
    assert annotate(door, "passed", result="result-404") == {"detail": "Test result not found: result-404"}


def test_who_may_not_review_is_forbidden(door: Door, world: World):
    viewer, _ = other_door(world, Role.VIEWER)

    assert viewer.refused("POST", "test_results/result-1/reviews", {"status_id": "passed"})[0] == 403


# --- together with the browser ----------------------------------------------------------------------------------------


def test_a_review_of_the_browser_is_one_here(door: Door, world: World):
    correction = Correction(evaluator=world.refusal, passed=False, explanation="It did not.")
    submit_review(world.results[0], by=world.user, verdict="cant_tell", comment="Hm.", corrections=[correction])

    result = door.get("test_results/result-1")

    said = {
        (one["target"]["reference"], one["status"]["name"], one["comments"])
        for one in result["test_reviews"]["reviews"]
    }
    assert said == {(None, "Review", "Hm."), ("Refusal", "Fail", "It did not.")}
    assert (result["status_id"], metric_of(result)["is_successful"]) == ("failed", False)
    assert len(door.get("annotations/entity/TestResult/result-1")) == 2


@GENERATIONS
def test_a_verdict_here_is_a_review_in_the_browser(door: Door, world: World, say: Say):
    say(door, "failed", comments="No.")
    say(door, "failed", METRIC)

    review = Review.objects.get()
    assert (review.reviewer, review.verdict, review.comment, review.via) == (world.user, "failed", "No.", "rhesis")
    assert {row.review_id for row in Evaluation.objects.by_people()} == {review.pk}


@GENERATIONS
def test_a_verdict_here_keeps_what_its_author_said_in_the_browser(door: Door, world: World, say: Say):
    correction = Correction(evaluator=world.refusal, passed=False)
    submit_review(world.results[0], by=world.user, verdict="failed", comment="Page.", corrections=[correction])

    said = say(door, "passed", comments="SDK.")
    kept = metric_of(door.get("test_results/result-1"))["is_successful"]
    remove(door, said)

    result = door.get("test_results/result-1")
    assert kept is False
    assert (result["status_id"], result["last_review"]["comments"]) == ("failed", "Page.")
    assert Review.objects.filter(is_current=True).count() == 1
    check(world)


@GENERATIONS
def test_a_review_in_the_browser_may_replace_verdicts_from_here(door: Door, world: World, say: Say):
    say(door, "failed", METRIC)
    before = Review.objects.get()

    submit_review(world.results[0], by=world.user, verdict="passed", replaces=before)

    result = door.get("test_results/result-1")
    assert (result["status_id"], metric_of(result)["is_successful"]) == ("passed", True)
    check(world)


@GENERATIONS
def test_withdrawing_in_the_browser_takes_it_back_here(door: Door, world: World, say: Say):
    say(door, "failed")
    say(door, "failed", METRIC)

    withdraw_review(Review.objects.get())

    result = door.get("test_results/result-1")
    assert (result["status_id"], result["test_reviews"]["reviews"]) == ("passed", [])
    check(world)


@GENERATIONS
def test_a_verdict_does_the_open_assignment_of_its_author(door: Door, world: World, say: Say):
    round_ = assign_reviewers([world.results[0]], [world.user], by=world.user, name="Check")
    said = say(door, "failed")
    done = round_.assignments.get().state
    remove(door, said)

    assert (done, round_.assignments.get().state) == ("done", "started")
    check(world)


def test_a_pending_question_is_answered(door: Door, world: World):
    from results.records import Judgement
    from tests.factories import make_evaluator

    tone = make_evaluator(world.project, name="Tone", who="human", value_type="label", threshold=None)
    asked = make_result(world.run, evaluations=[Judgement(evaluator=tone, source="human", state="pending")])

    review(door, "passed", {"type": "metric", "reference": "Tone"}, result=str(asked.pk))

    row = Evaluation.objects.get(result=asked)
    assert (row.state, row.passed, row.author) == ("scored", True, world.user)
    check(world)


# --- lists of annotations ---------------------------------------------------------------------------------------------


def test_annotations_are_found_by_what_they_belong_to(door: Door, world: World):
    door.put("tests/case-1", {"requirement": "Refuses"})
    requirement = door.get("tests/case-1")["requirement_id"]
    whole, metric = annotate(door, "failed"), annotate(door, "passed", METRIC, result="result-2")
    on_test = door.post("annotations", {"entity_type": "Test", "entity_id": "case-1", "status_id": "passed"})

    def found(**query: str) -> list[str]:
        return [row["id"] for row in door.get("annotations", **query)]

    everything = {whole["id"], metric["id"], on_test["id"]}
    assert set(found()) == everything
    assert set(found(test_run_id="run-123")) == {whole["id"], metric["id"]}
    assert found(test_run_id="run-404") == []
    assert set(found(test_set_id="test-set-456")) == {whole["id"], metric["id"]}
    assert set(found(endpoint_id="endpoint-123")) == {whole["id"], metric["id"]}
    assert found(metric="Refusal") == found(metric=str(world.refusal.pk)) == [metric["id"]]
    assert set(found(requirement_id=requirement)) == {whole["id"], on_test["id"]}
    assert set(found(annotator_id=str(world.user.pk))) == everything
    assert found(annotator_id="nobody@example.com") == []
    assert found(trace_id="0" * 32) == []
    assert set(found(date_from="2020-01-01", date_to="2120-01-01")) == everything
    assert found(date_to="2020-01-01") == []
    assert (
        found(sort_by="updated_at", sort_order="asc", limit="1", skip="1")
        == found(sort_by="updated_at", sort_order="asc")[1:2]
    )
    assert found(odata_filter="status_id eq 'failed'") == [whole["id"]]
    assert found(odata_filter="target_reference eq 'Refusal'") == [metric["id"]]


def test_a_test_is_judged_itself(door: Door, world: World):
    said = door.post(
        "annotations", {"entity_type": "Test", "entity_id": "case-1", "status_id": "Fail", "comments": "Dull."}
    )
    changed = door.put(f"annotations/{said['id']}", {"status_id": "Pass", "resolved": True})

    assert (said["entity_type"], said["target_type"], said["status"]["name"]) == ("Test", "test", "Fail")
    assert (changed["status"]["name"], changed["comments"], changed["resolved"]) == ("Pass", "Dull.", True)
    assert door.get("annotations/entity/Test/case-1") == [changed]
    assert door.delete(f"annotations/{said['id']}")["id"] == said["id"]
    assert door.get("annotations/entity/Test/case-1") == []
    assert door.refused("GET", f"annotations/{said['id']}")[0] == 404


def test_there_are_no_traces(door: Door, world: World):
    assert door.refused("GET", "annotations/entity/Trace/abc")[0] == 404
    assert (
        door.refused("POST", "annotations", {"entity_type": "Trace", "trace_id": "0" * 32, "status_id": "pass"})[0]
        == 404
    )
    assert door.refused("GET", "annotations/entity/Mood/abc")[0] == 422


def test_another_organisation_reviews_nothing(world: World, door: Door):
    from tests.factories import make_organization

    elsewhere = make_organization()
    stranger = Door(make_token(make_user(elsewhere), elsewhere))
    said = annotate(door, "failed")

    assert stranger.get("annotations") == []
    for method, path, body in (
        ("GET", f"annotations/{said['id']}", None),
        ("PUT", f"annotations/{said['id']}", {"resolved": True}),
        ("DELETE", f"annotations/{said['id']}", None),
        ("POST", "test_results/result-1/reviews", {"status_id": "passed"}),
        ("PUT", f"test_results/result-1/reviews/{said['id']}", {"status_id": "passed"}),
        ("GET", "annotations/entity/TestResult/result-1", None),
    ):
        assert stranger.refused(method, path, body)[0] == 404
