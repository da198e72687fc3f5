"""Executing: test sets, configurations and single tests against an endpoint, scoring again, and trying an endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django.db.models import Exists, OuterRef, QuerySet

from evalhub.compat.rhesis.door import Call, calls_out
from evalhub.compat.rhesis.finding import WHAT, find, find_or_none, find_test_set, needed, referred, visible
from evalhub.compat.rhesis.reading import Body, Invalid, Refusal, not_found
from evalhub.compat.rhesis.set_up import configuration_name
from evalhub.compat.rhesis.statuses import RESULT, RUN
from evalhub.compat.rhesis.test_runs import generated_name
from evalhub.compat.rhesis.words import Words, nano_id
from results.models import Evaluation, TestResult
from results.models.results import text_of
from results.trying import try_endpoint
from runs.asking import Failure, Said, ask_once, cannot_be_called
from runs.chatting import default_model
from runs.configurations import create_configuration
from runs.conversing import needs_a_user
from runs.judgeable import cannot_judge
from runs.launching import launch, plan_judging
from runs.models import (
    Case,
    Endpoint,
    Evaluator,
    TestConfiguration,
    TestRun,
    TestSet,
    TestSetCase,
    TestSetEvaluator,
)

MODELS: Final = {"judge": "evaluation_model_id", "simulator": "execution_model_id"}
MODES: Final = ("Parallel", "Sequential")
EXECUTION: Final = (
    "execution_model_id", "evaluation_model_id", "experiment_id", "version", "environment",
)  # fmt: skip


# --- launching --------------------------------------------------------------------------------------------------------


def execute_set(call: Call, ident: str, endpoint: str) -> Words:
    call.must("launch")
    body = call.body()
    test_set, target = find_test_set(call, ident), find(call, Endpoint, endpoint)
    reference = referred(call, body, "reference_test_run_id", TestRun)
    metrics, models = metrics_in(call, body), models_in(call, body)
    if reference is not None:
        if reference.configuration is None:
            raise Refusal("The test run has no configuration.")
        return _rescored(call, reference, metrics, models["judge"], test_set, target)
    if not TestSetCase.objects.filter(test_set=test_set, case__deleted_at=None, case__archived_at=None).exists():
        raise Refusal(f"The test set “{test_set.name}” has no tests.")
    if reason := cannot_be_called(target):
        raise Refusal(reason)
    configuration = _configuration_for(call, test_set, target, _attributes(body, metrics, test_set))
    run = launch(
        configuration,
        by=call.actor,
        via=TestRun.Via.RHESIS,
        name=generated_name(configuration),
        evaluators=metrics,
        **models,
    )
    return _submitted(run, test_set, target, f"Test set execution started for {test_set.name}")


def metrics_in(call: Call, body: Body) -> list[Evaluator] | None:
    """``metrics`` of this execution, by id, else by name; None where the test set or the requirements decide."""
    found: list[Evaluator] = []
    for item in body.items("metrics"):
        ident = item.ident("id")
        if ident is not None:
            found.append(find(call, Evaluator, ident, status=400))
            continue
        name = item.text("name", longest=200)
        if not name:
            raise Invalid("missing", item.at("id"), "Field required")
        named = visible(call, Evaluator).filter(name=name, archived_at__isnull=True).order_by("-origin", "created_at")
        evaluator = named.first()
        if evaluator is None:
            raise not_found(WHAT[Evaluator], name, 400)
        found.append(evaluator)
    return found or None


def models_in(call: Call, body: Body) -> dict[str, Any]:
    """The models of this execution: endpoints of ours that speak the OpenAI-compatible language."""
    return {word: _model(call, body.ident(key)) for word, key in MODELS.items()}


def _model(call: Call, ident: str | None) -> Endpoint | None:
    if ident is None:
        return None
    model: Endpoint | None = find_or_none(call, Endpoint, ident)
    if model is None:
        raise Refusal(f"Model not found: {ident[:80]}. A model is an endpoint here: name its id.")
    return model


def _attributes(body: Body, metrics: Sequence[Evaluator] | None, test_set: TestSet) -> dict[str, Any]:
    """What an execution writes into its configuration."""
    options = body.inner("execution_options")
    mode = options.choice("execution_mode", MODES) if options else None
    attributes: dict[str, Any] = {"execution_mode": mode or "Parallel"}
    if options is not None:
        for key in ("repetitions", "concurrency", "timeout", "retry_count"):
            if key in options:
                attributes[key] = options.whole(key)
    attributes |= {key: ident for key in EXECUTION if (ident := body.ident(key)) is not None}
    if metrics:
        attributes["metrics"] = [{"id": one.public_id, "name": one.name} for one in metrics]
    brought = TestSetEvaluator.objects.filter(test_set=test_set, evaluator__deleted_at__isnull=True)
    attributes["metrics_source"] = "execution_time" if metrics else "test_set" if brought.exists() else "requirement"
    return attributes


def _configuration_for(
    call: Call, test_set: TestSet, endpoint: Endpoint, attributes: dict[str, Any]
) -> TestConfiguration:
    """The configuration of an earlier execution like this one, so that its runs can be compared; else a new one."""
    alike = visible(call, TestConfiguration).filter(
        endpoint=endpoint, test_set=test_set, category=None, topic=None, prompt=None, archived_at=None,
        external_id=None, parameters=attributes,
    )  # fmt: skip
    found: TestConfiguration | None = alike.order_by("-created_at").first()
    return found or create_configuration(
        endpoint.project,
        by=call.actor,
        name=configuration_name(endpoint, test_set),
        endpoint=endpoint,
        test_set=test_set,
        parameters=attributes,
    )


def _submitted(run: TestRun, test_set: TestSet, endpoint: Endpoint, message: str) -> Words:
    assert run.configuration is not None
    return {
        "status": "submitted",
        "message": message,
        "test_set_id": test_set.public_id,
        "test_set_name": test_set.name,
        "endpoint_id": endpoint.public_id,
        "endpoint_name": endpoint.name,
        "test_configuration_id": run.configuration.public_id,
        "test_run_id": run.public_id,
        "task_id": str(run.pk),
    }


def execute_configuration(call: Call, ident: str) -> Words:
    """As it says, over everything of its test set; its attributes are parameters of the run."""
    call.must("launch")
    call.body()
    configuration = find(call, TestConfiguration, ident)
    said = Body(configuration.parameters if isinstance(configuration.parameters, dict) else {}, ("attributes",))
    run = launch(
        configuration,
        by=call.actor,
        via=TestRun.Via.RHESIS,
        name=generated_name(configuration),
        **models_in(call, said),
    )
    test_set, endpoint = configuration.test_set, configuration.endpoint
    assert test_set is not None and endpoint is not None
    return {
        "test_configuration_id": configuration.public_id,
        "test_run_id": run.public_id,
        "task_id": str(run.pk),
        "status": "submitted",
        "endpoint_id": endpoint.public_id,
        "test_set_id": test_set.public_id,
        "user_id": str(call.actor.user.pk),
    }


# --- scoring again ----------------------------------------------------------------------------------------------------


def rescore_run(call: Call, ident: str) -> Words:
    call.must("launch")
    run = find(call, TestRun, ident)
    body = call.body()
    scoring = _judge_again(call, run, metrics_in(call, body), models_in(call, body)["judge"])
    return {
        "status": "submitted",
        "test_configuration_id": run.configuration.public_id if run.configuration else None,
        "reference_test_run_id": run.public_id,
        "test_run_id": run.public_id,
        "task_id": scoring,
    }


def _judge_again(call: Call, run: TestRun, metrics: Sequence[Evaluator] | None, judge: Endpoint | None) -> str:
    """The run's results get new judgements beside those that they have; nobody is asked again."""
    if run.is_active:
        raise Refusal("The test run is still in progress.", 409)
    chosen = list(metrics or ()) or _evaluators_of(run)
    machines = [evaluator for evaluator in chosen if evaluator.who != Evaluator.Who.HUMAN]
    results = TestResult.objects.filter(run=run, deleted_at__isnull=True).order_by("position", "pk")
    return plan_judging(run, list(results.values_list("pk", flat=True)), machines, by=call.actor, judge=judge)


def _evaluators_of(run: TestRun) -> list[Evaluator]:
    """Those that the run was judged by, as they are now."""
    judged = Evaluator.objects.filter(evaluations__run=run, deleted_at__isnull=True).distinct()
    return list(judged.filter(origin=Evaluator.Origin.OWN).order_by("name"))


def _rescored(
    call: Call,
    run: TestRun,
    metrics: Sequence[Evaluator] | None,
    judge: Endpoint | None,
    test_set: TestSet,
    endpoint: Endpoint,
) -> Words:
    scoring = _judge_again(call, run, metrics, judge)
    words = _submitted(run, test_set, endpoint, f"Re-scoring started for {run.name}")
    return {**words, "reference_test_run_id": run.public_id, "task_id": scoring}


def last_run(call: Call, ident: str, endpoint: str) -> Words:
    test_set, target = find_test_set(call, ident), find(call, Endpoint, endpoint)
    runs = visible(call, TestRun).filter(
        configuration__test_set=test_set, configuration__endpoint=target, status=TestRun.Status.COMPLETED
    )
    run: TestRun | None = runs.order_by("-created_at", "-id").first()
    if run is None:
        raise not_found("Completed test run")
    rate = run.pass_rate
    return {
        "id": run.public_id,
        "nano_id": nano_id(run.pk),
        "name": run.name,
        "status": RUN[run.status].name,
        "created_at": run.created_at,
        "test_count": run.result_count,
        "pass_rate": None if rate is None else round(rate * 100, 1),
    }


# --- trying -----------------------------------------------------------------------------------------------------------


@calls_out
def invoke(call: Call, ident: str) -> Words:
    """One message to the endpoint, now."""
    call.must("launch")
    body = call.body()
    endpoint = find(call, Endpoint, ident)
    body.need("input")
    session = body.text("conversation_id", longest=300) or body.text("session_id", longest=300)
    with failures_told():
        said = ask_once(endpoint, {"input": body.text("input"), "session_id": session})
    return {**output_of(said), "session_id": said.session_id or session, "conversation_id": said.session_id or session}


def auto_configure(call: Call) -> Words:
    raise Refusal("EvalHub does not guess an endpoint's mappings: set request_mapping and response_mapping.")


@contextmanager
def failures_told() -> Iterator[None]:
    try:
        yield
    except Failure as failure:
        raise Refusal(f"The endpoint could not be invoked ({failure.code}): {failure.message}") from None


def output_of(said: Said) -> Words:
    return {
        "output": said.output if isinstance(said.output, str) else text_of(said.output),
        "session_id": said.session_id or None,
        "metadata": said.metadata,
        "context": said.context if said.context is not None else [],
        "tool_calls": said.tool_calls or [],
    }


@calls_out
def execute_test(call: Call) -> Words:
    """One test, asked and judged now; nothing is recorded."""
    call.must("launch")
    body = call.body()
    endpoint = needed(call, body, "endpoint_id", Endpoint)
    case = referred(call, body, "test_id", Case)
    if case is not None and (case.plan or {}).get("goal"):
        raise Refusal("A conversation is executed in a test set: its turns take too long for one request.")
    inputs = case.inputs if case is not None and isinstance(case.inputs, dict) else {"input": _prompt_in(body)}
    judged = case is not None and body.flag("evaluate_metrics") is not False
    with failures_told():
        tried = try_endpoint(
            endpoint,
            inputs,
            organization_id=call.actor.organization_id,
            expected=case.expected if case else None,
            evaluators=_evaluators_for(case) if case is not None and judged else (),
        )
    took = round(tried.said.latency_ms, 1)
    metrics = {row.evaluator.name: _metric(row) for row in tried.evaluations if row.evaluator}
    verdicts = [row.passed for row in tried.evaluations]
    status = RESULT["error" if not verdicts else "passed" if all(one is True for one in verdicts) else "failed"]
    return {
        "test_id": case.public_id if case else None,
        "prompt_id": case.prompt.public_id if case and case.prompt else None,
        "endpoint_id": endpoint.public_id,
        "execution_time": took,
        "test_output": output_of(tried.said),
        "test_metrics": {"execution_time": took, "metrics": metrics},
        "status": status.name,
        "status_id": status.code,
        "test_configuration": None,
    }


def _prompt_in(body: Body) -> str:
    prompt = body.inner("prompt")
    content = prompt.text("content") if prompt else body.text("input")
    if not content:
        raise Invalid("missing", body.at("test_id"), "Field required")
    return content


def _evaluators_for(case: Case) -> list[Evaluator]:
    """Those of its test sets, else those of its requirement."""
    brought = TestSetEvaluator.objects.filter(test_set__memberships__case=case, test_set__deleted_at__isnull=True)
    live = Evaluator.objects.filter(organization=case.organization_id, deleted_at__isnull=True, archived_at=None)
    found = list(live.filter(pk__in=brought.values("evaluator")).order_by("name"))
    return found or list(live.filter(requirements=case.requirement_id).order_by("name"))


def _metric(row: Evaluation) -> Words:
    assert row.evaluator is not None
    return {
        "name": row.evaluator.name,
        "score": row.value if row.value is not None else row.label,
        "threshold": row.threshold,
        "is_successful": row.passed,
        "reason": row.explanation or row.error or None,
        "backend": "evalhub",
        "description": row.evaluator.description,
        "duration_ms": row.latency_ms,
        **({"error": row.error} if row.error else {}),
    }


# --- before executing -------------------------------------------------------------------------------------------------


def preflight(call: Call) -> Words:
    """What would keep an execution from telling anything, without calling the endpoint."""
    body = call.body()
    body.need("test_set_id", "endpoint_id")
    test_set = needed(call, body, "test_set_id", TestSet)
    endpoint = needed(call, body, "endpoint_id", Endpoint)
    idents = [one.ident("id") for one in body.items("selected_metrics")]
    selected = [find(call, Evaluator, ident, status=400) for ident in idents if ident]
    models = models_in(call, body)
    called = [endpoint, *(one for one in models.values() if one is not None)]
    checks = [_check_endpoint(one) for one in called] + _check_tests(test_set, selected, **models)
    numbers = {state: sum(check["status"] == state for check in checks) for state in STATES}
    summary = "failed" if numbers["failed"] else "warning" if numbers["warning"] else "passed"
    return {
        "checks": checks,
        "summary": summary,
        "passed": numbers["passed"],
        "failed": numbers["failed"],
        "warnings": numbers["warning"],
        "skipped": numbers["skipped"],
    }


STATES: Final = ("passed", "failed", "warning", "skipped")


def _check(check_id: str, label: str, status: str, message: str) -> Words:
    return {"check_id": check_id, "label": label, "status": status, "message": message, "detail": None}


def _check_endpoint(endpoint: Endpoint) -> Words:
    reason = cannot_be_called(endpoint)
    if reason:
        return _check("endpoint", "Endpoint", "failed", reason)
    return _check("endpoint", "Endpoint", "passed", f"“{endpoint.name}” can be called; it was not called now.")


def _check_tests(
    test_set: TestSet, selected: Sequence[Evaluator], judge: Endpoint | None, simulator: Endpoint | None
) -> list[Words]:
    members = TestSetCase.objects.filter(test_set=test_set, case__deleted_at=None, case__archived_at=None)
    total = members.count()
    if not total:
        return [
            _check("tests", "Tests", "failed", f"The test set “{test_set.name}” has no tests."),
            _check("metrics", "Metrics", "skipped", "There is nothing to judge."),
        ]
    checks = [_check("tests", "Tests", "passed", f"{total:,} tests.")]
    played = members.filter(case__plan__goal__isnull=False).values_list("case__inputs", "case__plan")
    if any(needs_a_user(inputs, plan) for inputs, plan in played):
        there = simulator is not None or default_model() is not None
        said = "A model plays the users." if there else "Tests have a goal, and no model is set up to play the user."
        checks.append(_check("conversations", "Conversations", "passed" if there else "failed", said))
    return [*checks, _check_metrics(test_set, members, selected, judge)]


def _check_metrics(
    test_set: TestSet, members: QuerySet[TestSetCase], selected: Sequence[Evaluator], judge: Endpoint | None
) -> Words:
    brought = TestSetEvaluator.objects.filter(test_set=test_set, evaluator__deleted_at__isnull=True)
    metrics = list(selected) or [row.evaluator for row in brought.select_related("evaluator")]
    live = Evaluator.objects.filter(deleted_at__isnull=True, archived_at__isnull=True)
    without = 0
    if not metrics:
        without = members.filter(~Exists(live.filter(requirements=OuterRef("case__requirement")))).count()
        metrics = list(live.filter(requirements__cases__memberships__in=members).distinct())
    if without:
        return _check("metrics", "Metrics", "warning", f"{without:,} tests have no metric: nothing judges them.")
    for metric in metrics:
        if reason := cannot_judge(metric.who, metric.definition, judge):
            return _check("metrics", "Metrics", "warning", f"“{metric.name}” does not judge here. {reason}")
    return _check("metrics", "Metrics", "passed", "Every test has a metric that judges it.")
