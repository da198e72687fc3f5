"""Asking one case: a single message, or a conversation whose turns share a session."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from django.utils import timezone

from runs.asking import Asker, Failure, Said, message_values

MOST_TURNS: Final = 50


class Speaker(Protocol):
    """A simulated user. Neither of its verbs gives up silently: they raise Failure, or say why."""

    async def speak(self, messages: list[dict[str, Any]]) -> str | None:
        """The next message; None ends the conversation."""

    async def weigh(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """What to keep beside the output: whether the goal was reached."""


@dataclass(slots=True, kw_only=True)
class Asked:
    """A case as the plan froze it."""

    case_id: UUID
    revision: int
    inputs: dict[str, Any]
    expected: dict[str, Any] | None = None
    plan: dict[str, Any] | None = None
    name: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    requirement_id: UUID | None = None
    repetition: int = 1


@dataclass(slots=True, kw_only=True)
class Answer:
    """What came back for a case; a failed one has a code and a sentence, and the turns before it."""

    output: dict[str, Any] | None = None
    conversation: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    error_code: str = ""
    session_id: str = ""
    latency_ms: float | None = None
    wall_ms: float | None = None
    cost: float | None = None
    usage: dict[str, dict[str, int]] = field(default_factory=dict)
    attempts: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None


async def converse(asker: Asker, asked: Asked, *, key: str, speaker: Speaker | None = None) -> Answer:
    """Ask the case and always come back with an answer."""
    answer = Answer(started_at=timezone.now())
    began = time.monotonic()
    try:
        history, turns = turns_in(asked.inputs, asked.plan or {})
        if turns is None and speaker is None:
            raise Failure("no_simulator", "This case needs a simulated user, and no model is set up to play one.")
        await _talk(asker, asked, answer, history, turns, speaker, key)
    except Failure as failure:
        answer.error, answer.error_code = failure.message, failure.code
        answer.attempts += failure.attempts
        if failure.latency_ms is not None:
            answer.latency_ms = (answer.latency_ms or 0.0) + failure.latency_ms
    answer.finished_at = timezone.now()
    answer.wall_ms = round((time.monotonic() - began) * 1000, 1)
    return answer


def needs_a_user(inputs: Mapping[str, Any], plan: Mapping[str, Any] | None) -> bool:
    """Whether somebody has to play the user: the case has a goal, and nobody wrote what is said."""
    return turns_in(inputs, plan or {})[1] is None


def turns_in(inputs: Mapping[str, Any], plan: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[Any] | None]:
    """What was said before, and the user's messages in order; None where a simulated user decides them.

    ``inputs.messages`` are texts (each is a turn), or messages with roles: with an answer among them they are the
    history of the last one. ``plan.turns`` are texts too; a plan with a goal alone needs a simulated user.
    """
    said = inputs.get("messages")
    if isinstance(said, list) and said:
        if all(isinstance(one, str) for one in said):
            return [], list(said)
        if all(isinstance(one, dict) and isinstance(one.get("role"), str) for one in said):
            if any(one["role"] == "assistant" for one in said):
                return list(said[:-1]), [said[-1].get("content")]
            before = [one for one in said if one["role"] != "user"]
            return before, [one.get("content") for one in said if one["role"] == "user"] or [""]
    scripted = plan.get("turns") or plan.get("messages")
    if isinstance(scripted, list) and scripted and all(isinstance(one, str) for one in scripted):
        return [], list(scripted)
    if plan.get("goal"):
        return [], None
    return [], [input_of(inputs)]


def input_of(inputs: Mapping[str, Any]) -> Any:
    """The one thing that is asked: the usual key, a lone value, else all inputs."""
    if "input" in inputs:
        return inputs["input"]
    if len(inputs) == 1:
        (only,) = inputs.values()
        return only
    return dict(inputs)


async def _talk(
    asker: Asker,
    asked: Asked,
    answer: Answer,
    history: list[dict[str, Any]],
    turns: list[Any] | None,
    speaker: Speaker | None,
    key: str,
) -> None:
    messages = list(history)
    several = turns is None or len(turns) > 1
    plan = asked.plan or {}
    most = min(_number(plan.get("max_turns"), 10), MOST_TURNS) if turns is None else len(turns)
    if most > MOST_TURNS:
        raise Failure("too_many_turns", f"The case has {most} turns, and {MOST_TURNS} are asked at most.")
    for turn in range(1, most + 1):
        text: Any
        if turns is not None:
            text = turns[turn - 1]
        else:
            assert speaker is not None
            text = await speaker.speak(messages)
            if text is None:
                break
        messages.append({"role": "user", "content": text})
        spoken = [*(history if turn == 1 else []), messages[-1]]
        values = message_values(
            input=text,
            inputs=asked.inputs,
            session_id=answer.session_id,
            messages=messages,
            context=asked.inputs.get("context"),
            metadata=asked.metadata,
        )
        try:
            said = await asker.ask(values, key=f"{key}-{turn}")
        except Failure as failure:
            if several:
                failure.message = f"Turn {turn}: {failure.message}"
                answer.conversation.append({"turn": turn, "messages": spoken, "success": False})
            raise
        _note(asker, answer, said)
        reply: dict[str, Any] = {"role": "assistant", "content": said.output}
        if said.tool_calls:
            reply["tool_calls"] = said.tool_calls
        messages.append(reply)
        answer.conversation.append(
            {"turn": turn, "messages": [*spoken, reply], "latency_ms": round(said.latency_ms, 1)}
        )
        answer.output = {
            "output": said.output,
            **{
                name: value
                for name, value in (
                    ("context", said.context), ("metadata", said.metadata), ("tool_calls", said.tool_calls),
                )
                if value not in (None, [], {})
            },
        }  # fmt: skip
    if answer.output is None:
        raise Failure("no_turn", "The conversation ended before anything was asked.")
    if speaker is not None and turns is None:
        answer.output |= await speaker.weigh(messages)
    if not several and not history:
        answer.conversation = []


def _note(asker: Asker, answer: Answer, said: Said) -> None:
    answer.session_id = said.session_id or answer.session_id
    answer.latency_ms = (answer.latency_ms or 0.0) + said.latency_ms
    answer.attempts += said.attempts
    if said.cost is not None:
        answer.cost = (answer.cost or 0.0) + said.cost
    if said.tokens:
        counts = answer.usage.setdefault(said.model or asker.endpoint.name, {})
        for name, number in said.tokens.items():
            counts[name] = counts.get(name, 0) + number


def _number(value: Any, usual: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else usual
