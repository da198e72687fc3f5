"""Production calls with their feedback, and files, through the real clients."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.contract.clients import ClientError, RealClient
from tests.contract.conftest import Hub
from tests.contract.matching import SECONDS, UUID, Between, differences

pytestmark = pytest.mark.xdist_group("contract")

NOWHERE = "11111111-2222-4333-8444-555555555555"
MILLISECONDS = Between(0, 60_000)


@pytest.fixture
def project(hub: Hub) -> dict[str, Any]:
    return hub.project()


def step(order: int, **values: Any) -> dict[str, Any]:
    return {
        "stepRunId": UUID, "stepId": UUID, "providerName": "undeclared", "invocation": "undeclared", "order": order,
        "modelParams": {}, "elapsedTime": MILLISECONDS, "startTime": SECONDS, "endTime": SECONDS, "cost": 0,
        "error": None, **values,
    }  # fmt: skip


def call_of(run_id: str, argument: str = "text") -> dict[str, Any]:
    """The RunV2 of the drivers' production call."""
    return {
        "id": run_id,
        "stepRuns": [
            step(0, providerName="acme", invocation="generate", modelParams={"temperature": 0.5},
                 inputs={argument: "hello"}, outputs={"value": "HELLO", "html": "<b>hi</b>"}),
            step(1, inputs={"a": 1}, outputs={"b": 2}),
        ],
    }  # fmt: skip


def test_node_submits_a_call_and_reads_it_back(js: RealClient, py: RealClient, project: dict[str, Any]) -> None:
    given = js.call("production", slug=project["slug"], waitForServer=True)

    assert given["pipelineRunId"] == given["id"]
    found = js.call("getRun", given["id"].upper())
    assert differences(found, call_of(given["id"])) == []
    assert py.call("get_run", given["id"]) == found


def test_python_submits_a_call_and_reads_it_back(py: RealClient, py24: RealClient, project: dict[str, Any]) -> None:
    for client in (py, py24):
        given = client.call("production", project["slug"])

        assert given["pipelineRunId"] == given["id"]
        assert differences(py.call("get_run", given["id"]), call_of(given["id"])) == []


def test_calls_are_submitted_in_the_background(js: RealClient, py: RealClient, project: dict[str, Any]) -> None:
    by_node = js.call("production", slug=project["slug"], waitForServer=False, previous=str(uuid.uuid4()))
    by_python = py.call("production", project["slug"], previous=str(uuid.uuid4()), waitForServer=False)
    awaited = py.call("production_async", project["slug"])

    assert by_node["flushed"] is True
    for given, steps in ((by_node, 2), (by_python, 2), (awaited, 3)):
        assert given["pipelineRunId"] == given["id"]
        assert len(js.call("getRun", given["id"])["stepRuns"]) == steps


def test_a_call_can_be_sent_in_part_and_from_text(js: RealClient, project: dict[str, Any]) -> None:
    part = js.call("production", slug=project["slug"], waitForServer=True, selectFields={"outputs": False})
    text = js.call("submitFromJson", project["slug"])

    assert [one["outputs"] for one in js.call("getRun", part["id"])["stepRuns"]] == [{}, {}]
    assert differences(js.call("getRun", text["id"])["stepRuns"], [step(0, inputs={"a": 1}, outputs={"b": 2})]) == []


def test_the_same_call_twice_is_one(hub: Hub, js: RealClient, project: dict[str, Any]) -> None:
    ident = str(uuid.uuid4())
    body = {"id": ident, "slug": project["slug"], "stepRuns": []}

    answers = [js.call("v1.v1RunPost", {**body, "id": spelled}) for spelled in (ident, ident.upper())]

    assert answers == [{"pipelineRunId": ident}, {"pipelineRunId": ident}]
    page = hub.signed_in("tom").get(f"/projects/{project['uuid']}/production/").text
    assert page.count('<tr role="row" data-row>') == 1


def test_the_first_twenty_calls_of_a_project_may_come_at_once(hub: Hub, project: dict[str, Any]) -> None:
    calls = [{"id": str(uuid.uuid4()), "slug": project["slug"], "stepRuns": []} for _ in range(20)]

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda call: hub.http.post("/api/v1/run", json=call).status_code, calls))

    assert statuses == [200] * 20
    found = hub.api("GET", f"/projects/{project['uuid']}/production/")["items"]
    assert {one["id"] for one in found} == {call["id"] for call in calls}


def test_calls_are_in_the_list_of_the_project_and_nowhere_else(
    hub: Hub, js: RealClient, py: RealClient, project: dict[str, Any]
) -> None:
    given = js.call("production", slug=project["slug"], waitForServer=True)
    py.call("v1.v1_feedback_post", {
        "pipelineRunId": given["id"], "score": 0.25, "recordedTime": "2026-01-05T10:00:00.000Z", "details": "too loud",
    })  # fmt: skip
    tom = hub.signed_in("tom")

    production, detail = tom.get(f"/projects/{project['uuid']}/production/"), tom.get(f"/projects/{project['uuid']}/")

    assert "too loud" in production.text
    assert f"/projects/{project['uuid']}/production/" in detail.text
    assert js.call("getTestResults", project["slug"]) == []
    assert hub.api("GET", f"/runs/?project={project['slug']}")["items"] == []
    assert hub.api("GET", f"/results/?project={project['slug']}")["items"] == []
    (call,) = hub.api("GET", f"/projects/{project['uuid']}/production/?show=feedback")["items"]
    assert (call["id"], call["feedback"][0]["score"]) == (given["id"], 0.25)


# --- feedback ---------------------------------------------------------------------------------------------------------


def test_feedback_of_the_second_version_is_given_read_and_changed(
    js: RealClient, py: RealClient, project: dict[str, Any]
) -> None:
    run_id = js.call("production", slug=project["slug"], waitForServer=True)["id"]

    made = js.call("v2.v2FeedbackPost", pipelineRunId=run_id, score=0.5, recordedTime=1767607200.5, details="fine")
    read = py.call("v2.v2_feedback_id_get", path_params={"id": made["id"].upper()})
    changed = js.call("v2.v2FeedbackIdPatch", made["id"], {"score": 1})
    by_python = py.call("v2.v2_feedback_id_patch", {"details": "very fine"}, path_params={"id": made["id"]})

    wanted = {"id": UUID, "pipelineRunId": run_id, "score": 0.5, "details": "fine", "recordedTime": 1767607200.5}
    assert differences(made, wanted) == []
    assert read == made
    assert changed == {**made, "score": 1}
    assert by_python == {**made, "score": 1, "details": "very fine"}


def test_feedback_of_the_first_version_says_success_and_nothing_else(
    js: RealClient, py: RealClient, project: dict[str, Any]
) -> None:
    run_id = js.call("production", slug=project["slug"], waitForServer=True)["id"]
    body = {"pipelineRunId": run_id, "score": 1, "recordedTime": "2026-01-05T10:00:00.000Z"}

    for client, call in ((js, "v1.v1FeedbackPost"), (py, "v1.v1_feedback_post")):
        assert client.call(call, body) == {"message": "Success"}


@pytest.mark.parametrize(
    "bad",
    [
        {"score": 1.1},
        {"score": -1},
        {"score": "1"},
        {"score": None},
        {"recordedTime": None},
        {"recordedTime": "yesterday"},
        {"recordedTime": "2026-01-05"},
        {"recordedTime": "2026-01-05T10:00:00"},
        {"recordedTime": "0001-01-01T00:00:00+23:59"},
        {"recordedTime": "9999-12-31T23:59:59-23:59"},
        {"pipelineRunId": NOWHERE},
        {"details": 7},
    ],
)
def test_bad_feedback_is_refused(js: RealClient, project: dict[str, Any], bad: dict[str, Any]) -> None:
    run_id = js.call("production", slug=project["slug"], waitForServer=True)["id"]
    good = {"pipelineRunId": run_id, "score": 1, "recordedTime": "2026-01-05T10:00:00.000Z"}

    with pytest.raises(ClientError) as refused:
        js.call("v1.v1FeedbackPost", {**good, **bad})

    assert refused.value.status == 400


# --- files ------------------------------------------------------------------------------------------------------------


def test_files_are_uploaded_and_only_saved(hub: Hub, js: RealClient, py: RealClient) -> None:
    page = "<script>alert(1)</script>"

    urls = [
        js.call("uploadBuffer", "page.html", page),
        js.call("uploadFile", "page.html", page),
        py.call("upload_bytes", "page.html", page),
        py.call("upload_file", "page.html", page),
    ]

    for url in urls:
        assert url.startswith(f"{hub.base_url}/attachments/")
        answer = hub.http.get(url)
        assert answer.text == page
        assert answer.headers["Content-Disposition"] == 'attachment; filename="page.html"'
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert hub.signed_in("tom").get(url).text == page
        assert httpx.get(url, trust_env=False).status_code == 302  # to the login


def test_an_old_python_client_uploads_too(hub: Hub, py24: RealClient) -> None:
    url = py24.call("upload_bytes", "notes.txt", "hello")

    assert hub.http.get(url).text == "hello"


def test_bytes_without_a_name_are_a_file_too(hub: Hub, py: RealClient, py24: RealClient) -> None:
    for client in (py, py24):
        answer = hub.http.get(client.call("upload_without_a_name"))

        assert answer.content == b"hello \x00\xff"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="file"'


def test_an_upload_without_a_file_is_refused(hub: Hub) -> None:
    for options in (
        {"json": {}},
        {"files": {"other": b"x"}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
    ):
        answer = hub.http.post("/api/v1/files/upload", **options)

        assert (answer.status_code, set(answer.json())) == (400, {"message", "errors"})
