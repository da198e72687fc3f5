"""What the clients wrap around other libraries: each call of those is reported as a production call."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.contract.clients import RealClient
from tests.contract.conftest import Hub

pytestmark = pytest.mark.xdist_group("contract")

CHUNK = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
ANSWERS: dict[str, dict[str, Any]] = {
    "/v1/completions": {
        "id": "t-1", "object": "text_completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "text": "hello", "logprobs": None}],
    },
    "/v1/chat/completions": {
        "id": "c-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
    },
    "/v1/embeddings": {
        "object": "list", "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
    },
}  # fmt: skip


class StandIn(BaseHTTPRequestHandler):
    """Answers as OpenAI does."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        raw, kind = json.dumps(ANSWERS[self.path]).encode(), "application/json"
        if asked.get("stream"):
            parts = [{**CHUNK, "choices": [{"index": 0, "delta": {"content": word}}]} for word in ("hel", "lo")]
            lines = [f"data: {json.dumps(part)}" for part in parts]
            raw, kind = "\n\n".join([*lines, "data: [DONE]", ""]).encode(), "text/event-stream"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *told: Any) -> None:
        pass


@pytest.fixture(scope="module")
def vendor() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), StandIn) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


@pytest.mark.parametrize("client", ["py", "py24"])
def test_what_openai_is_asked_is_a_production_call(
    hub: Hub, js: RealClient, request: pytest.FixtureRequest, vendor: str, client: str
) -> None:
    slug = hub.project()["slug"]

    ids = request.getfixturevalue(client).call("openai", slug, vendor)

    steps = {asked: js.call("getRun", run_id)["stepRuns"] for asked, run_id in ids.items()}
    assert {asked: [step["invocation"] for step in found] for asked, found in steps.items()} == {
        "completion": ["openai_createCompletion"],
        "embedding": ["openai_createEmbedding"],
        "stream": ["openai_createChatCompletion"],
        "async": ["openai_createChatCompletion"],
        "pipeline": ["openai_createEmbedding"],
    }
    (completion,), (embedding,), (stream,) = steps["completion"], steps["embedding"], steps["stream"]
    assert (completion["inputs"], completion["modelParams"]["promptTemplate"]) == (
        {"prompt": {"name": "Ann"}},
        "Hi {{name}}",
    )
    assert embedding["outputs"]["data"][0]["embedding"] == [0.5, 0.25]
    assert stream["outputs"]["choices"][0]["message"]["content"] == "hello"
    assert {step["providerName"] for found in steps.values() for step in found} == {"openai"}


def test_a_plugin_for_node_adds_steps(hub: Hub, js: RealClient) -> None:
    given = js.call("plugin", hub.project()["slug"])

    assert given["pipelineRunId"] == given["id"]
    (step,) = js.call("getRun", given["id"])["stepRuns"]
    assert (step["providerName"], step["inputs"], step["outputs"]) == ("shouting", {"text": "hi"}, {"value": "HI!"})
