"""What the SDK sets up is really executed: conversations with sessions, simulated users, and judges that are models."""

from __future__ import annotations

import json
import time
from asyncio import StreamWriter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.contract.clients import ClientError
from tests.contract.conftest import Hub, Sdk
from tests.contract.test_rhesis_page import wait_for
from tests.runs.bot import endpoint_in_a_thread
from tests.runs.stub import Request, answer

START = "from rhesis.sdk.entities import *\nNAME, URL = name, url\n"
GOAL = "Get a refund for order 7"


@dataclass
class Shop:
    """A chatbot that remembers its sessions, and a model behind an OpenAI-compatible address: user, and judge."""

    url: str = ""
    sessions: dict[str, list[str]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    judged: list[str] = field(default_factory=list)

    async def behave(self, request: Request, writer: StreamWriter) -> None:
        if request.path == "/v1/chat/completions":
            self.tokens.add(request.headers.get("authorization", ""))
            writer.write(answer(self.complete(request.json)))
        else:
            writer.write(answer(self.chat(request.json)))

    def chat(self, asked: dict[str, Any]) -> dict[str, Any]:
        session = asked["session"] or f"s-{len(self.sessions) + 1}"
        said = self.sessions.setdefault(session, [])
        said.append(asked["message"])
        text = "Which order?" if len(said) == 1 else f"Refunded, as you asked: {said[0]}"
        return {"reply": {"text": text}, "session": session, "sources": ["rules.md"]}

    def complete(self, asked: dict[str, Any]) -> dict[str, Any]:
        system, last = asked["messages"][0]["content"], asked["messages"][-1]["content"]
        if system.startswith("You play the user"):
            said = ["I want my money back.", "Order 7.", "[DONE]"][
                sum(m["role"] == "assistant" for m in asked["messages"])
            ]
        elif "reached a goal" in system:
            reached = "Refunded" in last
            said = json.dumps({"reason": "They paid.", "evidence": ["Refunded"], "turns": [2], "reached": reached})
        else:
            self.judged.append(last)
            label = '"label"' in system
            said = json.dumps({"reason": "Read it.", **({"label": "angry"} if label else {"score": 8})})
        return {
            "model": asked["model"],
            "choices": [{"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20},
        }


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    with endpoint_in_a_thread(made.behave) as stub:
        made.url = stub.url.removesuffix("/chat")
        yield made


SET_UP = """
bot = Endpoint(
    name=NAME + " bot", connection_type="REST", project_id="demo-chatbot", url=URL + "/chat",
    request_mapping={"message": "{{ input }}", "session": "{{ session_id }}"},
    response_mapping={"output": "$.reply.text", "session_id": "$.session", "context": "$.sources"},
)
bot.push()
model = Endpoint(
    name=NAME + " model", connection_type="REST", project_id="demo-chatbot", url=URL + "/v1/chat/completions",
    auth_token="model-key", request_mapping={"model": "m-1", "messages": "{{ messages }}"},
    response_mapping={"output": "$.choices[0].message.content"},
)
model.push()
from rhesis.sdk.metrics import CategoricalJudge, NumericJudge
NumericJudge(name=NAME + " clear", evaluation_prompt="Is it clear?", min_score=0, max_score=10, threshold=7,
             metric_scope=["Single-Turn", "Multi-Turn"], model=None).push()
CategoricalJudge(name=NAME + " tone", evaluation_prompt="Which tone has {{ output }}?", categories=["calm", "angry"],
                 passing_categories=["calm"], metric_scope=["Multi-Turn"], model=None).push()
"""


def test_a_conversation_is_played_and_judged(sdk16: Sdk, sdk19: Sdk, shop: Shop):
    for sdk in (sdk16, sdk19):
        shop.sessions.clear()
        told = sdk.answer(
            START
            + SET_UP
            + f"""
tests = TestSet(name=NAME, test_set_type="Multi-Turn", tests=[Test(
    category="Refunds", topic="Orders", requirement="Pays back", goal="{GOAL}", instructions="Be short.", max_turns=5)])
tests.push()
tests.add_metrics([NAME + " clear", NAME + " tone"])
assert Models.pull(name=NAME + " MODEL").id == model.id in [one.id for one in Models.all()]
assert (Models.exists(model.id), Models.exists(bot.id), Models.pull(id=model.id).model_name) == (True, False, "m-1")
checks = tests.preflight(bot, execution_model_id=model.id, evaluation_model_id=model.id)
execution = tests.execute(bot, execution_model_id=model.id, evaluation_model_id=model.id)
answer = [execution, checks.passed, model.id, bot.pull().url]
""",
            name=f"Conversation {sdk.release}",
            url=shop.url,
        )
        run = wait_for(sdk, told[0]["test_run_id"])
        (result,) = sdk.answer(
            START + "answer = TestRuns.pull(id=NAME).get_test_results()", name=told[0]["test_run_id"], url=""
        )

        assert (told[1], run["status_id"], list(shop.sessions.values())) == (
            True, "completed", [["I want my money back.", "Order 7."]],
        )  # fmt: skip
        attributes = run["test_configuration"]["attributes"]  # type: ignore[index]
        assert {key: attributes[key] for key in ("metrics_source", "evaluation_model_id", "execution_model_id")} == {
            "metrics_source": "test_set", "evaluation_model_id": told[2], "execution_model_id": told[2],
        }  # fmt: skip
        said = result["test_output"]
        assert {key: said[key] for key in ("output", "session_id", "context", "goal", "goal_achieved", "status")} == {
            "output": "Refunded, as you asked: I want my money back.", "session_id": "s-1", "context": ["rules.md"],
            "goal": GOAL, "goal_achieved": True, "status": "success",
        }  # fmt: skip
        assert (said["turns_used"], said["stats"], said["test_configuration"]["max_turns"]) == (
            2, {"total_turns": 2}, 5,
        )  # fmt: skip
        assert said["goal_evaluation"] == {
            "all_criteria_met": True, "reason": "They paid.", "evidence": ["Refunded"],
            "criteria_evaluations": [
                {"criterion": GOAL, "met": True, "evidence": "Refunded", "reasoning": "They paid.",
                 "relevant_turns": [2]}
            ],
        }  # fmt: skip
        assert [
            (turn["turn"], turn["penelope_message"], turn["target_response"], turn["session_id"], turn["success"])
            for turn in said["conversation_summary"]
        ] == [
            (1, "I want my money back.", "Which order?", "s-1", True),
            (2, "Order 7.", "Refunded, as you asked: I want my money back.", "s-1", True),
        ]
        metrics = result["test_metrics"]["metrics"]
        assert {name.split()[-1]: (one["score"], one["is_successful"]) for name, one in metrics.items()} == {
            "clear": (8.0, True), "tone": ("angry", False),
        }  # fmt: skip
        assert result["status_id"] == "failed"
    assert shop.tokens == {"Bearer model-key"}
    assert "assistant: Which order?" in next(text for text in shop.judged if text.startswith("Is it clear?"))
    assert "model-key" not in json.dumps([told, run, result])


def test_a_conversation_of_the_oldest_release_is_played_too(sdk6: Sdk, sdk19: Sdk, shop: Shop):
    pushed = sdk6.answer(
        START
        + f"""
from rhesis.sdk.entities.test import TestConfiguration
tests = TestSet(name=NAME, description="", short_description="", test_set_type="Multi-Turn", tests=[Test(
    category="Refunds", topic="Orders", behavior="Pays back", test_configuration=TestConfiguration(goal="{GOAL}"))])
tests.push()
answer = tests.id
""",
        name="Old conversation",
        url="",
    )
    execution = sdk19.answer(
        START + SET_UP + f"answer = TestSet(id='{pushed}').execute(bot, execution_model_id=model.id)",
        name="Old conversation",
        url=shop.url,
    )

    wait_for(sdk6, execution["test_run_id"])
    (result,) = sdk6.answer(
        START + "answer = TestRuns.pull(id=NAME).get_test_results()", name=execution["test_run_id"], url=""
    )

    said = result["test_output"]
    assert (said["goal"], said["goal_achieved"], said["turns_used"]) == (GOAL, True, 2)


def test_what_models_used_is_recorded_and_others_may_judge_again(sdk19: Sdk, shop: Shop):
    told = sdk19.answer(
        START
        + SET_UP
        + """
tests = TestSet(name=NAME, test_set_type="Single-Turn", tests=[
    Test(category="Refunds", topic="Orders", requirement="Pays back", prompt=Prompt(content=f"Question {n}?"))
    for n in range(3)])
tests.push()
answer = [bot.id, tests.id, model.id, tests.execute(bot, metrics=[NAME + " clear"], evaluation_model_id=model.id)]
""",
        name="Used",
        url=shop.url,
    )
    run = wait_for(sdk19, told[3]["test_run_id"])
    calls = sum(map(len, shop.sessions.values()))
    again = sdk19.answer(
        START
        + "tests, bot, run, model = NAME\n"
        + "answer = TestSet(id=tests).rescore(Endpoint(id=bot), run=TestRuns.pull(id=run),"
        + " metrics=['Used tone'], evaluation_model_id=model)",
        name=[told[1], told[0], told[3]["test_run_id"], told[2]],
        url="",
    )
    results = wait_until_judged(sdk19.hub, told[3]["test_run_id"], "Used tone", 3)

    assert run["stats"] == {"total": 3, "passed": 3, "failed": 0, "errors": 0}
    assert (again["status"], again["reference_test_run_id"]) == ("submitted", told[3]["test_run_id"])
    assert sum(map(len, shop.sessions.values())) == calls == 3
    assert [one["status_id"] for one in results] == ["failed"] * 3
    shown = sdk19.hub.api("GET", f"/results/{results[0]['id']}/?expand=evaluations")
    used = {one["evaluator"]["name"]: one["usage"] for one in shown["evaluations"]}
    assert used == {key: {"m-1": {"input": 100, "output": 20}} for key in ("Used clear", "Used tone")}


def wait_until_judged(hub: Hub, run: str, metric: str, count: int) -> list[dict[str, Any]]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        results: list[dict[str, Any]] = hub.http.get(
            "/rhesis/test_results", params={"$filter": f"test_run_id eq '{run}'"}
        ).json()
        if sum(metric in one["test_metrics"]["metrics"] for one in results) == count:
            return results
        time.sleep(0.2)
    raise AssertionError(f"{metric} has not judged")


def test_a_model_that_is_not_there_is_a_mistake(sdk16: Sdk, sdk19: Sdk):
    for sdk in (sdk16, sdk19):
        for argument in ("execution_model_id", "evaluation_model_id"):
            with pytest.raises(ClientError, match="RhesisAPIError: 400") as refused:
                sdk.answer(
                    "from rhesis.sdk.entities import *\nanswer = TestSets.pull(id='test-set-456')"
                    f".execute(Endpoint(id='endpoint-123'), {argument}='gpt-9')"
                )
            assert "Model not found: gpt-9" in refused.value.body


def test_without_a_model_a_conversation_is_an_error_that_says_so(sdk19: Sdk, shop: Shop):
    told = sdk19.answer(
        START
        + SET_UP
        + f"""
tests = TestSet(name=NAME, test_set_type="Multi-Turn", tests=[Test(category="R", requirement="P", goal="{GOAL}")])
tests.push()
answer = tests.execute(bot)
""",
        name="Nobody plays",
        url=shop.url,
    )

    run = wait_for(sdk19, told["test_run_id"])
    (result,) = sdk19.answer(
        START + "answer = TestRuns.pull(id=NAME).get_test_results()", name=told["test_run_id"], url=""
    )

    assert (run["status_id"], result["status_id"], result["test_output"]["error_code"]) == (
        "failed", "error", "no_simulator",
    )  # fmt: skip
