"""Inspect messages and model calls: attachments put back, one plain shape, turns and steps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from evalhub.importers.description import as_dict, as_list, moment, number, text
from evalhub.importers.problems import MEGABYTE
from results.models import Step
from results.records import StepRecord

REFERENCE = "attachment://"
MOST_RESOLVED = 32 * MEGABYTE  # characters a sample; a few references to one long text could ask for gigabytes
MOST_SHOWN = 20_000  # messages of other model calls a sample, for the same reason


class Resolver:
    """Puts a sample's attachments back where it refers to them; what is not there stays as text."""

    def __init__(self, attachments: dict[str, Any]) -> None:
        self.attachments = attachments
        self.left = MOST_RESOLVED
        self.missing = 0

    def resolve(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value) if value.startswith(REFERENCE) else value
        if isinstance(value, dict):
            return {key: self.resolve(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        return value

    def _text(self, reference: str) -> str:
        found = self.attachments.get(reference.removeprefix(REFERENCE))
        if not isinstance(found, str) or len(found) > self.left:
            self.missing += 1
            return reference
        self.left -= len(found)
        return found


def text_of_content(content: Any) -> str:
    """What a person reads: the text parts, and a word for each part of another kind."""
    if isinstance(content, str):
        return content
    said = []
    for part in map(as_dict, as_list(content)):
        kind = part.get("type")
        if kind == "text":
            said.append(text(part.get("text")))
        elif kind != "reasoning":
            said.append(f"[{kind}]")
    return "\n".join(said)


def plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message in EvalHub's shape: role and content as text; reasoning, tool calls, other parts if any."""
    content = message.get("content")
    parts = [as_dict(part) for part in as_list(content)]
    reasoning = "\n".join(text(part.get("reasoning")) for part in parts if part.get("type") == "reasoning")
    calls = [as_dict(call) for call in as_list(message.get("tool_calls"))]
    shaped = {
        "id": message.get("id"),
        "role": text(message.get("role")),
        "content": text_of_content(content),
        "reasoning": reasoning,
        "parts": [part for part in parts if part.get("type") not in ("text", "reasoning")],
        "tool_calls": [
            {"id": call.get("id"), "name": text(call.get("function")), "arguments": call.get("arguments")}
            for call in calls
        ],
        "tool_call_id": message.get("tool_call_id"),
        "name": message.get("function"),
        "error": as_dict(message.get("error")).get("message"),
    }
    return {key: value for key, value in shaped.items() if value or key in ("role", "content")}


def conversation_of(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turns, each beginning with what the user says; nothing for a lone question and answer."""
    roles = [message.get("role") for message in messages]
    if roles.count("assistant") < 2 and roles.count("user") < 2 and "tool" not in roles:
        return []
    turns: list[dict[str, Any]] = []
    answered = True
    for message in messages:
        if message.get("role") in ("user", "system"):
            if answered:
                turns.append({"turn": len(turns) + 1, "messages": []})
            answered = False
        elif not turns:
            turns.append({"turn": 1, "messages": []})
        else:
            answered = True
        turns[-1]["messages"].append(plain(message))
    return turns


def steps_of(
    messages: list[dict[str, Any]],
    events: list[dict[str, Any]],
    events_data: dict[str, Any],
    resolver: Resolver,
    *,
    turns: bool,
) -> list[StepRecord]:
    """One step for each answer of a model and each tool call; each shows the messages that no earlier step showed."""
    calls = {message_id(event): event for event in events if event.get("event") == "model" and message_id(event)}
    tools = {text(event.get("id")): event for event in events if event.get("event") == "tool"}
    answers = {text(m.get("tool_call_id")): m for m in messages if m.get("role") == "tool"}
    steps: list[StepRecord] = []
    unseen: list[dict[str, Any]] = []
    turn, answered = 0, True
    for message in messages:
        role = message.get("role")
        if role in ("user", "system"):
            turn += answered
            answered = False
        if role != "assistant":
            unseen.append(message)
            continue
        answered = True
        at = max(turn, 1) if turns else None
        steps.append(model_step(message, unseen, calls.get(text(message.get("id")), {}), at))
        unseen = []
        for call in map(as_dict, as_list(message.get("tool_calls"))):
            steps.append(
                tool_step(call, answers.get(text(call.get("id")), {}), tools.get(text(call.get("id")), {}), at)
            )
    return steps + other_model_steps(messages, events, as_list(events_data.get("messages")), resolver)


def model_step(
    message: dict[str, Any], asked: list[dict[str, Any]], event: dict[str, Any], turn: int | None
) -> StepRecord:
    model = text(message.get("model")) or text(event.get("model"))
    used = as_dict(as_dict(event.get("output")).get("usage"))
    return StepRecord(
        kind=Step.Kind.LLM,
        name=model or "model",
        provider=model.split("/", 1)[0] if "/" in model else "",
        turn=turn,
        parameters=as_dict(event.get("config")),
        inputs={"messages": [plain(m) for m in asked]} if asked else {},
        outputs={"message": plain(message)},
        usage={model: step_usage(used)} if used else {},
        cost=number(used.get("total_cost")),
        latency_ms=_milliseconds(event.get("working_time")),
        started_at=moment(event.get("timestamp")),
        finished_at=moment(event.get("completed")),
        error=text(event.get("error")),
    )


def tool_step(call: dict[str, Any], answer: dict[str, Any], event: dict[str, Any], turn: int | None) -> StepRecord:
    arguments = call.get("arguments")
    return StepRecord(
        kind=Step.Kind.TOOL,
        name=text(call.get("function")) or "tool",
        turn=turn,
        inputs=arguments if isinstance(arguments, dict) else {"arguments": arguments},
        outputs={"output": text_of_content(answer.get("content"))} if answer else {},
        error=text(as_dict(answer.get("error")).get("message")) or text(call.get("parse_error")),
        latency_ms=_milliseconds(event.get("working_time")),
        started_at=moment(event.get("timestamp")),
        finished_at=moment(event.get("completed")),
    )


def other_model_steps(
    messages: list[dict[str, Any]], events: list[dict[str, Any]], pool: list[Any], resolver: Resolver
) -> list[StepRecord]:
    """Calls whose answer is not among the sample's messages: judges and helpers, and calls that failed."""
    known = {text(message.get("id")) for message in messages if message.get("id")}
    if not known:
        return []  # messages of old logs have no ids to tell by
    spans = {text(event.get("id")): text(event.get("name")) for event in events if event.get("event") == "span_begin"}
    steps, shown, left = [], set(known), MOST_SHOWN
    for event in events:
        if event.get("event") != "model" or message_id(event) in known or event.get("pending"):
            continue
        sent = list(islice(input_of(event, pool), left))
        left -= len(sent)
        asked = [as_dict(resolver.resolve(m)) for m in sent if text(as_dict(m).get("id")) not in shown]
        shown |= {text(m.get("id")) for m in asked if m.get("id")}
        output = as_dict(resolver.resolve(event.get("output")))
        choice = as_dict(next(iter(as_list(output.get("choices"))), None))
        step = model_step(as_dict(choice.get("message")) | {"model": event.get("model")}, asked, event, None)
        span = spans.get(text(event.get("span_id")))
        step.context = {"span": span} if span else {}
        steps.append(step)
    return steps


def input_of(event: dict[str, Any], pool: list[Any]) -> Iterator[Any]:
    """The messages that a model was sent: in the event, or as ranges of the sample's pool."""
    yield from as_list(event.get("input"))
    if not event.get("input"):
        for span in map(as_list, as_list(event.get("input_refs"))):
            if len(span) == 2 and all(isinstance(end, int) and 0 <= end <= len(pool) for end in span):
                yield from islice(pool, span[0], span[1])


def message_id(event: dict[str, Any]) -> str:
    """Of the answer that a model event brought."""
    choice = as_dict(next(iter(as_list(as_dict(event.get("output")).get("choices"))), None))
    return text(as_dict(choice.get("message")).get("id"))


def step_usage(used: dict[str, Any]) -> dict[str, Any]:
    names = {"input_tokens": "input", "output_tokens": "output", "total_tokens": "total"}
    return {ours: used[theirs] for theirs, ours in names.items() if number(used.get(theirs)) is not None}


def _milliseconds(seconds: object) -> float | None:
    value = number(seconds)
    return None if value is None else value * 1000
