"""Submitting test results and reading them back, through the real clients."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.contract.clients import ClientError, RealClient
from tests.contract.conftest import Hub, gentrace_node
from tests.contract.matching import ISO, SECONDS, UUID, differences

pytestmark = pytest.mark.xdist_group("contract")

NOWHERE = "11111111-2222-4333-8444-555555555555"
NIGHTLY = {"name": "nightly", "metadata": {"prompt": {"type": "string", "value": "v7"}}}


@pytest.fixture
def project(hub: Hub, js: RealClient) -> dict[str, Any]:
    """With two cases, alpha and beta."""
    project = hub.project()
    cases = [{"name": name, "inputs": {"q": name}, "expectedOutputs": {"value": name}} for name in ("alpha", "beta")]
    js.call("createTestCases", pipelineSlug=project["slug"], testCases=cases)
    return project


def summary(result: dict[str, Any]) -> list[tuple[str, Any]]:
    """The name and the last output of each test run."""
    return [(run["case"]["name"], run["full"]["outputs"]) for run in result["runs"]]


def results_of(js: RealClient, project: dict[str, Any]) -> list[str]:
    return [one["id"] for one in js.call("getTestResults", project["slug"])]


# --- a client's own test runner ---------------------------------------------------------------------------------------


def run_js(js: RealClient, slug: str) -> Any:
    return js.call("runTest", slug, "hello", None, NIGHTLY)


def run_py(py: RealClient, slug: str) -> Any:
    return py.call("run_test", slug, "hello", context={"metadata": NIGHTLY["metadata"]}, result_name="nightly")


@pytest.mark.parametrize(("client", "run"), [("js", run_js), ("py", run_py)])
def test_a_test_is_run_over_the_golden_dataset(
    js: RealClient, py: RealClient, project: dict[str, Any], client: str, run: Callable[..., Any]
) -> None:
    given = run({"js": js, "py": py}[client], project["slug"])

    found = js.call("getTestResult", given["resultId"])
    assert (found["name"], found["metadata"]) == ("nightly", NIGHTLY["metadata"])
    assert summary(found) == [("alpha", {"value": "hello"}), ("beta", {"value": "hello"})]
    first = found["runs"][0]
    assert [(s["providerName"], s["invocation"], s["modelParams"], s["outputs"]) for s in first["steps"]] == [
        ("acme", "generate", {"temperature": 0}, {"value": "hello", "asked": {"q": "alpha"}}),
        ("acme", "tidy", {}, {"value": "hello"}),
    ]
    assert first["full"]["metadata"] == {
        "nightly": {"type": "boolean", "value": True},
        "model": {"type": "string", "value": "m-1"},
    }
    assert differences(first["id"], UUID) == []


def test_an_old_python_client_runs_tests(js: RealClient, py24: RealClient, project: dict[str, Any]) -> None:
    given = py24.call("run_test", project["slug"], "hello", context={"metadata": NIGHTLY["metadata"]})

    found = js.call("getTestResult", given["resultId"])
    assert found["metadata"] == NIGHTLY["metadata"]
    assert summary(found) == [("alpha", {"value": "hello"}), ("beta", {"value": "hello"})]


def test_a_test_is_run_over_the_cases_that_fit(js: RealClient, py: RealClient, project: dict[str, Any]) -> None:
    by_node = js.call("runTest", project["slug"], "hello", "alp")
    by_python = py.call("run_test", project["slug"], "hello", case_filter="bet")

    assert summary(js.call("getTestResult", by_node["resultId"])) == [("alpha", {"value": "hello"})]
    assert summary(js.call("getTestResult", by_python["resultId"])) == [("beta", {"value": "hello"})]


def test_a_test_is_run_over_a_dataset(js: RealClient, py: RealClient, project: dict[str, Any]) -> None:
    dataset = js.call("createDataset", name="Edge", pipelineSlug=project["slug"])["id"]
    js.call("createTestCase", datasetId=dataset, name="odd", inputs={"q": "odd"})

    by_node = js.call("runTestWithDataset", project["slug"], dataset, "hello")
    by_python = py.call("run_test", project["slug"], "hello", dataset_id=dataset)

    (run,) = js.call("getTestResult", by_node["resultId"])["runs"]
    assert (run["case"]["name"], run["case"]["datasetId"]) == ("odd", dataset)
    assert summary(js.call("getTestResult", by_python["resultId"])) == [("odd", {"value": "hello"})]


def test_a_test_without_cases_is_an_empty_result(hub: Hub, js: RealClient, py: RealClient) -> None:
    slug = hub.project()["slug"]

    given = js.call("runTest", slug, "hello")

    assert js.call("getTestResult", given["resultId"])["runs"] == []
    assert py.call("get_test_result", given["resultId"])["runs"] == []
    assert js.call("getTestResultStatus", given["resultId"]) == {"total": 0, "pending": 0, "failure": 0, "done": 0}


# --- runners ----------------------------------------------------------------------------------------------------------


def test_runners_are_submitted_and_the_same_again_is_one(
    js: RealClient, py: RealClient, project: dict[str, Any]
) -> None:
    by_node = js.call("runners", slug=project["slug"], output="hello", context=NIGHTLY)  # the driver submits twice
    by_python = py.call("runners", project["slug"], "hello", context={"metadata": NIGHTLY["metadata"]})

    assert results_of(js, project) == [by_python["resultId"], by_node["resultId"]]
    for given in (by_node, by_python):
        found = js.call("getTestResult", given["resultId"])
        assert [run["id"] for run in found["runs"]] == given["ids"]
        assert found["metadata"] == NIGHTLY["metadata"]


def test_runners_of_a_dataset_and_of_a_pipeline_by_id(js: RealClient, py: RealClient, project: dict[str, Any]) -> None:
    dataset = js.call("createDataset", name="Edge", pipelineSlug=project["slug"])["id"]
    js.call("createTestCase", datasetId=dataset, name="odd", inputs={"q": "odd"})

    for given in (
        js.call("runners", slug=project["slug"], dataset=dataset, output="hello"),
        py.call("runners", project["slug"], "hello", dataset=dataset),
    ):
        (run,) = js.call("getTestResult", given["resultId"])["runs"]
        assert run["case"]["name"] == "odd"
    given = js.call("runners", slug=project["slug"], pipelineId=project["uuid"], filter="beta", output="hello")
    assert [name for name, _ in summary(js.call("getTestResult", given["resultId"]))] == ["beta"]


def test_runners_are_added_to_a_result(js: RealClient, py: RealClient, project: dict[str, Any]) -> None:
    first = js.call("runners", slug=project["slug"], filter="alpha", output="first")

    second = js.call("runners", slug=project["slug"], filter="beta", output="second", update=first["resultId"])
    third = py.call("runners", project["slug"], "third", filter="beta", update=first["resultId"].upper())

    assert second["resultId"] == third["resultId"] == first["resultId"]
    found = js.call("getTestResult", first["resultId"])
    assert [run["id"] for run in found["runs"]] == [*first["ids"], *second["ids"], *third["ids"]]
    assert [run["full"]["outputs"]["value"] for run in found["runs"]] == ["first", "second", "third"]


def test_an_error_of_a_run_is_kept(hub: Hub, js: RealClient, py: RealClient, project: dict[str, Any]) -> None:
    first = js.call("runners", slug=project["slug"], filter="alpha", output="fine")

    given = py.call("runners", project["slug"], "", filter="beta", update=first["resultId"], fails="It broke.")

    _, failed = js.call("getTestResult", first["resultId"])["runs"]
    assert (failed["id"], failed["error"], failed["full"]["error"]) == (given["ids"][0], "It broke.", "It broke.")
    assert [step["error"] for step in failed["steps"]] == ["It broke."]
    run = hub.api("GET", f"/runs/{first['resultId']}/")
    assert (run["counts"]["results"], run["counts"]["errors"]) == (2, 1)


# --- outputs only -----------------------------------------------------------------------------------------------------


def test_outputs_are_submitted_for_cases(
    js: RealClient, py: RealClient, py24: RealClient, project: dict[str, Any]
) -> None:
    cases = js.call("getTestCases", project["slug"])
    outputs = [{"value": "one"}, {"value": "two"}]

    by_node = js.call("submitTestResult", project["slug"], cases, outputs, NIGHTLY)
    by_python = py.call("submit_test_result", project["slug"], cases, outputs, result_name="nightly")
    by_old = py24.call("submit_test_result", project["slug"], cases, outputs)

    for given in (by_node, by_python, by_old):
        found = js.call("getTestResult", given["resultId"])
        assert summary(found) == [("alpha", {"value": "one"}), ("beta", {"value": "two"})]
        assert [run["full"]["inputs"] for run in found["runs"]] == [{"q": "alpha"}, {"q": "beta"}]
        assert [run["steps"] for run in found["runs"]] == [[], []]
    assert js.call("getTestResult", by_python["resultId"])["name"] == "nightly"


def test_branch_commit_and_name_come_from_init(js: RealClient, py: RealClient, project: dict[str, Any]) -> None:
    cases = js.call("getTestCases", project["slug"])
    py.call("init", branch="feature/x", commit="9f3a2c1", result_name="from init")
    js.call("init", branch="feature/y", commit="8e2b1d0", resultName="from init")

    by_python = py.call("submit_test_result", project["slug"], cases, [{}, {}])
    by_node = js.call("submitTestResult", project["slug"], cases, [{}, {}])

    told = [js.call("getTestResult", given["resultId"]) for given in (by_python, by_node)]
    assert [(one["branch"], one["commit"], one["name"]) for one in told] == [
        ("feature/x", "9f3a2c1", "from init"),
        ("feature/y", "8e2b1d0", "from init"),
    ]
    for client in (js, py):
        client.call("deinit")
        client.call("init")


def test_a_case_that_is_asked_again_gets_another_run(js: RealClient, project: dict[str, Any]) -> None:
    first, second = js.call("getTestCases", project["slug"])
    given = js.call("submitTestResult", project["slug"], [first, first], [{"value": "1"}, {"value": "2"}])

    updated = js.call("updateTestResult", given["resultId"], [second, first], [{"value": "3"}, {"value": "4"}])

    assert updated == {"resultId": given["resultId"]}
    found = js.call("getTestResult", given["resultId"])
    assert [(name, output["value"]) for name, output in summary(found)] == [
        ("alpha", "1"), ("alpha", "2"), ("beta", "3"), ("alpha", "4"),
    ]  # fmt: skip
    assert len({run["id"] for run in found["runs"]}) == 4


def test_local_data_gets_a_case_that_is_found_again(js: RealClient, project: dict[str, Any]) -> None:
    item = {"name": "mine", "inputs": {"q": "x"}, "expectedOutputs": {"value": "y"}, "stepRuns": []}
    body = {"pipelineSlug": project["slug"], "collectionMethod": "manual", "testRuns": [item]}

    first, second = js.call("v1.v1TestResultPost", body), js.call("v1.v1TestResultPost", body)

    (one,), (other,) = (js.call("getTestResult", given["resultId"])["runs"] for given in (first, second))
    assert first != second
    assert one["caseId"] == other["caseId"]
    assert (one["case"]["name"], one["case"]["expectedOutputs"]) == ("mine", {"value": "y"})
    assert "mine" not in [case["name"] for case in js.call("getTestCases", project["slug"])]


def test_a_named_case_wins_over_what_comes_with_it(js: RealClient, project: dict[str, Any]) -> None:
    case, _ = js.call("getTestCases", project["slug"])
    item = {"caseId": case["id"].upper(), "name": "another name", "inputs": {"q": "other"}, "outputs": {"value": "z"}}

    given = js.call("v1.v1TestResultSimplePost", {"pipelineSlug": project["slug"], "testRuns": [item]})

    (run,) = js.call("getTestResult", given["resultId"])["runs"]
    assert (run["caseId"], run["case"]["name"], run["full"]["inputs"]) == (case["id"], "alpha", {"q": "other"})


# --- lists, status, filters -------------------------------------------------------------------------------------------


def test_results_are_listed_newest_first(
    js: RealClient, py: RealClient, py24: RealClient, project: dict[str, Any]
) -> None:
    older, newer = (js.call("runTest", project["slug"], "x", None, {"name": name})["resultId"] for name in ("a", "b"))

    found = js.call("getTestResults", project["slug"])

    wanted = {
        "id": newer, "createdAt": ISO, "updatedAt": ISO, "pipelineId": project["uuid"], "branch": None, "commit": None,
        "name": "b", "metadata": {},
    }  # fmt: skip
    assert differences(found, [wanted, {**wanted, "id": older, "name": "a"}]) == []
    assert py.call("get_test_results", project["slug"]) == found
    assert py24.call("get_test_results", project["slug"]) == found


def test_a_list_needs_a_pipeline_that_exists(hub: Hub, js: RealClient, py: RealClient) -> None:
    with pytest.raises(ClientError) as unknown:
        py.call("get_test_results", "no-such-pipeline")

    assert unknown.value.status == 404
    missing = hub.http.get("/api/v1/test-result")
    assert (missing.status_code, missing.json()["message"]) == (400, "pipelineSlug is missing.")


def test_results_of_the_second_version(
    js: RealClient, py: RealClient, py24: RealClient, project: dict[str, Any]
) -> None:
    given = js.call("runTest", project["slug"], "x", None, {"name": "a"})

    (found,) = js.call("v2.v2TestResultsGet", None, project["slug"])["data"]

    wanted = {
        "id": given["resultId"], "createdAt": SECONDS, "updatedAt": SECONDS, "archivedAt": None,
        "pipelineId": project["uuid"], "branch": None, "commit": None, "name": "a", "metadata": {},
    }  # fmt: skip
    assert differences(found, wanted) == []
    assert py.call("v2.v2_test_results_get", {"pipelineId": project["uuid"]})["data"] == [found]


METADATA = {
    "first": {"prompt": {"type": "string", "value": "v7 of May"}, "a.b": {"type": "string", "value": "7"}},
    "second": {"prompt": {"type": "string", "value": "v8"}, "a.b": {"type": "string", "value": "12"},
               "draft": {"type": "boolean", "value": True}},
    "third": {"page": {"type": "url", "url": "https://wiki.example/v9", "text": "v9"},
              "contains": {"type": "string", "value": "odd__key"}, "a.b": {"type": "number", "value": 100}},
}  # fmt: skip


@pytest.fixture(scope="module")
def described(hub: Hub, js: RealClient) -> dict[str, Any]:
    """A pipeline with results that have metadata."""
    project = hub.project()
    for name, metadata in METADATA.items():
        js.call("runTest", project["slug"], "x", None, {"name": name, "metadata": metadata})
    return project


@pytest.mark.parametrize(
    ("key", "operator", "value", "fits"),
    [
        ("prompt", "exists", True, ["second", "first"]),
        ("prompt", "exists", False, ["third"]),
        ("prompt", "contains", "MAY", ["first"]),
        ("prompt", "equals", "v8", ["second"]),
        ("prompt", "gt", "v7z", ["second"]),
        ("page", "contains", "wiki.example", ["third"]),
        ("page", "equals", "https://wiki.example/v9", ["third"]),
        ("draft", "equals", "true", ["second"]),
        ("a.b", "gt", 7, ["third", "second"]),
        ("a.b", "gte", 7.0, ["third", "second", "first"]),
        ("a.b", "lt", 12, ["first"]),
        ("a.b", "lte", "1.2e1", ["second", "first"]),
        ("a.b", "equals", 100, ["third"]),
        ("contains", "equals", "odd__key", ["third"]),
        ("no__such__key", "exists", True, []),
        ("0", "equals", "1", []),
    ],
)
def test_deep_filters_on_metadata_in_both_spellings(
    hub: Hub, js: RealClient, described: dict[str, Any], key: str, operator: str, value: Any, fits: list[str]
) -> None:
    dotted = js.call("v2.v2TestResultsGet", None, described["slug"], None, {key: {operator: value}})["data"]
    text = str(value).lower() if isinstance(value, bool) else str(value)
    query = {"pipelineId": described["uuid"], f"metadata[{key}][{operator}]": text}
    bracketed = hub.http.get("/api/v2/test-results", params=query).json()["data"]

    assert [one["name"] for one in dotted] == fits
    assert [one["name"] for one in bracketed] == fits


def test_deep_filters_on_the_time_in_both_spellings(hub: Hub, js: RealClient, described: dict[str, Any]) -> None:
    third, second, first = js.call("v2.v2TestResultsGet", described["uuid"])["data"]
    at = second["createdAt"]

    def dotted(**conditions: Any) -> list[str]:
        found = js.call("v2.v2TestResultsGet", described["uuid"], None, conditions)["data"]
        return [one["name"] for one in found]

    assert dotted(gt=at) == ["third"]
    assert dotted(gte=at) == ["third", "second"]
    assert dotted(lt=at, gt=first["createdAt"] - 1) == ["first"]
    assert dotted(lte=at) == ["second", "first"]
    query = {"pipelineSlug": described["slug"], "createdAt[gt]": str(at), "createdAt[lte]": str(third["createdAt"])}
    bracketed = hub.http.get("/api/v2/test-results", params=query).json()["data"]
    assert [one["name"] for one in bracketed] == ["third"]


def test_metadata_of_other_types_is_kept_and_told_to_all(
    js: RealClient, py: RealClient, described: dict[str, Any]
) -> None:
    by_node, by_python = js.call("getTestResults", described["slug"]), py.call("get_test_results", described["slug"])

    assert by_node[0]["metadata"] == METADATA["third"]
    assert by_python[0]["metadata"] == {**METADATA["third"], "a.b": {"type": "string", "value": "100"}}


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "string"},
        {"type": "string", "value": 7},
        {"type": "url", "url": "https://x.example"},
        {"type": "boolean", "value": "true"},
        {"value": "x"},
        {"type": 7},
        "text",
        None,
    ],
)
def test_malformed_metadata_is_refused(js: RealClient, project: dict[str, Any], entry: Any) -> None:
    with pytest.raises(ClientError) as refused:
        js.call("runTest", project["slug"], "x", None, {"metadata": {"key": entry}})

    assert refused.value.status == 400
    assert results_of(js, project) == []


# --- all or nothing, once ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        {"caseId": NOWHERE, "inputs": {}},
        {"caseId": "no id", "inputs": {}},
        {"inputs": {}},
        {"name": "x", "inputs": []},
        {"name": "local", "inputs": {}, "outputs": "text"},
        {"name": "local", "inputs": {}, "id": "no uuid"},
        {"name": "local", "inputs": {}, "path": [{"type": "folder", "name": "x"}]},
        {"name": "local", "inputs": {}, "evaluations": [{"name": "tone"}]},
        {"name": "local", "inputs": {}, "evaluations": [{"name": "tone", "value": "high"}]},
    ],
)
def test_one_bad_item_and_nothing_is_kept(
    hub: Hub, js: RealClient, project: dict[str, Any], bad: dict[str, Any]
) -> None:
    good = {"name": "never kept", "inputs": {"q": 1}, "outputs": {"value": 1}, "id": str(uuid.uuid4())}

    with pytest.raises(ClientError) as refused:
        js.call("v1.v1TestResultSimplePost", {"pipelineSlug": project["slug"], "testRuns": [good, bad]})

    assert refused.value.status == 400
    assert refused.value.body["message"].startswith("testRuns[1]")
    assert results_of(js, project) == []
    assert hub.api("GET", f"/cases/?project={project['slug']}&q=never")["items"] == []


def test_a_bad_item_adds_nothing_to_a_result(js: RealClient, project: dict[str, Any]) -> None:
    given = js.call("runTest", project["slug"], "x")

    with pytest.raises(ClientError):
        js.call("v1.v1TestResultIdPost", given["resultId"], {
            "testRuns": [{"name": "good", "inputs": {}, "stepRuns": []}, {"caseId": NOWHERE, "stepRuns": []}],
        })  # fmt: skip

    assert len(js.call("getTestResult", given["resultId"])["runs"]) == 2


def test_a_run_belongs_to_one_result(js: RealClient, project: dict[str, Any]) -> None:
    ident = str(uuid.uuid4())
    item = {"id": ident, "name": "local", "inputs": {}}
    js.call("v1.v1TestResultSimplePost", {"pipelineSlug": project["slug"], "testRuns": [item]})
    other = {"id": str(uuid.uuid4()), "name": "other", "inputs": {}}

    with pytest.raises(ClientError) as refused:
        js.call("v1.v1TestResultSimplePost", {"pipelineSlug": project["slug"], "testRuns": [item, other]})

    assert (refused.value.status, refused.value.body["message"]) == (
        400,
        "testRuns[0], id: This id belongs to a result of another run.",
    )


def test_twenty_clients_at_once(hub: Hub, js: RealClient, project: dict[str, Any]) -> None:
    """Each submits a result of its own and one that all of them submit."""
    shared = [{"id": str(uuid.uuid4()), "name": f"shared {n}", "inputs": {"n": n}, "stepRuns": []} for n in range(3)]
    clients = [gentrace_node(hub) for _ in range(20)]
    try:
        for n, client in enumerate(clients):
            own = [{"id": str(uuid.uuid4()), "name": f"own {n}", "inputs": {"n": n}, "stepRuns": []}]
            for runs in (own, shared):
                client.send("v1.v1TestResultPost", {"pipelineSlug": project["slug"], "testRuns": runs})
        given = [(client.receive()["resultId"], client.receive()["resultId"]) for client in clients]
    finally:
        for client in clients:
            client.stop()

    own_ids, shared_ids = {own for own, _ in given}, {shared for _, shared in given}
    assert (len(own_ids), len(shared_ids)) == (20, 1)
    assert set(results_of(js, project)) == own_ids | shared_ids
    assert len(js.call("getTestResult", shared_ids.pop())["runs"]) == 3


def test_many_threads_add_to_one_result(hub: Hub, js: RealClient, project: dict[str, Any]) -> None:
    given = js.call("runTest", project["slug"], "x")
    (case, _) = js.call("getTestCases", project["slug"])
    item = {"caseId": case["id"], "inputs": {"q": "again"}, "outputs": {"value": "again"}}

    def add(n: int) -> int:
        path = f"/api/v1/test-result-simple/{given['resultId']}"
        return hub.http.post(path, json={"testRuns": [item]}).status_code

    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(add, range(20)))

    assert set(statuses) == {200}
    assert len(js.call("getTestResult", given["resultId"])["runs"]) == 22


def test_a_thousand_runs_go_in_and_come_out(hub: Hub, js: RealClient, project: dict[str, Any]) -> None:
    step = {"providerName": "acme", "invocation": "generate", "modelParams": {}, "inputs": {"q": "x" * 400},
            "outputs": {"value": "y" * 400}, "elapsedTime": 5, "startTime": "2026-01-05T10:00:00.000Z",
            "endTime": "2026-01-05T10:00:00.005Z"}  # fmt: skip
    runs = [
        {"id": str(uuid.uuid4()), "name": f"case {n}", "inputs": {"n": n}, "stepRuns": [step] * 5} for n in range(1000)
    ]

    given = js.call("v1.v1TestResultPost", {"pipelineSlug": project["slug"], "testRuns": runs})

    found = js.call("getTestResult", given["resultId"])
    assert [run["id"] for run in found["runs"]] == [run["id"] for run in runs]
    assert {len(run["steps"]) for run in found["runs"]} == {5}


def test_remote_evaluations_are_given_by_the_evaluators_own_check(
    hub: Hub, js: RealClient, py24: RealClient, project: dict[str, Any]
) -> None:
    contains = hub.evaluator(project, name="says it", who="heuristic", value_type="percentage", threshold=0.5,
                             definition={"heuristic": "contains", "values": ["alpha"]})  # fmt: skip
    cases = js.call("getTestCases", project["slug"])
    runs = [{"caseId": case["id"], "inputs": {}, "outputs": {"output": f"It is {case['name']}."}} for case in cases]

    without = js.call("v1.v1TestResultSimplePost", {"pipelineSlug": project["slug"], "testRuns": runs})
    body = {"pipelineSlug": project["slug"], "testRuns": runs, "triggerRemoteEvals": True}
    given = py24.call("core.v1_test_result_simple_post", body)
    until = time.monotonic() + 30
    while js.call("getTestResultStatus", given["resultId"])["pending"]:
        assert time.monotonic() < until, "the worker did not judge"
        time.sleep(0.3)

    judged = [run["evaluations"] for run in js.call("getTestResult", given["resultId"])["runs"]]
    assert [[(one["evaluatorId"], one["evalValue"]) for one in of_run] for of_run in judged] == [
        [(contains["uuid"], "1")],
        [(contains["uuid"], "0")],
    ]
    assert js.call("getTestResultStatus", without["resultId"])["total"] == 0
    run = hub.api("GET", f"/runs/{given['resultId']}/")
    assert (run["counts"]["passed"], run["counts"]["failed"]) == (1, 1)
    assert py24.call("core.v1_test_result_status_get", {"id": given["resultId"]}) == {
        "total": 2, "pending": 0, "failure": 0, "done": 2,
    }  # fmt: skip


# --- as everybody else sees it ----------------------------------------------------------------------------------------


def test_what_arrives_is_compared_with_the_last_result_over_the_same_cases(
    hub: Hub, js: RealClient, py: RealClient, project: dict[str, Any]
) -> None:
    check = hub.evaluator(project, name="right", who="heuristic", value_type="percentage", threshold=0.5)["uuid"]
    first, second = js.call("runTest", project["slug"], "x"), py.call("run_test", project["slug"], "y")
    js.call("runTest", project["slug"], "z", "alp")
    third = js.call("runTest", project["slug"], "z")
    for given, values in ((first, (1, 1)), (second, (1, 0)), (third, (1, 1))):
        runs = js.call("getTestResult", given["resultId"])["runs"]
        js.call("bulkCreateEvaluations", [
            {"runId": run["id"], "evaluatorId": check, "evalValue": value}
            for run, value in zip(runs, values, strict=True)
        ])  # fmt: skip

    pages = [hub.signed_in("tom").get(f"/runs/{given['resultId']}/").text for given in (first, second, third)]

    assert ["no configuration to compare by" in text for text in pages] == [True, False, False]
    assert [re.findall(r"Against #(\d)", text) for text in pages] == [[], ["1"], ["2"]]
    assert "−50.0" in pages[1]
    assert "+50.0" in pages[2]


def test_what_arrives_is_a_normal_run(hub: Hub, js: RealClient, project: dict[str, Any]) -> None:
    given = js.call("runTest", project["slug"], "hello", None, NIGHTLY)

    (run,) = hub.api("GET", f"/runs/?project={project['slug']}")["items"]
    page = hub.signed_in("tom").get(f"/runs/?project={project['slug']}").text

    assert (run["id"], run["name"], run["status"], run["via"]) == (
        given["resultId"],
        "nightly",
        "completed",
        "gentrace",
    )
    assert run["counts"]["results"] == 2
    assert "nightly" in page
