"""One promptfoo row as one result: its output, error, assertions and what people said in promptfoo's own viewer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from evalhub.importers.description import as_dict, as_list, digest_of, number, text
from results.models import Evaluation, Outcome, Step
from results.records import Judgement, ResultRecord, StepRecord
from runs.cases import CaseSpec
from runs.evaluators import EvaluatorSpec
from runs.models import Evaluator

OVERALL = "overall score"
ERRORED = 2  # failureReason: 0 none, 1 an assertion failed, 2 no answer
JUDGED_BY_MODEL = (
    "llm-rubric",
    "model-graded",
    "factuality",
    "answer-relevance",
    "context-",
    "conversation-relevance",
    "g-eval",
    "select-best",
    "search-rubric",
    "pi",
    "agent-rubric",
    "trajectory:goal-success",
)
REFERENCES = (
    "equals",
    "similar",
    "factuality",
    "model-graded-closedqa",
    "levenshtein",
    "rouge-n",
    "bleu",
    "meteor",
    "gleu",
)
OTHER_THRESHOLDS = ("latency", "cost", "perplexity", "levenshtein", "trace-span-duration")
VOLATILE = ("_conversation", "sessionId")


class RowReader:
    """Turns rows of one evaluation into records. ``single``: there is one column only, and so no variants."""

    def __init__(self, *, single: bool) -> None:
        self.single = single
        self.specs: dict[str, EvaluatorSpec] = {}

    def record(self, row: dict[str, Any], column: int) -> ResultRecord:
        test = as_dict(row.get("testCase"))
        response = as_dict(row.get("response"))
        inputs = {key: value for key, value in as_dict(row.get("vars")).items() if key not in VOLATILE}
        spec = case_of(inputs, test)
        error = error_of(row)
        usage = usage_of(row, response)
        latency = number(row.get("latencyMs"))
        cost = number(row.get("cost") if row.get("cost") is not None else response.get("cost"))
        judgements = list(self.judgements(row, test)) if not error else []
        by_people = any(judgement.source == Evaluation.Source.HUMAN for judgement in judgements)
        return ResultRecord(
            case=spec,
            variant=None if self.single else column,
            name=spec.name,
            inputs=inputs,
            expected=spec.expected,
            output=output_of(response.get("output")),
            error=error,
            error_code="provider_error" if error else "",
            reported_outcome="" if by_people else outcome_of(row, error),
            latency_ms=latency,
            cost=cost,
            usage=usage,
            attributes=attributes_of(row, test),
            steps=[step_of(row, response, usage, error)],
            evaluations=judgements,
        )

    def judgements(self, row: dict[str, Any], test: dict[str, Any]) -> Iterator[Judgement]:
        grading = as_dict(row.get("gradingResult"))
        names: Counter[str] = Counter()
        sets = {}
        for component in components_of(grading):
            assertion = as_dict(component.get("assertion"))
            if component.get("componentResults"):
                sets[metric_of(component)] = component
                continue
            if assertion.get("type") == "human":
                yield by_a_person(component, grading)
                continue
            name = text(assertion.get("metric")) or text(assertion.get("type")) or "assertion"
            names[name] += 1
            if names[name] > 1:  # the second assertion of a kind in one test is another evaluator
                name = f"{name} ({names[name]})"
            yield self.judgement(name, component, assertion)
        for name, score in as_dict(row.get("namedScores")).items():
            if name not in names:
                yield self.named(name, score, as_dict(sets.get(name)))
        if grading or number(row.get("score")) is not None:
            yield self.overall(row, grading, test)

    def judgement(self, name: str, component: dict[str, Any], assertion: dict[str, Any]) -> Judgement:
        weight = number(assertion.get("weight"))
        informative = weight == 0
        spent = as_dict(component.get("tokensUsed"))
        details = as_dict(component.get("metadata"))
        judgement = Judgement(
            evaluator=self.spec(name, assertion, 1 if weight is None else weight),
            value=number(component.get("score")),
            passed=None if informative else truth(component.get("pass")),
            decide=False,
            threshold=threshold_of(assertion),
            explanation=text(component.get("reason")),
            usage={"grader": tokens_in(spent)} if number(spent.get("total")) else {},
            metadata={key: value for key, value in (("assertion", assertion), ("details", details)) if value},
        )
        if details.get("graderError") is True:
            return Judgement(
                evaluator=judgement.evaluator,
                state=Evaluation.State.ERROR,
                error=judgement.explanation or "The grader failed.",
                metadata=judgement.metadata,
            )
        return judgement

    def named(self, name: str, score: Any, component: dict[str, Any]) -> Judgement:
        """A metric that no single assertion carries: of a set, or one that a script returned beside its own."""
        value = number(score)
        return Judgement(
            evaluator=self.spec(name, {"type": "metric"}, 1),
            value=value,
            passed=truth(component.get("pass")),
            decide=False,
            threshold=threshold_of(as_dict(as_dict(component.get("metadata")).get("assertionSet"))),
            explanation=text(component.get("reason")) or ("" if value is not None else "not scored"),
        )

    def overall(self, row: dict[str, Any], grading: dict[str, Any], test: dict[str, Any]) -> Judgement:
        """The weighted mean of a test's assertions; it passes by its own rule, not by a threshold of ours."""
        score = row.get("score") if row.get("score") is not None else grading.get("score")
        return Judgement(
            evaluator=self.spec(OVERALL, {"type": "aggregate"}, 1),
            value=number(score),
            passed=truth(row.get("success")),
            decide=False,
            threshold=number(test.get("threshold")),
            explanation=text(grading.get("reason")),
        )

    def spec(self, name: str, assertion: dict[str, Any], weight: float) -> EvaluatorSpec:
        if name not in self.specs:
            kind = text(assertion.get("type"))
            self.specs[name] = EvaluatorSpec(
                name=name,
                who=Evaluator.Who.AI
                if kind.removeprefix("not-").startswith(JUDGED_BY_MODEL)
                else Evaluator.Who.HEURISTIC,
                value_type=Evaluator.ValueType.NUMBER,
                weight=weight,
                definition={"tool": "promptfoo", "assertion": kind},
            )
        return self.specs[name]


def components_of(grading: dict[str, Any]) -> list[dict[str, Any]]:
    """The assertions' results once each: newer files repeat the children of a set beside it, older ones do not."""
    top = [as_dict(component) for component in as_list(grading.get("componentResults")) if component]
    beside = Counter(_key(component) for component in top)
    found = []
    for component in top:
        found.append(component)
        for child in leaves_of(component):
            if beside[_key(child)] > 0:
                beside[_key(child)] -= 1
            else:
                found.append(child)
    return found


def leaves_of(component: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for child in map(as_dict, as_list(component.get("componentResults"))):
        if child.get("componentResults"):
            yield from leaves_of(child)
        else:
            yield child


def threshold_of(assertion: dict[str, Any]) -> float | None:
    """From which score on it passes; of some kinds it is about milliseconds, dollars or edits instead."""
    return None if assertion.get("type") in OTHER_THRESHOLDS else number(assertion.get("threshold"))


def metric_of(component: dict[str, Any]) -> str:
    assertion_set = as_dict(as_dict(component.get("metadata")).get("assertionSet"))
    return text(as_dict(component.get("assertion")).get("metric") or assertion_set.get("metric"))


def by_a_person(component: dict[str, Any], grading: dict[str, Any]) -> Judgement:
    """A verdict given in promptfoo's viewer is about the whole result."""
    return Judgement(
        evaluator=None,
        passed=truth(component.get("pass")),
        decide=False,
        source=Evaluation.Source.HUMAN,
        author_name="promptfoo user",
        explanation=text(grading.get("comment")) or text(component.get("reason")),
    )


def case_of(inputs: dict[str, Any], test: dict[str, Any]) -> CaseSpec:
    """What is asked makes a case: a test's index is only its place in the file."""
    description = text(test.get("description"))
    assertions = [as_dict(assertion) for assertion in as_list(test.get("assert"))]
    reference = next((a["value"] for a in assertions if a.get("type") in REFERENCES and a.get("value")), None)
    kept = {key: test[key] for key in ("assert", "threshold", "metadata") if test.get(key)}
    return CaseSpec(
        external_id=digest_of(inputs, description),
        name=description or ", ".join(text(value) for value in inputs.values())[:120],
        inputs=inputs,
        expected=None if reference is None else {"expected": reference},
        attributes=kept,
    )


def error_of(row: dict[str, Any]) -> str:
    """The `error` of a row also holds the reason of a failed assertion, which is no error."""
    reason = row.get("failureReason")
    errored = reason == ERRORED or (reason is None and row.get("error") and not row.get("gradingResult"))
    if not errored:
        return ""
    return text(row.get("error")) or text(as_dict(row.get("response")).get("error")) or "The provider failed."


def outcome_of(row: dict[str, Any], error: str) -> str:
    if error:
        return Outcome.ERROR
    if row.get("success") is None:
        return ""
    return Outcome.PASSED if row["success"] else Outcome.FAILED


def output_of(output: Any) -> dict[str, Any] | None:
    if output is None:
        return None
    return output if isinstance(output, dict) else {"output": output}


def usage_of(row: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    used = tokens_in(as_dict(row.get("tokenUsage") or response.get("tokenUsage")))
    return {provider_of(row) or "model": used} if used else {}


def tokens_in(used: dict[str, Any]) -> dict[str, int]:
    names = {"prompt": "input", "completion": "output", "total": "total", "cached": "cached"}
    counted = {ours: number(used.get(theirs)) for theirs, ours in names.items()}
    return {name: int(count) for name, count in counted.items() if count}


def attributes_of(row: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in as_dict(row.get("metadata")).items() if key != "_promptfooFileMetadata"}
    found = {
        "test": row.get("testIdx"),
        "row": row.get("id"),
        "metadata": metadata,
        "cached": as_dict(row.get("response")).get("cached"),
        "comment": as_dict(row.get("gradingResult")).get("comment"),
    }
    return {key: value for key, value in found.items() if value not in (None, {}, "", False)}


def step_of(row: dict[str, Any], response: dict[str, Any], usage: dict[str, Any], error: str) -> StepRecord:
    raw = (
        text(as_dict(row.get("prompt")).get("raw")) if isinstance(row.get("prompt"), dict) else text(row.get("prompt"))
    )
    messages = messages_in(raw)
    output = response.get("output")
    return StepRecord(
        kind=Step.Kind.LLM,
        name=provider_of(row) or "model",
        provider=text(as_dict(row.get("provider")).get("id")),
        inputs={"messages": messages} if messages else {"prompt": raw},
        outputs={} if output is None else {"output": output},
        error=error,
        usage=usage,
        cost=number(row.get("cost")),
        latency_ms=number(row.get("latencyMs")),
    )


def messages_in(raw: str) -> list[Any] | None:
    """A chat prompt is written as JSON: a list of messages."""
    if not raw.lstrip().startswith("["):
        return None
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    is_chat = isinstance(found, list) and all(isinstance(message, dict) and "role" in message for message in found)
    return found if is_chat else None


def provider_of(row: dict[str, Any]) -> str:
    provider = row.get("provider")
    if isinstance(provider, dict):
        return text(provider.get("label")) or text(provider.get("id"))
    return text(provider)


def label_of(row: dict[str, Any]) -> str:
    prompt = row.get("prompt")
    if isinstance(prompt, dict):
        return text(prompt.get("label") or prompt.get("display") or prompt.get("raw"))
    return text(prompt)


def truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _key(component: dict[str, Any]) -> str:
    return json.dumps(component, sort_keys=True, default=str)
