"""ExpandedTestResult: every field of every type by value, as each of the real clients gives it back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest

from runs.chatting import NO_JUDGE
from runs.checks import CHECKS
from tests.contract.clients import RealClient
from tests.contract.conftest import Hub
from tests.contract.matching import ISO, UUID, differences

pytestmark = pytest.mark.xdist_group("contract")

GOOD, BAD = {"label": "Good", "value": 1, "passes": True}, {"label": "Bad", "value": 0, "passes": False}
FIRST, SECOND, THIRD = (f"0b8f4c{n}2-1d5e-4f60-8a7b-0c1d2e3f405{n}" for n in (1, 2, 3))
PREVIOUS = "c56a4180-65aa-42ec-a945-5fd21dec0538"
NO_TOKENS = {
    "billingGpt4InputTokens": 0,
    "billingGpt4OutputTokens": 0,
    "billingGpt35InputTokens": 0,
    "billingGpt35OutputTokens": 0,
}

NO_ANSWER = "There is no answer to judge."
NO_CHECK = f"EvalHub has no check called “share of words”. It has: {', '.join(CHECKS)}."


@dataclass
class Scene:
    """A pipeline with evaluators of every kind, and a test result that has something in every field."""

    project: dict[str, Any]
    evaluators: dict[str, dict[str, Any]]
    case_id: str
    result_id: str


@pytest.fixture(scope="module")
def scene(hub: Hub, js: RealClient, py: RealClient) -> Scene:
    project = hub.project(labels=["support", "nightly"], branch="main")
    described: list[dict[str, Any]] = [
        {"name": "tone", "who": "human", "value_type": "label", "options": [GOOD, BAD], "icon": "chat",
         "definition": {"question": "Is the tone right?"}},
        {"name": "overlap", "who": "heuristic", "value_type": "percentage", "threshold": 0.5,
         "definition": {"heuristic": "share of words", "processor_id": "p-1"}},
        {"name": "complete", "who": "ai", "value_type": "label", "options": [GOOD, BAD],
         "definition": {"model": "gpt-4o", "prompt": "Is all of it there?"}},
    ]  # fmt: skip
    evaluators = {one["name"]: hub.evaluator(project, **one) for one in described}
    case_id = js.call(
        "createTestCase", pipelineSlug=project["slug"], name="greeting", inputs={"q": "hi"},
        expectedOutputs={"value": "hello"},
    )  # fmt: skip
    steps = [
        {"providerName": "acme", "invocation": "retrieve", "modelParams": {"k": 3}, "inputs": {"q": "hi"},
         "outputs": {"found": ["a", "b"]}, "elapsedTime": 200, "startTime": "2026-01-05T10:00:00.000Z",
         "endTime": "2026-01-05T10:00:00.200Z", "context": {"userId": "u-1"}},
        {"providerName": "acme", "invocation": "generate", "modelParams": {"temperature": 0.5},
         "inputs": {"found": ["a", "b"]}, "outputs": {"value": "hello", "html": "<b>hello</b>"}, "elapsedTime": 1000,
         "startTime": "2026-01-05T10:00:00.200Z", "endTime": "2026-01-05T10:00:01.200Z",
         "context": {"render": {"type": "html", "key": "html"}}, "error": "one warning"},
    ]  # fmt: skip
    result_id = js.call(
        "v1.v1TestResultPost",
        pipelineSlug=project["slug"],
        collectionMethod="manual",
        name="nightly",
        branch="feature/x",
        commit="9f3a2c1",
        metadata={
            "prompt": {"type": "string", "value": "v7"},
            "page": {"type": "url", "url": "https://wiki.example/v7", "text": "Wiki"},
            "draft": {"type": "boolean", "value": False},
            "score": {"type": "number", "value": 7.5, "unit": "points"},
        },
        triggerRemoteEvals=True,
        testRuns=[
            {"id": FIRST, "caseId": case_id, "previousRunId": PREVIOUS, "stepRuns": steps, "error": "too slow",
             "metadata": {"seed": {"type": "string", "value": "1"}, "shape": {"type": "vector", "value": [1, 2]}},
             "path": [{"type": "suite", "name": "smoke"}, {"type": "suite", "name": "short"}],
             "evaluations": [{"name": "brevity", "value": 0.25, "label": "short", "debug": {"response": "counted"}}]},
            {"id": SECOND, "name": "local", "inputs": {"q": "bye"}, "expectedOutputs": {"value": "goodbye"},
             "stepRuns": []},
        ],
    )["resultId"]  # fmt: skip
    wait_for_judges(js, result_id)
    count = py.call(
        "bulk_create_evaluations",
        [
            {"evaluatorId": evaluators["overlap"]["uuid"], "runId": FIRST, "evalValue": 0.875, "note": "by a script"},
            {"evaluatorId": evaluators["tone"]["uuid"], "runId": FIRST, "evalLabel": "Bad", "note": "too short"},
        ],
    )
    assert count == 2
    return Scene(project, evaluators, case_id, result_id)


def wait_for_judges(js: RealClient, result_id: str) -> None:
    """Until the worker has dealt with what triggerRemoteEvals asked for: only people's evaluations are pending."""
    until = time.monotonic() + 30
    while js.call("getTestResultStatus", result_id)["failure"] < 4:
        assert time.monotonic() < until, "the worker did not judge"
        time.sleep(0.3)


def expected(scene: Scene, *, numbers: bool, golden: str, organization: str) -> dict[str, Any]:
    """The whole answer; ``numbers`` as the Python clients take evalValue, and metadata of the types that they know."""
    pipeline_id = scene.project["uuid"]
    ids = {name: one["uuid"] for name, one in scene.evaluators.items()}

    def evaluation(evaluator: str, run_id: str, **values: Any) -> dict[str, Any]:
        return {
            "id": UUID, "createdAt": ISO, "updatedAt": ISO, "isPending": False, "debug": None,
            "evaluatorId": ids[evaluator], "runId": run_id, "evalLabel": None, "evalValue": None,
            "manualCreatedByEmail": None, **NO_TOKENS, **values,
        }  # fmt: skip

    def failed(evaluator: str, run_id: str, why: str) -> dict[str, Any]:
        return evaluation(evaluator, run_id, debug={"error": {"message": why, "date": ISO}})

    def evaluator(name: str, **values: Any) -> dict[str, Any]:
        return {
            "id": ids[name], "createdAt": ISO, "updatedAt": ISO, "archivedAt": None, "icon": None, "name": name,
            "options": [["Good", 1], ["Bad", 0]], "aiModel": None, "pipelineId": pipeline_id, "processorId": None,
            "heuristicFn": None, "aiPromptFormat": None, "humanPrompt": None, "valueType": "ENUM", **values,
        }  # fmt: skip

    def case(name: str, ask: str, answer: str, case_id: Any) -> dict[str, Any]:
        return {
            "id": case_id, "createdAt": ISO, "updatedAt": ISO, "archivedAt": None, "deletedAt": None,
            "datasetId": golden, "inputs": {"q": ask}, "expectedOutputs": {"value": answer}, "name": name,
            "pipelineId": pipeline_id,
        }  # fmt: skip

    def step(**values: Any) -> dict[str, Any]:
        return {
            "id": UUID, "organizationId": organization, "providerName": "acme", "pipelineRunId": FIRST, "error": None,
            **values,
        }  # fmt: skip

    other = {"type": "number", "value": 7.5, "unit": "points"}
    vector = {"type": "vector", "value": [1, 2]}
    if numbers:
        other = {"type": "string", "value": '{"type":"number","unit":"points","value":7.5}'}
        vector = {"type": "string", "value": "[1,2]"}
    path = [{"type": "suite", "name": "smoke"}, {"type": "suite", "name": "short"}]
    tone = {"evalLabel": "Bad", "evalValue": 0 if numbers else "0", "manualCreatedByEmail": "olga@acme.example"}
    return {
        "id": scene.result_id,
        "createdAt": ISO,
        "updatedAt": ISO,
        "pipelineId": pipeline_id,
        "branch": "feature/x",
        "commit": "9f3a2c1",
        "name": "nightly",
        "metadata": {
            "prompt": {"type": "string", "value": "v7"},
            "page": {"type": "url", "url": "https://wiki.example/v7", "text": "Wiki"},
            "draft": {"type": "boolean", "value": False},
            "score": other,
        },
        "pipeline": {
            "id": pipeline_id, "createdAt": ISO, "updatedAt": ISO, "archivedAt": None, "labels": ["support", "nightly"],
            "displayName": scene.project["name"], "slug": scene.project["slug"], "organizationId": organization,
            "branch": "main", "goldenDatasetId": golden,
            "evaluators": [
                evaluator("tone", who="HUMAN", icon="chat", humanPrompt="Is the tone right?"),
                evaluator("overlap", who="HEURISTIC", valueType="PERCENTAGE", options=[], processorId="p-1",
                          heuristicFn="share of words"),
                evaluator("complete", who="AI", aiModel="gpt-4o", aiPromptFormat="Is all of it there?"),
            ],
        },
        "runs": [
            {
                "id": FIRST, "createdAt": ISO, "updatedAt": ISO, "caseId": scene.case_id, "resultId": scene.result_id,
                "path": path, "error": "too slow",
                "full": {
                    "pipelineRunId": FIRST, "pipelineId": pipeline_id, "organizationId": organization,
                    "startTime": "2026-01-05T10:00:00Z", "endTime": "2026-01-05T10:00:01.200000Z", "cost": None,
                    "elapsed": 1200, "feedback": 0.5, "lastInvocation": "2026-01-05T10:00:00.200000Z",
                    "inputs": {"q": "hi"}, "outputs": {"value": "hello", "html": "<b>hello</b>"},
                    "renderHTMLKey": "html", "path": path, "error": "too slow",
                    "metadata": {"seed": {"type": "string", "value": "1"}, "shape": vector},
                },
                "steps": [
                    step(invocation="retrieve", modelParams={"k": 3}, inputs={"q": "hi"},
                         outputs={"found": ["a", "b"]}, startTime="2026-01-05T10:00:00Z",
                         endTime="2026-01-05T10:00:00.200000Z"),
                    step(invocation="generate", modelParams={"temperature": 0.5}, inputs={"found": ["a", "b"]},
                         outputs={"value": "hello", "html": "<b>hello</b>"}, error="one warning",
                         startTime="2026-01-05T10:00:00.200000Z", endTime="2026-01-05T10:00:01.200000Z"),
                ],
                "case": case("greeting", "hi", "hello", scene.case_id),
                "evaluations": [
                    evaluation("tone", FIRST, **tone),
                    failed("overlap", FIRST, NO_ANSWER),
                    failed("complete", FIRST, NO_ANSWER),
                    evaluation("overlap", FIRST, evalValue=0.875 if numbers else "0.875"),
                ],
            },
            {
                "id": SECOND, "createdAt": ISO, "updatedAt": ISO, "caseId": UUID, "resultId": scene.result_id,
                "path": None, "error": None,
                "full": {
                    "pipelineRunId": SECOND, "pipelineId": pipeline_id, "organizationId": organization,
                    "startTime": ISO, "endTime": ISO, "cost": None, "elapsed": None, "feedback": None,
                    "lastInvocation": None, "inputs": {"q": "bye"}, "outputs": None, "renderHTMLKey": None,
                    "path": None, "error": None, "metadata": {},
                },
                "steps": [],
                "case": case("local", "bye", "goodbye", UUID),
                "evaluations": [
                    evaluation("tone", SECOND, isPending=True),
                    failed("overlap", SECOND, NO_CHECK),
                    failed("complete", SECOND, NO_JUDGE),
                ],
            },
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def around(hub: Hub, js: RealClient, scene: Scene) -> dict[str, str]:
    """What the answer refers to, from other calls."""
    js.call("v1.v1FeedbackPost", pipelineRunId=FIRST, score=0.5, recordedTime="2026-01-05T11:00:00.000Z")
    (pipeline,) = js.call("getPipelines", slug=scene.project["slug"])
    return {"golden": pipeline["goldenDatasetId"], "organization": pipeline["organizationId"]}


def test_node_gives_everything_with_values_as_text(js: RealClient, scene: Scene, around: dict[str, str]) -> None:
    found = js.call("getTestResult", scene.result_id)

    assert differences(found, expected(scene, numbers=False, **around)) == []


def test_python_gives_everything_with_values_as_numbers(py: RealClient, scene: Scene, around: dict[str, str]) -> None:
    found = py.call("get_test_result", scene.result_id)

    assert differences(found, expected(scene, numbers=True, **around)) == []


def test_an_old_python_client_gives_the_same(py24: RealClient, scene: Scene, around: dict[str, str]) -> None:
    found = py24.call("get_test_result", scene.result_id)

    assert differences(found, expected(scene, numbers=True, **around)) == []


def test_an_id_is_found_in_upper_case(js: RealClient, py: RealClient, scene: Scene) -> None:
    upper = scene.result_id.upper()

    assert js.call("getTestResult", upper)["id"] == scene.result_id
    assert py.call("get_test_result", upper)["id"] == scene.result_id
    assert js.call("getTestResultStatus", upper) == {"total": 7, "pending": 1, "failure": 4, "done": 2}


def test_the_result_of_the_page_has_something_of_everything(js: RealClient) -> None:
    found = js.call("getTestResult", "FACB6642-4725-4FAE-9323-634E72533C89")

    assert found["id"] == "facb6642-4725-4fae-9323-634e72533c89"
    assert {one["who"] for one in found["pipeline"]["evaluators"]} == {"AI", "HEURISTIC", "HUMAN"}
    assert {one["isPending"] for run in found["runs"] for one in run["evaluations"]} == {True, False}
    assert all(run["full"] and run["steps"] and run["case"] for run in found["runs"])


def test_local_evaluations_are_told_by_the_third_version_only(js: RealClient, py: RealClient, scene: Scene) -> None:
    second = js.call("getEvaluations", resultId=scene.result_id)
    third = py.call("v3.v3_evaluations_get", {"resultId": scene.result_id})["data"]

    assert [one["evaluatorId"] for one in second if one["evaluatorId"] is None] == []
    local = [one for one in third if one["evaluatorId"] is None]
    assert local == [
        {
            "id": UUID, "createdAt": local[0]["createdAt"], "updatedAt": local[0]["updatedAt"], "isPending": False,
            "isFiltered": False, "debug": {"response": "counted"}, "evaluatorId": None, "runId": FIRST,
            "evalLabel": "short", "evalValue": 0.25, "manualCreatedByEmail": None, "note": "", "name": "brevity",
            "comparisonRunId": None,
        }
    ]  # fmt: skip
    assert len(third) == len(second) + 1
