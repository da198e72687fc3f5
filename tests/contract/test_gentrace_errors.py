"""What is refused, with which status: through the clients, and in the raw for what no client would send."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.contract.clients import ClientError, RealClient
from tests.contract.conftest import Hub, gentrace_node, gentrace_python
from tests.contract.matching import differences

pytestmark = pytest.mark.xdist_group("contract")

NOWHERE = "11111111-2222-4333-8444-555555555555"
TOO_LONG = "x" * 5000


@pytest.fixture(scope="module")
def project(hub: Hub) -> dict[str, Any]:
    project = hub.project()
    hub.evaluator(project, name="overlap", who="heuristic", value_type="percentage")
    return project


# --- the key and the address ------------------------------------------------------------------------------------------


def test_a_wrong_key_is_refused(hub: Hub) -> None:
    node, python = gentrace_node(hub, KEY="ehb_wrong"), gentrace_python(hub, "gentrace-0.42", KEY="ehb_wrong")
    try:
        for call in (("getPipelines",), ("getTestResult", NOWHERE), ("createDataset", {"name": "x"})):
            with pytest.raises(ClientError) as refused:
                node.call(*call)
            assert refused.value.status == 401
            assert set(refused.value.body) == {"message", "errors"}
        with pytest.raises(ClientError) as refused_python:
            python.call("get_pipelines")
        assert refused_python.value.status == 401
        assert "token" in refused_python.value.body["message"]
    finally:
        node.stop()
        python.stop()


def test_no_key_is_refused(hub: Hub) -> None:
    answer = hub.http.get("/api/v1/pipelines", headers={"Authorization": ""})

    assert (answer.status_code, answer.headers["Content-Type"]) == (401, "application/json")


def test_a_base_url_with_a_slash_at_its_end_works(hub: Hub, project: dict[str, Any]) -> None:
    host = f"{hub.base_url}/api/"
    node, python = gentrace_node(hub, HOST=host), gentrace_python(hub, "gentrace-0.42", HOST=host)
    try:
        made = node.call("createTestCase", pipelineSlug=project["slug"], name="slashed", inputs={})
        (found,) = python.call("get_test_cases", pipeline_slug=project["slug"])
        python.call("delete_test_case", made)
    finally:
        node.stop()
        python.stop()

    assert found["id"] == made


def test_answers_have_the_one_type_that_python_takes(hub: Hub, project: dict[str, Any]) -> None:
    for path in ("/api/v1/pipelines", "/api/v2/datasets", f"/api/v1/test-result/{NOWHERE}", "/api/v1/nothing"):
        assert hub.http.get(path).headers["Content-Type"] == "application/json"


# --- what does not exist ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ident", [NOWHERE, NOWHERE.upper(), "no-id", "%2e%2e", "1", "%E2%80%8B", "%00", "a" * 300])
def test_unknown_ids_are_not_found(hub: Hub, ident: str) -> None:
    found = {
        path: hub.http.request(method, f"/api/{path}", json={})
        for method, path in (
            ("GET", f"v1/test-result/{ident}"),
            ("POST", f"v1/test-result/{ident}"),
            ("POST", f"v1/test-result-simple/{ident}"),
            ("GET", f"v1/test-result/status?id={ident}"),
            ("GET", f"v2/evaluations?resultId={ident}"),
            ("GET", f"v3/evaluations?resultId={ident}"),
            ("GET", f"v2/test-cases/{ident}"),
            ("DELETE", f"v2/test-cases/{ident}"),
            ("GET", f"v2/test-cases?datasetId={ident}"),
            ("GET", f"v1/test-case?pipelineId={ident}"),
            ("GET", f"v2/datasets/{ident}"),
            ("POST", f"v2/datasets/{ident}"),
            ("GET", f"v2/datasets?pipelineId={ident}"),
            ("GET", f"v2/runs/{ident}"),
            ("GET", f"v2/feedback/{ident}"),
            ("PATCH", f"v2/feedback/{ident}"),
            ("GET", f"v2/folders/{ident}"),
            ("GET", f"v2/evaluators?pipelineId={ident}"),
        )
    }

    wrong = 400 if ident == "%00" else 404
    assert {path: answer.status_code for path, answer in found.items() if answer.status_code not in (wrong, 404)} == {}
    assert [path for path, answer in found.items() if set(answer.json()) != {"message", "errors"}] == []


@pytest.mark.parametrize(
    "path",
    ["v1/test-result/status", "v2/evaluations", "v3/evaluations", "v1/test-result", "v1/test-case", "v2/test-cases"],
)
def test_a_parameter_that_is_missing_is_a_malformed_request(hub: Hub, path: str) -> None:
    assert hub.http.get(f"/api/{path}").status_code == 400


def test_addresses_that_do_not_exist_say_so(hub: Hub) -> None:
    answers = {
        (method, path): hub.http.request(method, f"/api/{path}").status_code
        for method, path in (
            ("GET", "v1/nothing"), ("POST", "v4/pipelines"), ("GET", "v1/pipelines/"), ("DELETE", "v1/pipelines"),
            ("PUT", "v1/test-case"), ("POST", "v1/pipelines"), ("PATCH", "v1/test-result"),
        )
    }  # fmt: skip

    assert answers == {
        ("GET", "v1/nothing"): 404,
        ("POST", "v4/pipelines"): 404,
        ("GET", "v1/pipelines/"): 404,
        ("DELETE", "v1/pipelines"): 405,
        ("PUT", "v1/test-case"): 405,
        ("POST", "v1/pipelines"): 405,
        ("PATCH", "v1/test-result"): 405,
    }


@pytest.mark.parametrize(
    "query",
    ["createdAt.gt=soon", "createdAt.gt=1_0", "createdAt.gt=1e400", "createdAt.gt=nan", "createdAt.near=1",
     "createdAt[gt]=999999999999999", "createdAt.gt=-99999999999999", "createdAt.a.gt=1", "createdAt=x",
     "createdAt[gt=1", "metadata[a][]=1",
     "metadata.a.near=1", "metadata.exists=1", "metadata.a.gt=%00", "metadata.%00.equals=x", "pipelineSlug=%00"],
)  # fmt: skip
def test_filters_that_make_no_sense_are_refused(hub: Hub, query: str) -> None:
    answer = hub.http.get(f"/api/v2/test-results?{query}")

    assert (answer.status_code, set(answer.json())) == (400, {"message", "errors"})


@pytest.mark.parametrize(
    "query", ["slug.near=x", "slug.mode=loud", "slug[in][]=x", "slug[contains][x]=1", "slug.contains=%00"]
)
def test_slug_filters_that_make_no_sense_are_refused(hub: Hub, query: str) -> None:
    assert hub.http.get(f"/api/v2/pipelines?{query}").status_code == 400


@pytest.mark.parametrize(
    "query",
    ["metadata.a__b.gt=1", "metadata.x'y.equals=1", "metadata.isnull.equals=true", "metadata.%F0%9F%98%80.exists=1",
     "metadata.a.equals=", "slug.contains=x", "x[y]=z", "metadata.a.contains=%25%5C_"],
)  # fmt: skip
def test_odd_filters_are_only_odd(hub: Hub, query: str) -> None:
    assert hub.http.get(f"/api/v2/test-results?{query}").status_code == 200


def test_a_filter_deeper_than_any_is_refused(hub: Hub) -> None:
    assert hub.http.get("/api/v2/test-results?metadata[a][b][c].gt=1").status_code == 400


def test_more_parameters_than_anybody_needs_are_refused(hub: Hub) -> None:
    answer = hub.http.get("/api/v2/test-results?" + "&".join(["a"] * 1100))

    assert (answer.status_code, set(answer.json())) == (400, {"message", "errors"})


# --- bodies -----------------------------------------------------------------------------------------------------------

BODIES = {  # a good one for each address that takes one; PIPELINE, RUN, EVALUATOR are filled in
    "POST v1/test-case": {"pipelineSlug": "PIPELINE", "name": "x", "inputs": {"a": 1}},
    "POST v1/test-result-simple": {
        "pipelineSlug": "PIPELINE", "name": "x", "branch": "x", "commit": "x",
        "testRuns": [{"name": "x", "inputs": {"a": 1}, "outputs": {"b": 1}}],
    },
    "POST v1/test-result": {
        "pipelineSlug": "PIPELINE", "collectionMethod": "manual", "metadata": {"a": {"type": "string", "value": "x"}},
        "testRuns": [{
            "name": "x", "inputs": {"a": 1}, "expectedOutputs": {"a": 1}, "error": "x",
            "path": [{"type": "suite", "name": "x"}], "metadata": {"b": {"type": "other", "value": "x"}},
            "evaluations": [{"name": "x", "value": 1, "label": "x", "debug": {"response": "x"}}],
            "stepRuns": [{
                "providerName": "x", "invocation": "x", "modelParams": {"a": 1}, "inputs": {"a": 1},
                "outputs": {"a": 1}, "elapsedTime": 1, "startTime": "2026-01-05T10:00:00Z",
                "endTime": "2026-01-05T10:00:01Z", "error": "x", "context": {"render": {"type": "html", "key": "x"}},
            }],
        }],
    },
    "POST v1/run": {
        "id": "NEW", "slug": "PIPELINE", "collectionMethod": "runner", "error": "x",
        "metadata": {"a": {"type": "url", "url": "x", "text": "x"}},
        "stepRuns": [{"providerName": "x", "invocation": "x", "inputs": {}, "outputs": {"a": 1}, "elapsedTime": 1}],
    },
    "POST v2/datasets": {"pipelineSlug": "PIPELINE", "name": "x", "description": "x", "isGolden": False},
    "POST v1/feedback": {"pipelineRunId": "RUN", "score": 1, "recordedTime": "2026-01-05T10:00:00Z", "details": "x"},
    "POST v2/feedback": {"pipelineRunId": "RUN", "score": 1, "recordedTime": 1767607200, "details": "x"},
    "POST v2/evaluations/bulk": {"data": [{"evaluatorId": "EVALUATOR", "runId": "RUN", "evalValue": 1, "note": "x"}]},
}  # fmt: skip

TAKEN = "99999999-2222-4333-8444-555555555555"  # from here on: some addresses keep what they get
WEIRD: list[Any] = [
    "a\0b", "\ud800", TOO_LONG, "", " ", "‮x", "é", "null", "\n", -1, 0, 1.5, 1e308, -1e308, 2**63, 2**64 - 1,
    True, False, None, [], {}, [[]], {"": {}}, {"type": []}, [1, "x", None], ["x"] * 300, {"a\0": 1}, {"\ud800": 1},
    "2026-13-45T99:99:99Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-05T10:00:00",
    TAKEN, TAKEN.upper(), "id", "٣", "1_000",
]  # fmt: skip


def places_in(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [place] if place else []
    if isinstance(value, dict):
        found += [inner for key, item in value.items() for inner in places_in(item, (*place, key))]
    if isinstance(value, list):
        found += [inner for n, item in enumerate(value) for inner in places_in(item, (*place, n))]
    return found


def put(value: Any, place: tuple[Any, ...], weird: Any) -> Any:
    if not place:
        return weird
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = put(value[place[0]], place[1:], weird)
    return copy


@pytest.fixture(scope="module")
def filled(hub: Hub, project: dict[str, Any]) -> dict[str, str]:
    run_id = str(uuid.uuid4())
    body = {"pipelineSlug": project["slug"], "testRuns": [{"id": run_id, "name": "x", "inputs": {}}]}
    assert hub.http.post("/api/v1/test-result-simple", json=body).status_code == 200
    (evaluator,) = hub.http.get(f"/api/v2/evaluators?pipelineSlug={project['slug']}").json()["data"]
    return {"PIPELINE": project["slug"], "RUN": run_id, "EVALUATOR": evaluator["id"]}


def text_of(body: Any, filled: dict[str, str]) -> bytes:
    text = json.dumps(body)
    for name, value in {**filled, "NEW": str(uuid.uuid4())}.items():
        text = text.replace(f'"{name}"', f'"{value}"')
    return text.encode()


@pytest.mark.parametrize("address", BODIES)
def test_no_value_anywhere_in_a_body_is_an_error_of_ours(hub: Hub, filled: dict[str, str], address: str) -> None:
    method, path = address.split()
    good = hub.http.request(method, f"/api/{path}", content=text_of(BODIES[address], filled))
    assert good.status_code == 200, good.text

    tried = [  # every third value for each place, another third for the next
        (place, weird, text_of(put(BODIES[address], place, weird), filled))
        for n, place in enumerate(places_in(BODIES[address]))
        for weird in WEIRD[n % 3 :: 3]
    ]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: hub.http.request(method, f"/api/{path}", content=one[2]), tried))
    answers = [(place, weird, answer) for (place, weird, _), answer in zip(tried, found, strict=True)]

    wrong = [
        (place, weird, answer.status_code) for place, weird, answer in answers if answer.status_code not in (200, 400)
    ]
    assert wrong == []
    assert all(set(answer.json()) == {"message", "errors"} for *_, answer in answers if answer.status_code == 400)


def test_everything_that_was_taken_can_be_read_by_the_strictest_client(
    hub: Hub, js: RealClient, py: RealClient, project: dict[str, Any], filled: dict[str, str]
) -> None:
    """After all that: no row makes an answer that a client dies on."""
    for n in range(21):
        item = {"name": f"case {n}", "inputs": {"q": n}, "outputs": {"value": n}}
        sent = hub.http.post("/api/v1/test-result-simple", json={"pipelineSlug": project["slug"], "testRuns": [item]})
        assert sent.status_code == 200, sent.text
    cases = [{"name": f"golden {n}", "inputs": {"q": n}} for n in range(6)]
    made = hub.http.post("/api/v1/test-case", json={"pipelineSlug": project["slug"], "testCases": cases})
    assert made.status_code == 200, made.text

    results = py.call("get_test_results", project["slug"])
    assert len(results) > 20
    for result in results[::4]:
        expanded = py.call("get_test_result", result["id"])
        assert differences(expanded["id"], result["id"]) == []
        for run in expanded["runs"]:
            py.call("get_run", run["id"])
        assert py.call("v3.v3_evaluations_get", {"resultId": result["id"]})["data"] is not None
    datasets = py.call("get_datasets", pipeline_slug=project["slug"])["data"]
    assert sum(len(py.call("get_test_cases", dataset_id=dataset["id"])) for dataset in datasets) > 5


@pytest.mark.parametrize(
    "raw",
    [b"", b" ", b"{", b"[]", b'"text"', b"null", b"7", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":1e400}', b"\xff\xfe{}",
     b"\xef\xbb\xbf{}", b'{"a":' * 100_000, b"[" * 5_000 + b"]" * 5_000, b'{"a":' + b"9" * 5_000 + b"}",
     b'{"a":1e999999999}', b"{'a':1}", b'{"a":"\\u0000"}', b'{"a":"\\ud800"}', b"\0"],
)  # fmt: skip
def test_what_is_no_json_of_ours_is_refused(hub: Hub, raw: bytes) -> None:
    for path in ("v1/test-result-simple", "v1/run", "v2/evaluations/bulk"):
        answer = hub.http.post(f"/api/{path}", content=raw)

        assert (answer.status_code, set(answer.json())) == (400, {"message", "errors"})


def test_a_body_that_is_too_large_is_refused(hub: Hub) -> None:
    answer = hub.http.post("/api/v1/run", content=b" " * (65 * 1024 * 1024))

    assert (answer.status_code, answer.json()["message"]) == (413, "The request is larger than 64 MiB.")


def test_nothing_of_all_this_was_an_error_of_ours(hub: Hub) -> None:
    lines = [json.loads(line) for line in hub.log.read_text().splitlines() if line.startswith("{")]

    assert [line for line in lines if line.get("level") in ("ERROR", "CRITICAL") or line.get("status", 0) >= 500] == []
    assert len(lines) > 100
