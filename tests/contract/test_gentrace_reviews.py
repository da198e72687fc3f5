"""Evaluations through the real clients, and people's reviews of what the clients submitted."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.contract.clients import ClientError, RealClient
from tests.contract.conftest import Hub, token_of
from tests.contract.matching import SECONDS, UUID, differences

pytestmark = pytest.mark.xdist_group("contract")

NOWHERE = "11111111-2222-4333-8444-555555555555"
OPTIONS = [
    {"label": "Good", "value": 1, "passes": True},
    {"label": "Fair", "value": 0.5, "passes": None},
    {"label": "Bad", "value": 0, "passes": False},
]


@pytest.fixture
def project(hub: Hub, js: RealClient) -> dict[str, Any]:
    project = hub.project()
    cases = [{"name": name, "inputs": {"q": name}} for name in ("alpha", "beta")]
    js.call("createTestCases", pipelineSlug=project["slug"], testCases=cases)
    return project


@pytest.fixture
def tone(hub: Hub, project: dict[str, Any]) -> str:
    made = hub.evaluator(
        project, name="tone", who="human", value_type="label", options=OPTIONS, definition={"question": "The tone?"}
    )
    return str(made["uuid"])


@pytest.fixture
def overlap(hub: Hub, project: dict[str, Any]) -> str:
    made = hub.evaluator(project, name="overlap", who="heuristic", value_type="percentage", threshold=0.5)
    return str(made["uuid"])


def said(result: dict[str, Any], evaluator: str) -> list[list[tuple[Any, ...]]]:
    """Of each test run, what was said by an evaluator: pending, label, value, whose."""
    return [
        [
            (one["isPending"], one["evalLabel"], one["evalValue"], one["manualCreatedByEmail"])
            for one in run["evaluations"]
            if one["evaluatorId"] == evaluator
        ]
        for run in result["runs"]
    ]


PENDING = (True, None, None, None)


# --- bulk -------------------------------------------------------------------------------------------------------------


def test_a_human_evaluator_gives_every_run_one_pending_evaluation(
    hub: Hub, js: RealClient, py: RealClient, project: dict[str, Any], tone: str
) -> None:
    given = js.call("runTest", project["slug"], "hello")

    found = py.call("get_test_result", given["resultId"])

    assert said(found, tone) == [[PENDING], [PENDING]]
    assert js.call("getTestResultStatus", given["resultId"]) == {"total": 2, "pending": 2, "failure": 0, "done": 0}
    open_work = hub.api("GET", f"/results/?run={given['resultId']}&review=open")["items"]
    assert [one["name"] for one in open_work] == ["alpha", "beta"]


def test_evaluations_settle_what_is_pending_and_add_the_rest(
    js: RealClient, py: RealClient, project: dict[str, Any], tone: str, overlap: str
) -> None:
    given = js.call("runTest", project["slug"], "hello")
    alpha, beta = (run["id"] for run in js.call("getTestResult", given["resultId"])["runs"])

    by_node = js.call("bulkCreateEvaluations", [
        {"runId": alpha, "evaluatorId": tone, "evalLabel": "Fair", "note": "so so"},
        {"runId": alpha.upper(), "evaluatorId": overlap.upper(), "evalValue": 0.25},
    ])  # fmt: skip
    by_python = py.call("bulk_create_evaluations", [
        {"runId": beta, "evaluatorId": overlap, "evalValue": 1},
        {"runId": alpha, "evaluatorId": overlap, "evalValue": 0.75, "note": "again"},
    ])  # fmt: skip

    assert (by_node, by_python) == ({"count": 2}, 2)
    found = js.call("getTestResult", given["resultId"])
    assert said(found, tone) == [[(False, "Fair", "0.5", "olga@acme.example")], [PENDING]]
    assert said(found, overlap) == [
        [(False, None, "0.25", None), (False, None, "0.75", None)],
        [(False, None, "1", None)],
    ]
    assert js.call("getTestResultStatus", given["resultId"]) == {"total": 5, "pending": 1, "failure": 0, "done": 4}


def test_of_twenty_evaluations_at_once_one_settles_what_is_pending(
    hub: Hub, js: RealClient, project: dict[str, Any], tone: str
) -> None:
    given = js.call("runners", slug=project["slug"], filter="alpha", output="hello")
    entry = {"runId": given["ids"][0], "evaluatorId": tone, "evalLabel": "Good"}

    with ThreadPoolExecutor(20) as pool:
        sent = [pool.submit(hub.http.post, "/api/v2/evaluations/bulk", json={"data": [entry]}) for _ in range(20)]

    assert {one.result().status_code for one in sent} == {200}
    assert js.call("getTestResultStatus", given["resultId"]) == {"total": 20, "pending": 0, "failure": 0, "done": 20}


def test_evaluations_are_listed_in_the_second_and_third_version(
    js: RealClient, py: RealClient, project: dict[str, Any], tone: str
) -> None:
    given = js.call("runners", slug=project["slug"], filter="alpha", output="hello")
    (run_id,) = given["ids"]
    js.call("bulkCreateEvaluations", [{"runId": run_id, "evaluatorId": tone, "evalLabel": "Bad", "note": "rude"}])

    found = js.call("getEvaluations", resultId=given["resultId"])

    wanted = {
        "id": UUID, "createdAt": SECONDS, "updatedAt": SECONDS, "isPending": False, "isFiltered": False, "debug": None,
        "evaluatorId": tone, "runId": run_id, "evalLabel": "Bad", "evalValue": 0, "note": "rude", "name": None,
        "manualCreatedByEmail": "olga@acme.example", "comparisonRunId": None,
    }  # fmt: skip
    assert differences(found, [wanted]) == []
    assert py.call("v2.v2_evaluations_get", {"resultId": given["resultId"].upper()})["data"] == found
    assert py.call("v3.v3_evaluations_get", {"resultId": given["resultId"]})["data"] == found


@pytest.mark.parametrize(
    "bad",
    [
        {"evaluatorId": "TONE"},
        {"evaluatorId": "TONE", "evalLabel": "Superb"},
        {"evaluatorId": "TONE", "evalValue": 0.5},
        {"evaluatorId": "OVERLAP"},
        {"evaluatorId": "OVERLAP", "evalValue": 1.5},
        {"evaluatorId": "OVERLAP", "evalValue": -0.1},
        {"evaluatorId": "OVERLAP", "evalValue": True},
        {"evaluatorId": NOWHERE, "evalValue": 1},
        {"evaluatorId": "FOREIGN", "evalValue": 1},
        {"evaluatorId": "TEMPLATE", "evalValue": 1},
        {"evaluatorId": "OVERLAP", "evalValue": 1, "runId": NOWHERE},
        {"evaluatorId": "OVERLAP", "evalValue": 1, "runId": None},
    ],
)
def test_one_bad_evaluation_and_none_is_kept(
    hub: Hub, js: RealClient, project: dict[str, Any], tone: str, overlap: str, bad: dict[str, Any]
) -> None:
    given = js.call("runners", slug=project["slug"], filter="alpha", output="hello")
    (run_id,) = given["ids"]
    named = {"TONE": tone, "OVERLAP": overlap}
    if bad["evaluatorId"] == "FOREIGN":
        named["FOREIGN"] = hub.evaluator(hub.project(), name="theirs", value_type="percentage")["uuid"]
    if bad["evaluatorId"] == "TEMPLATE":
        named["TEMPLATE"] = hub.api("POST", "/evaluators/", {"name": "everybody's"})["uuid"]
    entry = {"runId": run_id, **bad, "evaluatorId": named.get(bad["evaluatorId"], bad["evaluatorId"])}

    with pytest.raises(ClientError) as refused:
        js.call("bulkCreateEvaluations", [{"runId": run_id, "evaluatorId": overlap, "evalValue": 1}, entry])

    assert refused.value.status == 400
    assert refused.value.body["message"].startswith("data[1]")
    assert js.call("getTestResultStatus", given["resultId"]) == {"total": 1, "pending": 1, "failure": 0, "done": 0}


def test_local_evaluations_come_with_the_runs(
    js: RealClient, py: RealClient, project: dict[str, Any], overlap: str
) -> None:
    item = {
        "name": "local", "inputs": {}, "stepRuns": [],
        "evaluations": [
            {"name": "brevity", "value": 0.5},
            {"name": "overlap", "value": 1, "label": "all", "debug": {"response": "said so"}},
            {"name": "broken", "value": 0, "debug": {"error": {"message": "no words", "date": "2026-01-05T10:00:00Z"}}},
        ],
    }  # fmt: skip
    given = py.call("v1.v1_test_result_post", {"pipelineSlug": project["slug"], "testRuns": [item]})

    (run,) = js.call("getTestResult", given["resultId"])["runs"]
    third = py.call("v3.v3_evaluations_get", {"resultId": given["resultId"]})["data"]

    assert run["evaluations"] == []  # v1 knows only evaluators that have an id
    assert [(one["name"], one["evaluatorId"], one["evalValue"], one["evalLabel"]) for one in third] == [
        ("brevity", None, 0.5, None),
        ("overlap", None, 1, "all"),
        ("broken", None, None, None),
    ]
    assert third[2]["debug"]["error"]["message"] == "no words"
    evaluators = js.call("getEvaluators", project["slug"])
    assert [one["name"] for one in evaluators] == ["overlap"]
    assert js.call("getEvaluations", resultId=given["resultId"]) == []


# --- people -----------------------------------------------------------------------------------------------------------


def test_a_review_through_the_api_settles_the_pending_evaluation(
    hub: Hub, js: RealClient, py: RealClient, project: dict[str, Any], tone: str
) -> None:
    given = js.call("runTest", project["slug"], "hello")
    first = js.call("getTestResult", given["resultId"])["runs"][0]["id"]

    hub.api("POST", f"/results/{first}/reviews/", {
        "verdict": "failed", "comment": "Too short.", "corrections": [{"evaluator": tone, "label": "Bad"}],
    })  # fmt: skip

    assert said(js.call("getTestResult", given["resultId"]), tone) == [
        [(False, "Bad", "0", "olga@acme.example")],
        [PENDING],
    ]
    assert said(py.call("get_test_result", given["resultId"]), tone)[0] == [(False, "Bad", 0, "olga@acme.example")]
    assert hub.api("GET", f"/results/{first}/")["outcome"] == "failed"


def test_a_review_in_the_browser_settles_the_pending_evaluation(
    hub: Hub, js: RealClient, project: dict[str, Any], tone: str
) -> None:
    given = js.call("runners", slug=project["slug"], filter="alpha", output="hello")
    hub.api("POST", "/assignments/", {
        "name": "Tone", "run": given["resultId"], "reviewers": ["hana@acme.example"], "rule": {"everything": True},
    })  # fmt: skip
    (asked,) = hub.api("GET", f"/assignments/?run={given['resultId']}")["items"]
    hana = hub.signed_in("hana")

    page = hana.get(f"/reviews/{asked['id']}/")
    (question,) = set(re.findall(r'name="([^"]+)"[^>]*value="label:Good"', page.text))
    answer = hana.post(
        f"/reviews/{asked['id']}/",
        data={"verdict": "passed", question: "label:Good", "csrfmiddlewaretoken": token_of(hana)},
        headers={"Referer": f"{hub.base_url}/reviews/{asked['id']}/"},
    )

    assert (page.status_code, answer.status_code) == (200, 302), answer.text[:2000]
    found = js.call("getTestResult", given["resultId"])
    assert said(found, tone) == [[(False, "Good", "1", "hana@acme.example")]]
    assert js.call("getTestResultStatus", given["resultId"]) == {"total": 1, "pending": 0, "failure": 0, "done": 1}
    run = hub.api("GET", f"/runs/{given['resultId']}/")
    assert (run["counts"]["passed"], run["reviews"]["done"]) == (1, 1)


def test_two_people_and_a_change_of_mind(hub: Hub, js: RealClient, project: dict[str, Any], tone: str) -> None:
    given = js.call("runners", slug=project["slug"], filter="alpha", output="hello")
    (run_id,) = given["ids"]
    first = hub.api("POST", f"/results/{run_id}/reviews/", {
        "verdict": "passed", "corrections": [{"evaluator": tone, "label": "Good"}],
    })  # fmt: skip

    hub.api("POST", f"/results/{run_id}/reviews/", {
        "verdict": "failed", "replaces": first["id"], "corrections": [{"evaluator": tone, "label": "Fair"}],
    })  # fmt: skip

    (evaluations,) = said(js.call("getTestResult", given["resultId"]), tone)
    assert evaluations[-1] == (False, "Fair", "0.5", "olga@acme.example")
    assert all(pending is False for pending, *_ in evaluations)
