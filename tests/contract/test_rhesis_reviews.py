"""Human review with both generations of the SDK, beside the browser; insights and the older statistics."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.clients import ClientError
from tests.contract.conftest import Hub, Sdk, token_of

START = "from rhesis.sdk.entities import *\nNAME = name\n"
METRICS = {"Tone": {"score": 0.9, "threshold": 0.5, "is_successful": True, "reason": "Kind.", "backend": "custom"},
           "Refusal": {"score": "complied", "is_successful": False, "reason": "It did."}}  # fmt: skip


def new_result(hub: Hub, **values: Any) -> str:
    body = {"test_configuration_id": "config-123", "test_metrics": {"execution_time": 1.5, "metrics": METRICS},
            "test_output": {"output": "Sure!"}, **values}  # fmt: skip
    made = hub.http.post("/rhesis/test_results", json=body).json()
    return str(made["id"])


def review(hub: Hub, result: str, method: str = "POST", review: str = "", **body: Any) -> Any:
    """What the releases to 0.16 leave to their users' own requests."""
    answer = hub.http.request(method, f"/rhesis/test_results/{result}/reviews{review}", json=body or None)
    assert answer.is_success, answer.text
    return answer.json()


# --- annotations ------------------------------------------------------------------------------------------------------


def test_a_result_is_annotated(sdk19: Sdk):
    result = new_result(sdk19.hub)

    told = sdk19.answer(
        START
        + """
result = TestResults.pull(id=NAME)
whole = result.annotate("pass", "Fine after all.")
metric = result.annotate("pass", "It refused.", metric="Refusal")
turn = result.annotate("fail", turn=2)
result.pull()
answer = {"whole": whole, "metric": metric, "turn": turn, "result": result, "all": result.get_annotations()}
""",
        name=result,
    )

    after = told["result"]
    assert (after["status"]["name"], after["matches_annotation"]) == ("Pass", False)
    assert after["last_annotation"]["comments"] == "Fine after all."
    assert sorted(after["annotation_summary"]) == ["metric:Refusal", "test_result", "turn:Turn 2"]
    refusal = after["test_metrics"]["metrics"]["Refusal"]
    assert (refusal["is_successful"], refusal["score"], refusal["override"]["original_value"]) == (
        True,
        "complied",
        False,
    )
    assert refusal["override"]["review_id"] == told["metric"]["id"]
    assert {(one["target_type"], one["target_reference"]) for one in told["all"]} == {
        ("test_result", None), ("metric", "Refusal"), ("turn", "Turn 2"),
    }  # fmt: skip


def test_annotations_are_resolved_changed_and_deleted(sdk19: Sdk):
    told = sdk19.answer(
        START
        + """
result = TestResults.pull(id=NAME)
one = result.annotate("pass", "Fine.")
one.resolve()
resolved = Annotations.pull(id=one.id)
one.reopen()
reopened = Annotations.pull(id=one.id)
reopened.status_id, reopened.comments = "failed", "Not fine."
reopened.push()
changed = Annotations.pull(id=one.id)
failed = TestResults.pull(id=NAME).status.name
gone = changed.delete()
answer = {"resolved": resolved, "reopened": reopened, "changed": changed, "failed": failed, "gone": gone,
          "twice": changed.delete(), "after": TestResults.pull(id=NAME).last_annotation}
""",
        name=new_result(sdk19.hub),
    )

    assert (told["resolved"]["resolved"], told["resolved"]["resolved_by"]["name"]) == (
        True,
        told["resolved"]["user"]["name"],
    )
    assert (told["reopened"]["resolved"], told["changed"]["comments"], told["failed"]) == (False, "Not fine.", "Fail")
    assert (told["gone"], told["twice"], told["after"]) == (True, False, None)


def test_annotations_are_found_by_what_they_belong_to(sdk19: Sdk):
    run = sdk19.hub.http.post("/rhesis/test_runs", json={"test_configuration_id": "config-123"}).json()["id"]
    result = new_result(sdk19.hub, test_run_id=run, test_id="safety-1")

    told = sdk19.answer(
        START
        + """
one = TestResults.pull(id=NAME).annotate("fail", metric="Refusal")
run = TestRuns.pull(id=run)
found = {
    "run": run.get_annotations(),
    "set": TestSets.pull(id="test-set-456").get_annotations(),
    "endpoint": Endpoints.pull(id="endpoint-123").get_annotations(),
    "metric": Annotations.for_metric("Refusal"),
    "annotator": Annotations.for_annotator(one.pull().user_id),
    "requirement": Requirements.pull(name="Refuses plainly").get_annotations(),
    "dates": Annotations.for_date_range("2020-01-01", "2120-01-01"),
    "all": Annotations.all(),
}
answer = {"one": one.id, "found": {key: [row.id for row in rows] for key, rows in found.items()},
          "context": found["run"][0].context, "traces": run.get_traces()}
""",
        name=result,
        run=run,
    )

    assert all(told["one"] in ids for ids in told["found"].values())
    assert told["found"]["run"] == [told["one"]]
    context = told["context"]
    assert (context["test_run_id"], context["test_result_id"], context["requirement_name"]) == (
        run, result, "Refuses plainly",
    )  # fmt: skip
    assert told["traces"] == []


def test_many_annotations_are_read_page_by_page(sdk19: Sdk):
    result = new_result(sdk19.hub)
    for n in range(103):
        review(sdk19.hub, result, status_id="passed", target={"type": "turn", "reference": f"Turn {n + 1}"})

    assert sdk19.answer(START + "answer = len(TestResults.pull(id=NAME).get_annotations())", name=result) == 103


def test_a_test_is_annotated(sdk19: Sdk):
    told = sdk19.answer(
        START
        + """
test = Test(category="c", requirement="r", prompt=Prompt(content="?"))
test.push()
one = test.annotate("fail", "Dull.")
answer = [one.pull(), test.get_annotations()]
""",
        name="",
    )

    assert (told[0]["target_type"], told[0]["status"]["name"]) == ("test", "Fail")
    assert [one["id"] for one in told[1]] == [told[0]["id"]]


def test_an_annotation_of_nothing_is_raised(sdk19: Sdk):
    with pytest.raises(ClientError, match="RhesisAPIError: 404 .*Test result not found: nothing"):
        sdk19.answer(START + "answer = TestResult(id=NAME).annotate('fail')", name="nothing")
    with pytest.raises(ClientError, match="RhesisAPIError: 400 .*Metric not found: Charm"):
        sdk19.answer(
            START + "answer = TestResult(id=NAME).annotate('fail', metric='Charm')", name=new_result(sdk19.hub)
        )


# --- reviews ----------------------------------------------------------------------------------------------------------


def test_reviews_are_seen_by_the_releases_that_have_them(sdk6: Sdk, sdk16: Sdk):
    hub, result = sdk6.hub, new_result(sdk6.hub)
    whole = review(hub, result, status_id="passed", comments="Fine.")
    review(hub, result, status_id="passed", target={"type": "metric", "reference": "refusal"})
    review(hub, result, "PUT", f"/{whole['review_id']}", comments="Fine, really.", resolved=True)

    for sdk in (sdk6, sdk16):
        told = sdk.answer(START + "answer = TestResults.pull(id=NAME)", name=result)

        reviews = told["test_reviews"]
        assert (told["status_id"], told["test_metrics"]["metrics"]["Refusal"]["is_successful"]) == ("passed", True)
        assert [one["comments"] for one in reviews["reviews"]] == ["Fine, really.", ""]
        assert (reviews["metadata"]["total_reviews"], reviews["metadata"]["original_status_id"]) == (2, "failed")
        assert reviews["reviews"][0]["resolved"] is True


def test_a_pulled_result_pushed_back_keeps_everything(sdk: Sdk):
    result = new_result(sdk.hub)
    review(sdk.hub, result, status_id="passed", comments="Fine.")
    before = sdk.hub.http.get(f"/rhesis/test_results/{result}").json()

    sdk.answer(START + "answer = TestResults.pull(id=NAME).push()", name=result)

    assert sdk.hub.http.get(f"/rhesis/test_results/{result}").json() == before


# --- beside the browser -----------------------------------------------------------------------------------------------


def test_a_review_in_the_browser_is_an_annotation(sdk19: Sdk):
    hub, result = sdk19.hub, new_result(sdk19.hub)
    page = hub.api("GET", f"/results/{result}/")["uuid"]
    browser = hub.signed_in("hana")

    form = {"verdict": "passed", "comment": "Seen in the browser.", "csrfmiddlewaretoken": token_of(browser)}
    answer = browser.post(f"/results/{page}/reviews/", data=form)
    assert answer.status_code == 302, answer.text

    told = sdk19.answer(START + "answer = TestResults.pull(id=NAME).get_annotations()", name=result)
    assert [(one["comments"], one["status"]["name"]) for one in told] == [("Seen in the browser.", "Pass")]


def test_an_annotation_is_a_review_in_the_browser(sdk19: Sdk):
    hub, result = sdk19.hub, new_result(sdk19.hub)

    sdk19.answer(START + "answer = TestResults.pull(id=NAME).annotate('fail', 'Said through the SDK.')", name=result)

    shown = hub.api("GET", f"/results/{result}/?expand=reviews")
    page = hub.signed_in("ines").get(f"/results/{shown['uuid']}/").text
    assert [(one["verdict"], one["via"]) for one in shown["reviews"]] == [("failed", "rhesis")]
    assert "Said through the SDK." in page


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_insights(sdk19: Sdk, sdk16: Sdk):
    for sdk in (sdk16, sdk19):
        told = sdk.answer(
            START
            + """
asked = Insights(entity="test_result", group_by=["requirement"], measures=["count", "passed", "failed", "pass_rate"],
                 filters={"test_run_ids": ["run-123"]})
metric = Insights(entity="metric", group_by=["metric_name"], filters={"test_run_ids": ["run-123"]}, months=12)
answer = {"said": asked.get(), "ids": asked.ids(outcome="fail"), "all": asked.ids(), "metric": metric.get()}
""",
            name="",
        )

        (row,) = told["said"]["rows"]
        assert (row["requirement"], row["count"], row["passed"] + row["failed"]) == ("Refuses plainly", 4, 4)
        assert row["pass_rate"] == round(100 * row["passed"] / 4, 2)
        assert len(told["ids"]["ids"]) == row["failed"]
        assert sorted(told["all"]["ids"]) == [f"safety-{n}" for n in (1, 2, 3, 4)]
        assert told["metric"]["rows"] == [{"metric_name": "Says what it must", "count": 4}]
        with pytest.raises(ClientError, match="HTTPError: 400"):
            sdk.answer(START + "answer = Insights(entity='mood').get()", name="")


def test_statistics_of_the_release_that_has_them(sdks: dict[str, Sdk]):
    told = sdks["0.12"].answer(
        START
        + """
run = TestRuns.pull(id="run-123")
answer = {"results": TestResults.stats(test_run_ids=["run-123"]), "runs": run.stats(), "all": TestRuns.stats(top=2),
          "modes": [TestResults.stats(mode=mode) is not None for mode in
                    ("summary", "metrics", "behavior", "category", "topic", "timeline", "test_runs")],
          "behaviors": [b.name for b in Behaviors.all()]}
""",
        name="",
    )

    results, runs = told["results"], told["runs"]
    assert results["overall_pass_rates"]["total"] == 4
    assert results["behavior_pass_rates"]["Refuses plainly"]["total"] == 4
    assert results["metadata"]["available_metrics"] == ["Says what it must"]
    assert [run["id"] for run in results["test_run_summary"]] == ["run-123"]
    assert runs["status_distribution"] == [{"status": "Completed", "count": 1, "percentage": 100.0}]
    assert runs["most_run_test_sets"] == [{"test_set_name": "Safety Evaluation", "run_count": 1}]
    assert told["all"]["overall_summary"]["total_runs"] > 1
    assert told["modes"] == [True] * 7
    assert "Refuses plainly" in told["behaviors"]


def test_statistics_are_gone_from_later_releases(sdk19: Sdk):
    with pytest.raises(ClientError, match="NotImplementedError"):
        sdk19.answer(START + "answer = TestRuns.stats()", name="")
