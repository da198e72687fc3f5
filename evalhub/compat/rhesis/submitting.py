"""Test results on their way in: recorded, sent once more with changes, or taken away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.utils import timezone

from evalhub.compat.rhesis.beside import tags_given
from evalhub.compat.rhesis.door import Call
from evalhub.compat.rhesis.finding import find, needed, referred
from evalhub.compat.rhesis.reading import Body, Invalid, Refusal
from evalhub.compat.rhesis.reviews import add_review
from evalhub.compat.rhesis.statuses import REVIEW_MARK, outcome_given, result_codes
from evalhub.compat.rhesis.test_results import one
from evalhub.compat.rhesis.words import Words
from evalhub.database.ids import new_id
from evalhub.web.json import dumps, loads_strict
from results.amending import amend_result, delete_result
from results.models import Evaluation, Outcome, TestResult
from results.models.results import text_of
from results.recording import record_results
from results.records import Judgement, ResultRecord
from runs.evaluators import EvaluatorSpec
from runs.launching import open_run
from runs.models import Case, Evaluator, Project, Prompt, TestConfiguration, TestRun

MOST_METRICS: Final = 500

# --- what is sent -----------------------------------------------------------------------------------------------------


def code_given(body: Body) -> str | None:
    ident = body.ident("status_id")
    if ident is None:
        return None
    found = result_codes(ident)
    if not found:
        raise Refusal(f"Status not found: {ident}")
    return found[0]


def metrics_in(body: Body) -> dict[str, Mapping[str, Any]] | None:
    """{name: metric} of ``test_metrics``; None where none are sent."""
    outer = body.inner("test_metrics")
    if outer is None or "metrics" not in outer:
        return None
    metrics = outer.inner("metrics")
    assert metrics is not None
    if len(metrics.value) > MOST_METRICS:
        raise Invalid("too_long", metrics.place, f"Dictionary should have at most {MOST_METRICS} items")
    for name, metric in metrics.value.items():
        if not isinstance(metric, dict):
            raise Invalid("dict_type", metrics.at(name), "Input should be a valid dictionary")
        if not name.strip() or len(name) > 200:
            raise Invalid("string_too_long", metrics.at(name[:60]), "A metric's name has 1 to 200 characters")
    return metrics.value


def judgement_in(name: str, metric: Mapping[str, Any]) -> Judgement:
    """A metric as the machine's judgement; what we have no column for is kept to give it back."""
    score, passed = metric.get("score"), metric.get("is_successful")
    passed = passed if isinstance(passed, bool) else None
    value = float(score) if isinstance(score, int | float) else None
    label = score if isinstance(score, str) else None
    error = metric.get("error")
    threshold = _number(metric.get("threshold"))
    kept = {
        key: item
        for key, item in metric.items()
        if key not in ("is_successful", "threshold", "reason", "duration_ms", "override", "name")
        and (key != "score" or isinstance(score, bool | list | dict))
    }
    reason = metric.get("reason")
    description = metric.get("description")
    return Judgement(
        evaluator=EvaluatorSpec(
            name=name,
            description=description if isinstance(description, str) else "",
            value_type=Evaluator.ValueType.LABEL if label is not None else Evaluator.ValueType.NUMBER,
            threshold=threshold,
        ),
        state=Evaluation.State.ERROR if error and passed is None else Evaluation.State.SCORED,
        value=value,
        label=label,
        passed=passed,
        decide="is_successful" not in metric,
        threshold=threshold,
        explanation=reason if isinstance(reason, str) else "" if reason is None else text_of(reason),
        error=error if isinstance(error, str) else "",
        latency_ms=_number(metric.get("duration_ms")),
        metadata={"metric": kept} if kept else {},
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def outcome_of_metrics(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """The word that metrics alone imply: Pass only where every one is successful. Empty: we derive the same."""
    verdicts = [verdict_in(metric) for metric in metrics.values()]
    if False in verdicts or None not in verdicts:
        return ""
    return str(Outcome.FAILED)


def verdict_in(metric: Mapping[str, Any]) -> bool | None:
    """What a metric says, else what its score and threshold say."""
    if "is_successful" in metric:
        said = metric["is_successful"]
        return said if isinstance(said, bool) else None
    score, threshold = _number(metric.get("score")), _number(metric.get("threshold"))
    return None if score is None or threshold is None else score >= threshold


def conversation_in(output: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The turns of a multi-turn output as pages show them."""
    turns = (output or {}).get("conversation_summary")
    found = []
    for position, turn in enumerate(turns if isinstance(turns, list) else (), 1):
        if not isinstance(turn, dict):
            continue
        said = (("user", turn.get("penelope_message")), ("assistant", turn.get("target_response")))
        messages = [{"role": role, "content": text if isinstance(text, str) else text_of(text)} for role, text in said]
        number = turn.get("turn")
        one: dict[str, Any] = {"turn": number if isinstance(number, int) else position, "messages": messages}
        if isinstance(turn.get("success"), bool):
            one["success"] = turn["success"]
        found.append(one)
    return found


def session_in(output: Mapping[str, Any] | None) -> str:
    session = (output or {}).get("session_id")
    return session[:300] if isinstance(session, str) else ""


# --- recording --------------------------------------------------------------------------------------------------------


def create_result(call: Call) -> Words:
    call.must("record")
    body = call.body()
    configuration = needed(call, body, "test_configuration_id", TestConfiguration)
    run = referred(call, body, "test_run_id", TestRun)
    case, prompt = referred(call, body, "test_id", Case), referred(call, body, "prompt_id", Prompt)
    output, metrics, code = body.mapping("test_output"), metrics_in(body), code_given(body)
    if run is None:
        run = adhoc_run(call, configuration)
    elif run.configuration_id != configuration.pk:
        raise Refusal("The test run belongs to another test configuration.")
    reported, attributes = outcome_given(code) if code else (outcome_of_metrics(metrics or {}), {})
    if prompt is not None and (case is None or case.prompt_id != prompt.pk):
        attributes = {**attributes, "prompt_id": prompt.public_id}
    inputs = {"input": prompt.content} if case is None and prompt is not None else {}
    failure = (output or {}).get("error") if code == "error" else None
    record = ResultRecord(
        external_id=str(new_id()),  # so that the same test may come again
        case=case.pk if case else None,
        inputs=inputs,
        output=output,
        conversation=conversation_in(output),
        error=failure if isinstance(failure, str) else "",
        reported_outcome=reported,
        latency_ms=_number((body.mapping("test_metrics") or {}).get("execution_time")),
        session_id=session_in(output),
        tags=tags_given(body) or [],
        attributes=attributes,
        evaluations=[judgement_in(name, metric) for name, metric in (metrics or {}).items()],
    )
    (recorded,) = record_results(run, [record], via=TestRun.Via.RHESIS)
    if run.status == TestRun.Status.QUEUED and not run.shards.exists():
        run.start()
    take_reviews(call, TestResult.objects.get(pk=recorded.id), body)
    return one(call, recorded.id)


def adhoc_run(call: Call, configuration: TestConfiguration) -> TestRun:
    """The hidden run that holds a configuration's results of one day which came without a run."""
    today = timezone.now().date()
    found = TestRun.objects.visible_to(call.actor).filter(
        configuration=configuration, kind=TestRun.Kind.ADHOC, day=today
    )
    run = found.first()
    if run is None:
        Project.objects.select_for_update(no_key=True).get(pk=configuration.project_id)  # one maker a day
        run = found.first() or open_run(
            configuration.project,
            name=f"{configuration.name[:250]}: single results, {today:%d %b %Y}",
            configuration=configuration,
            by=call.actor.user,
            via=TestRun.Via.RHESIS,
            kind=TestRun.Kind.ADHOC,
            day=today,
            status=TestRun.Status.COMPLETED,
        )
    return run


def change_result(call: Call, ident: str) -> Words:
    """Only what differs from what we show is a change: the SDK pushes whole rows back."""
    call.must("record")
    body = call.body()
    result = find(call, TestResult, ident)
    _refuse_moves(call, body, result)
    shown = loads_strict(dumps(one(call, result.pk)))  # as the sender has seen it
    changes: dict[str, Any] = {}
    output = body.mapping("test_output")
    if output is not None and output != shown["test_output"]:
        changes |= {"output": output, "conversation": conversation_in(output)}
        if "session_id" in output:
            changes["session_id"] = session_in(output)
    sent = body.mapping("test_metrics") or {}
    took = _number(sent.get("execution_time"))
    if took is not None:
        changes["latency_ms"] = took
    metrics = metrics_in(body)
    before = shown["test_metrics"]["metrics"]
    new = {name: metric for name, metric in (metrics or {}).items() if metric != before.get(name)}
    attributes = dict(result.attributes)
    code = code_given(body)
    if code is not None and code != shown["status_id"]:
        changes["reported_outcome"], marked = outcome_given(code)
        attributes = {key: value for key, value in attributes.items() if key != REVIEW_MARK} | marked
    elif new:
        changes["reported_outcome"] = outcome_of_metrics({**before, **new})
        attributes.pop(REVIEW_MARK, None)
    prompt = referred(call, body, "prompt_id", Prompt)
    if prompt is not None and prompt.public_id != shown["prompt_id"]:
        attributes["prompt_id"] = prompt.public_id
    tags = tags_given(body)
    if tags is not None:
        changes["tags"] = tags
    changes["attributes"] = attributes
    judgements = [judgement_in(name, metric) for name, metric in new.items()]
    amend_result(result, changes, by=call.actor, judgements=judgements, via=TestRun.Via.RHESIS)
    take_reviews(call, result, body)
    return one(call, result.pk)


def _refuse_moves(call: Call, body: Body, result: TestResult) -> None:
    """A result stays in its run and with its test: numbers were made of it."""
    run, case = referred(call, body, "test_run_id", TestRun), referred(call, body, "test_id", Case)
    configuration = referred(call, body, "test_configuration_id", TestConfiguration)
    if run is not None and run.pk != result.run_id:
        raise Refusal("A test result stays in the test run that it was recorded in.", 409)
    if case is not None and case.pk != result.case_id:
        raise Refusal("A test result stays with the test that it was recorded for.", 409)
    if configuration is not None and configuration.pk != result.run.configuration_id:
        raise Refusal("A test result stays with its test run's configuration.", 409)


def take_reviews(call: Call, result: TestResult, body: Body) -> None:
    """Reviews that come inside ``test_reviews``: those that we do not know yet are the caller's."""
    outer = body.inner("test_reviews")
    if outer is None:
        return
    known = {
        str(pk)
        for pk in Evaluation.objects.filter(result=result, source=Evaluation.Source.HUMAN).values_list("pk", flat=True)
    }
    for review in outer.items("reviews"):
        if review.ident("review_id") not in known:
            add_review(call, result, review)


def remove_result(call: Call, ident: str) -> Words:
    call.must("archive", "record")
    result = find(call, TestResult, ident)
    words = one(call, result.pk)
    delete_result(result, by=call.actor)
    return words
