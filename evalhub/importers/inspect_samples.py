"""One Inspect sample as one result: its input, output, messages, model calls, usage and scores."""

from __future__ import annotations

import re
from typing import Any

from evalhub.importers.description import as_dict, as_list, counted, digest_of, moment, number, text
from evalhub.importers.inspect_messages import Resolver, conversation_of, plain, steps_of, text_of_content
from evalhub.importers.inspect_scores import ScoreReader
from results.models import Evaluation
from results.records import Judgement, ResultRecord
from runs.cases import CaseSpec

KEPT = ("uuid", "limit", "error_retries", "metadata", "sandbox", "setup", "files")
MOST_EPOCHS = 1_000_000
ERROR_TYPE = re.compile(r"^(\w{1,60})\(")


class SampleReader:
    """Turns samples of one log into records."""

    def __init__(self, header: dict[str, Any]) -> None:
        spec = as_dict(header.get("eval"))
        self.task, self.model = text(spec.get("task")), text(spec.get("model"))
        self.scores = ScoreReader(header)
        self.unresolved = 0

    def warnings(self) -> list[str]:
        if not self.unresolved:
            return []
        one = "reference to an attachment could not be resolved, and stays as text."
        many = "references to attachments could not be resolved, and stay as text."
        return [counted(self.unresolved, one, many)]

    def record(self, sample: dict[str, Any]) -> ResultRecord:
        resolver = Resolver(as_dict(sample.get("attachments")))
        events = [as_dict(event) for event in as_list(sample.get("events"))]
        messages = [as_dict(message) for message in resolver.resolve(as_list(sample.get("messages")))]
        output = as_dict(resolver.resolve(sample.get("output")))
        inputs = inputs_of(resolver.resolve(sample.get("input")), sample.get("choices"))
        target = resolver.resolve(sample.get("target"))
        expected = {"expected": target} if target not in ("", None, []) else None
        error = as_dict(sample.get("error"))
        used = as_dict(sample.get("model_usage"))
        if not used and output.get("usage"):  # logs of 2024 count per answer only
            used = {self.model or text(output.get("model")) or "model": output["usage"]}
        usage = {model: usage_of(as_dict(of_model)) for model, of_model in used.items()}
        conversation = conversation_of(messages)
        spec = self.case(sample, inputs, expected)
        attributes = {key: resolver.resolve(sample[key]) for key in KEPT if sample.get(key)}
        attributes |= {"sample_id": sample["id"], "epoch": sample.get("epoch", 1)}
        if error.get("traceback"):
            attributes["traceback"] = resolver.resolve(error["traceback"])
        record = ResultRecord(
            case=spec,
            repetition=int(min(max(number(sample.get("epoch")) or 1, 1), MOST_EPOCHS)),
            name=spec.name,
            inputs=inputs,
            expected=expected,
            output=output_of(output, messages, failed=bool(error)),
            conversation=conversation,
            error=text(error.get("message")) or ("The sample failed." if error else ""),
            error_code=error_type(text(error.get("message"))) if error else "",
            latency_ms=milliseconds(sample.get("working_time")),
            wall_ms=milliseconds(sample.get("total_time")),
            usage={model: {k: v for k, v in used.items() if k != "cost"} for model, used in usage.items()},
            tokens=sum(int(used.get("total", 0)) for used in usage.values()) if usage else None,
            cost=total_cost(usage),
            started_at=moment(sample.get("started_at")),
            finished_at=moment(sample.get("completed_at")),
            attributes=attributes,
            steps=steps_of(messages, events, as_dict(sample.get("events_data")), resolver, turns=bool(conversation)),
            evaluations=self.evaluations(sample, resolver),
        )
        self.unresolved += resolver.missing
        return record

    def case(self, sample: dict[str, Any], inputs: dict[str, Any], expected: dict[str, Any] | None) -> CaseSpec:
        """The same id with another input is another case: comparing the two would mislead."""
        sample_id = sample["id"]
        return CaseSpec(
            external_id=digest_of(self.task, type(sample_id).__name__, sample_id, inputs),
            name=sample_id if isinstance(sample_id, str) and sample_id else f"{self.task} #{sample_id}",
            inputs=inputs,
            expected=expected,
            attributes={"metadata": sample["metadata"]} if sample.get("metadata") else {},
        )

    def evaluations(self, sample: dict[str, Any], resolver: Resolver) -> list[Judgement]:
        scores = sample.get("scores")
        if not scores and sample.get("score"):  # logs of early 2024 have one score without a name
            scores = {self.scores.only_name: sample["score"]}
        found: list[Judgement] = []
        for name, score in as_dict(scores).items():
            found += self.scores.judgements(name, as_dict(resolver.resolve(score)))
        invalid = as_dict(sample.get("invalidation"))
        if invalid:
            found.append(
                Judgement(
                    evaluator=None,
                    label="invalid",
                    decide=False,
                    source=Evaluation.Source.HUMAN,
                    author_name=text(invalid.get("author")) or "unknown",
                    explanation=text(invalid.get("reason")),
                    metadata=as_dict(invalid.get("metadata")),
                    created_at=moment(invalid.get("timestamp")),
                )
            )
        return found


def inputs_of(value: Any, choices: Any) -> dict[str, Any]:
    """The last user message as the text to read; all messages beside it where there is more to them."""
    if isinstance(value, list):
        messages = [plain(as_dict(message)) for message in value]
        asked = next((m for m in reversed(messages) if m["role"] == "user"), messages[-1] if messages else {})
        inputs: dict[str, Any] = {"input": asked.get("content", "")}
        if len(messages) > 1 or "parts" in asked:
            inputs["messages"] = [{key: item for key, item in m.items() if key != "id"} for m in messages]
    else:
        inputs = {"input": value if value is not None else ""}
    if choices:
        inputs["choices"] = choices
    return inputs


def output_of(output: dict[str, Any], messages: list[dict[str, Any]], *, failed: bool) -> dict[str, Any] | None:
    completion = output.get("completion")
    if not isinstance(completion, str):
        choice = as_dict(next(iter(as_list(output.get("choices"))), None))
        said = as_dict(choice.get("message"))
        said = said or next((m for m in reversed(messages) if m.get("role") == "assistant"), {})
        completion = text_of_content(said.get("content")) if said else ""
        if not said:
            return None
    if not completion and failed:
        return None
    return {"output": completion}


def usage_of(used: dict[str, Any]) -> dict[str, float]:
    """Tokens under EvalHub's names, and the cost."""
    names = {
        "input_tokens": "input",
        "output_tokens": "output",
        "total_tokens": "total",
        "input_tokens_cache_read": "cache_read",
        "input_tokens_cache_write": "cache_write",
        "reasoning_tokens": "reasoning",
        "total_cost": "cost",
    }
    counted = {ours: number(used.get(theirs)) for theirs, ours in names.items()}
    found = {name: count for name, count in counted.items() if count is not None}
    return {name: count if name == "cost" else int(count) for name, count in found.items()}


def total_cost(usage: dict[str, dict[str, float]]) -> float | None:
    costs = [used["cost"] for used in usage.values() if "cost" in used]
    return sum(costs) if costs else None


def milliseconds(seconds: object) -> float | None:
    value = number(seconds)
    return None if value is None else value * 1000


def error_type(message: str) -> str:
    match = ERROR_TYPE.match(message)
    return match[1] if match else "sample_error"
