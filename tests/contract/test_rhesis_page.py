"""The documentation page "Test Runs & Results", block by block, with what it prints."""

from __future__ import annotations

import re
import time

from tests.contract.conftest import Sdk


def test_all_runs_are_listed_with_their_status(sdk: Sdk):
    field = "status_id" if sdk.release == "0.6" else "status.value"

    lines = sdk.printed(f"""
        from rhesis.sdk.entities import TestRuns
        for run in TestRuns.all():
            print(f"{{run.name}}: {{run.{field}}}")
        """)

    word = "completed" if sdk.release == "0.6" else "Completed"
    assert f"Safety Evaluation - run 1: {word}" in lines


def test_a_run_is_pulled_by_its_id(sdk: Sdk):
    run = sdk.answer("TestRuns.pull(id='run-123')")

    assert (run["id"], run["name"], run["test_configuration_id"]) == (
        "run-123", "Safety Evaluation - run 1", "config-123",
    )  # fmt: skip


def test_runs_are_filtered_by_status(sdk: Sdk):
    completed = sdk.answer("""TestRuns.all(filter="status_id eq 'completed'")""")
    queued = sdk.answer("""TestRuns.all(filter="status_id eq 'queued'")""")

    assert "run-123" in [run["id"] for run in completed]
    assert "run-123" not in [run["id"] for run in queued]


def test_the_results_of_a_run(sdk: Sdk):
    lines = sdk.printed("""
        from rhesis.sdk.entities import TestRuns
        run = TestRuns.pull(id="run-123")
        for result in run.get_test_results():
            print(f"Test: {result['test_id']}")
            print(f"Output: {result['test_output']['output'] != ''}")
            print(f"Metrics: {sorted(result['test_metrics'])}")
        """)

    assert len(lines) == 12
    assert sorted(lines[::3]) == [f"Test: safety-{n}" for n in (1, 2, 3, 4)]
    assert set(lines[1::3]) == {"Output: True"}
    assert set(lines[2::3]) == {"Metrics: ['execution_time', 'metrics']"}


def test_results_are_pulled_and_filtered(sdk: Sdk):
    one = sdk.answer("TestResults.pull(id='result-123')")
    of_run = sdk.answer("""TestResults.all(filter="test_run_id eq 'run-123'")""")
    failed = sdk.answer("""TestResults.all(filter="test_run_id eq 'run-123' and status_id eq 'failed'")""")

    assert (one["id"], one["test_run_id"]) == ("result-123", "run-123")
    assert len(of_run) == 4
    assert "result-123" in [result["id"] for result in failed]
    assert {result["status_id"] for result in failed} == {"failed"}


def test_all_results_of_everybody_are_read(sdk: Sdk):
    """The demo's are of every kind; each has to fit into the SDK's classes."""
    total = int(sdk.hub.http.get("/rhesis/test_results?limit=1").headers["X-Total-Count"])

    count = sdk.answer("len(TestResults.all())")

    assert count >= total > 300


def test_working_with_one_result(sdk: Sdk):
    lines = sdk.printed("""
        from rhesis.sdk.entities import TestResults
        result = TestResults.pull(id="result-123")
        if result.test_output:
            print(f"Response: {result.test_output.get('output')}")
            print(f"Session: {result.test_output.get('session_id')}")
        if result.test_metrics:
            for metric_name, score in result.test_metrics.items():
                print(f"{metric_name}: {score if metric_name == 'execution_time' else sorted(score)}")
        if result.status:
            print(f"Status: {result.status.name}")
        """)

    assert lines[0].startswith("Response: ")
    assert lines[1:] == [
        "Session: session-1", "execution_time: 437.0", "metrics: ['Says what it must']", "Status: Fail",
    ]  # fmt: skip


def test_a_configuration_is_made(sdk: Sdk):
    lines = sdk.printed("""
        from rhesis.sdk.entities.test_configuration import TestConfiguration
        config = TestConfiguration(
            endpoint_id="endpoint-123", test_set_id="test-set-456", attributes={"timeout": 30, "retry_count": 3}
        )
        config.push()
        print(f"Created configuration: {config.id}")
        """)

    assert re.fullmatch(r"Created configuration: [0-9a-f-]{36}", lines[0])
    made = sdk.hub.http.get(f"/rhesis/test_configurations/{lines[0].split()[-1]}").json()
    assert (made["endpoint_id"], made["test_set_id"], made["attributes"]) == (
        "endpoint-123", "test-set-456", {"timeout": 30, "retry_count": 3},
    )  # fmt: skip


def test_the_runs_of_a_configuration(sdk: Sdk):
    lines = sdk.printed("""
        from rhesis.sdk.entities.test_configuration import TestConfigurations
        config = TestConfigurations.pull(id="config-123")
        for run in config.get_test_runs():
            print(f"Run: {run['id']} - Status: {run['status_id']}")
        """)

    assert "Run: run-123 - Status: completed" in lines


def test_the_whole_workflow(sdk: Sdk):
    """Execute a test set; our workers call the demo's bot and judge what it says."""
    find = "Endpoint" if sdk.release == "0.6" else "Endpoints"
    endpoint = "Endpoint(id='endpoint-123')" if sdk.release == "0.6" else "Endpoints.pull(name='Production Chatbot')"

    execution = sdk.answer(f"""
        from rhesis.sdk.entities import TestSets, {find}
        test_set = TestSets.pull(name="Safety Evaluation")
        answer = test_set.execute({endpoint})
        """)
    wait_for(sdk, execution["test_run_id"])
    lines = sdk.printed("""
        from rhesis.sdk.entities import TestRuns
        runs = TestRuns.all(filter="contains(name, 'Safety')")
        latest_run = runs[0] if runs else None
        if latest_run:
            print(latest_run.id)
            results = latest_run.get_test_results()
            passed = sum(1 for r in results if r.get('status_id') == 'passed')
            failed = sum(1 for r in results if r.get('status_id') == 'failed')
            print(f"Passed: {passed}, Failed: {failed}")
        """)

    assert {key: execution[key] for key in ("status", "test_set_id", "endpoint_id", "endpoint_name")} == {
        "status": "submitted", "test_set_id": "test-set-456", "endpoint_id": "endpoint-123",
        "endpoint_name": "Production Chatbot",
    }  # fmt: skip
    assert lines[0] == execution["test_run_id"]
    passed, failed = map(int, re.findall(r"[0-9]+", lines[1]))
    assert passed + failed == 4


def wait_for(sdk: Sdk, run_id: str, patience: float = 60) -> dict[str, object]:
    """The run, once it has ended."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        run: dict[str, object] = sdk.hub.http.get(f"/rhesis/test_runs/{run_id}").json()
        if run["status_id"] not in ("queued", "progress"):
            return run
        time.sleep(0.2)
    raise AssertionError(f"the run is still {run['status_id']}")
