"""Test results, production calls and evaluations on their way in: translated, then recorded by the one desk."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from evalhub.accounts.models import User
from evalhub.accounts.tenancy import normal_external_id
from evalhub.audit.models import record_event
from evalhub.compat.gentrace.door import Call
from evalhub.compat.gentrace.finding import one
from evalhub.compat.gentrace.reading import Body, Refusal, html_key, read_local_evaluation, read_path, read_step
from evalhub.web.json import dumps
from results.awaiting import expect_judgements
from results.models import Evaluation, TestResult
from results.recording import record_results
from results.records import Judgement, ResultRecord
from results.settling import Settlement, settlement
from runs.cases import CaseSpec, golden_set
from runs.launching import open_run
from runs.models import Case, Evaluator, Project, TestRun

MOST = 10_000  # results in one request


def submit(call: Call, project: Project, body: Body, *, with_steps: bool) -> TestRun:
    """A new run with its results. The same results again (ids of the client) give the run that they are in."""
    items = body.items("testRuns", required=True)
    if len(items) > MOST:
        raise Refusal(f"testRuns holds {len(items):,} items; send at most {MOST:,} at once.")
    metadata = body.metadata("metadata")
    records = _records(call, project, items, with_steps=with_steps, remote=bool(body.flag("triggerRemoteEvals")))
    known = _run_of(call, project, records)
    if known is not None:
        return known
    try:
        with transaction.atomic():
            run = open_run(
                project,
                name=body.text("name")[:300],
                by=call.actor.user,
                via=TestRun.Via.GENTRACE,
                branch=body.text("branch")[:200],
                commit=body.text("commit")[:200],
                metadata=metadata,
                attributes={"collection_method": body.text("collectionMethod")} if with_steps else {},
            )
            record_results(run, records, via=TestRun.Via.GENTRACE)
            run.finish(TestRun.Status.COMPLETED)
    except IntegrityError:  # the same submission at the same time
        known = _run_of(call, project, records)
        if known is None:
            raise
        return known
    expect_judgements(run)
    return run


def add(call: Call, run: TestRun, body: Body, *, with_steps: bool) -> None:
    """More results for a run; those that are there already stay."""
    items = body.items("testRuns", required=True)
    remote = bool(body.flag("triggerRemoteEvals"))
    record_results(
        run, _records(call, run.project, items, with_steps=with_steps, remote=remote), via=TestRun.Via.GENTRACE
    )
    expect_judgements(run)


def _records(
    call: Call, project: Project, items: Sequence[Body], *, with_steps: bool, remote: bool
) -> list[ResultRecord]:
    cases = _cases_named(call, project, items)
    evaluators = list(Evaluator.objects.current().filter(project=project, origin=Evaluator.Origin.OWN))
    people = [evaluator for evaluator in evaluators if evaluator.who == Evaluator.Who.HUMAN]
    machines = [evaluator for evaluator in evaluators if evaluator.who != Evaluator.Who.HUMAN] if remote else []
    records = []
    for item, case in zip(items, cases, strict=True):
        steps = [read_step(step) for step in item.items("stepRuns")]
        ident = item.uuid("id")
        starts = [step.started_at for step in steps if step.started_at]
        ends = [step.finished_at for step in steps if step.finished_at]
        elapsed = [step.latency_ms for step in steps if step.latency_ms is not None]
        if with_steps:
            inputs = item.mapping("inputs") or (steps[0].inputs if steps else {})
            output = steps[-1].outputs if steps else None
        else:
            inputs, output = item.mapping("inputs", required=True) or {}, item.mapping("outputs")
        records.append(
            ResultRecord(
                external_id=str(ident) if ident else None,
                case=case,
                repetition=1,
                name=item.text("name")[:300],
                inputs=inputs,
                output=output,
                error=item.text("error"),
                latency_ms=sum(elapsed) if elapsed else None,
                started_at=min(starts) if starts else None,
                finished_at=max(ends) if ends else None,
                render_html_key=html_key(steps),
                path=read_path(item),
                previous_run_id=item.uuid("previousRunId"),
                collection_method=item.text("collectionMethod")[:16],
                metadata=item.metadata("metadata"),
                steps=steps,
                evaluations=[
                    *(Judgement(evaluator=person, source="human", state="pending") for person in people),
                    *(Judgement(evaluator=machine, state="pending") for machine in machines),
                    *(read_local_evaluation(evaluation) for evaluation in item.items("evaluations")),
                ],
            )
        )
    _spread_repetitions(records)
    return records


def _spread_repetitions(records: Iterable[ResultRecord]) -> None:
    """The clients know no repetitions: a case that comes twice without ids of its own was asked twice."""
    seen: dict[object, int] = {}
    for record in records:
        if record.external_id is None:
            key = record.case.external_id if isinstance(record.case, CaseSpec) else record.case
            seen[key] = record.repetition = seen.get(key, 0) + 1


def _cases_named(call: Call, project: Project, items: Sequence[Body]) -> list[UUID | CaseSpec]:
    """The case of each item: the one that caseId names, else one made for local data and found again next time."""
    idents = {str(item.uuid("caseId")) for item in items if "caseId" in item}
    visible = Case.objects.visible_to(call.actor).filter(project=project)
    known: dict[str, UUID] = {}
    for pk, external_id in visible.filter(pk__in=idents).values_list("pk", "external_id"):
        known[str(pk)] = pk
        if external_id:
            known[external_id] = pk
    for pk, external_id in visible.filter(external_id__in=idents).values_list("pk", "external_id"):
        known[external_id or ""] = pk
    found: list[UUID | CaseSpec] = []
    for item in items:
        if "caseId" in item:
            ident = str(item.uuid("caseId"))
            if ident not in known:
                raise Refusal(f"{item.named('caseId')}: the pipeline has no test case {ident}.")
            found.append(known[ident])
            continue
        name, inputs = item.text("name", required=True), item.mapping("inputs", required=True) or {}
        expected = item.mapping("expectedOutputs")
        digest = hashlib.sha256(dumps([name, inputs, expected])).hexdigest()[:32]
        golden_set(project)
        found.append(CaseSpec(external_id=f"local:{project.pk}:{digest}", name=name, inputs=inputs, expected=expected))
    return found


def _run_of(call: Call, project: Project, records: Sequence[ResultRecord]) -> TestRun | None:
    """The run that holds all these results already."""
    idents = {normal_external_id(record.external_id) for record in records if record.external_id}
    if not idents or len(idents) < len(records):
        return None
    runs = TestResult.objects.visible_to(call.actor).filter(external_id__in=idents, run__project=project)
    found = list(runs.values_list("run_id", flat=True))
    if len(found) != len(idents) or len(set(found)) != 1:
        return None
    return TestRun.objects.visible_to(call.actor).get(pk=found[0])


# --- production -------------------------------------------------------------------------------------------------------


def record_production(call: Call, project: Project, body: Body) -> TestResult:
    """One production call, in the project's hidden run of the day."""
    ident = body.uuid("id", required=True)
    steps = [read_step(step) for step in body.items("stepRuns")]
    starts = [step.started_at for step in steps if step.started_at]
    ends = [step.finished_at for step in steps if step.finished_at]
    elapsed = [step.latency_ms for step in steps if step.latency_ms is not None]
    record = ResultRecord(
        external_id=str(ident),
        inputs=steps[0].inputs if steps else {},
        output=steps[-1].outputs if steps else None,
        error=body.text("error"),
        latency_ms=sum(elapsed) if elapsed else None,
        started_at=min(starts) if starts else None,
        finished_at=max(ends) if ends else None,
        render_html_key=html_key(steps),
        previous_run_id=body.uuid("previousRunId"),
        collection_method=body.text("collectionMethod")[:16],
        metadata=body.metadata("metadata"),
        steps=steps,
    )
    (recorded,) = record_results(_production_run(call, project), [record], via=TestRun.Via.GENTRACE)
    return TestResult.objects.get(pk=recorded.id)


def _production_run(call: Call, project: Project) -> TestRun:
    today = timezone.now().date()
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # one maker a day
        found = TestRun.objects.visible_to(call.actor).filter(
            project=project, kind=TestRun.Kind.PRODUCTION, day=today, configuration=None
        )
        return found.first() or open_run(
            project,
            name=f"Production calls, {today:%d %b %Y}",
            by=call.actor.user,
            via=TestRun.Via.GENTRACE,
            kind=TestRun.Kind.PRODUCTION,
            day=today,
            status=TestRun.Status.COMPLETED,
        )


# --- evaluations ------------------------------------------------------------------------------------------------------


def add_evaluations(call: Call, items: Sequence[Body]) -> int:
    """Judgements of known results by known evaluators; one that meets a pending one settles it. All or none."""
    by_run: dict[UUID, list[Answer]] = defaultdict(list)
    for item in items:
        result = one(TestResult, call, item.text("runId", required=True), "run", status=400)
        evaluator = one(Evaluator, call, item.text("evaluatorId", required=True), "evaluator", status=400)
        if evaluator.project_id not in (None, result.run.project_id):
            raise Refusal(f"{item.place}: the evaluator and the run belong to different pipelines.")
        label, value = _answer(item, evaluator)
        by_run[result.run_id].append(Answer(result.pk, evaluator, label, value, item.text("note")))
    with transaction.atomic():
        for run_id, answers in sorted(by_run.items()):
            with settlement(run_id, {answer.result_id for answer in answers}) as settled:
                for answer in answers:
                    _judge(settled, answer, call.actor.user)
        record_event("evaluations.added", by=call.actor, count=len(items))
    return len(items)


@dataclass(frozen=True, slots=True)
class Answer:
    result_id: UUID
    evaluator: Evaluator
    label: str | None
    value: float | None
    note: str


def _answer(item: Body, evaluator: Evaluator) -> tuple[str | None, float | None]:
    """The label and its share, or the share: what the evaluator's value type asks for."""
    label, value = item.text("evalLabel") or None, item.number("evalValue")
    if evaluator.value_type == Evaluator.ValueType.LABEL:
        labels = [option["label"] for option in evaluator.options]
        if label is None:
            raise Refusal(f"{item.place}: “{evaluator.name}” needs an evalLabel, one of {', '.join(labels)}.")
        if label not in labels:
            raise Refusal(f"{item.named('evalLabel')}: “{label[:80]}” is none of {', '.join(labels)}.")
        return label, evaluator.option_value(label)
    if value is None:
        raise Refusal(f"{item.place}: “{evaluator.name}” needs an evalValue between 0 and 1.")
    if not 0 <= value <= 1:
        raise Refusal(f"{item.named('evalValue')} must be between 0 and 1.")
    return None, value


def _judge(settled: Settlement, answer: Answer, user: User) -> None:
    """A human evaluator's judgement has the token's user as its author, any other is the machine's."""
    evaluator = answer.evaluator
    human = evaluator.who == Evaluator.Who.HUMAN
    source = Evaluation.Source.HUMAN if human else Evaluation.Source.MACHINE
    fields = {
        "state": Evaluation.State.SCORED,
        "label": answer.label,
        "value": answer.value,
        "passed": evaluator.verdict(answer.value, answer.label),
        "threshold": evaluator.threshold,
        "evaluator_version": evaluator.version,
        "explanation": answer.note,
        "via": TestRun.Via.GENTRACE,
        "author_id": user.pk if human else None,
    }
    same = [
        row
        for row in settled.current(answer.result_id)
        if row.evaluator_id == evaluator.pk and row.source == source and row.turn is None
    ]
    pending = next((row for row in same if row.state == Evaluation.State.PENDING), None)
    mine = any(row.author_id == user.pk for row in same)
    if pending is not None and not (human and mine):
        settled.change(pending, **fields)
    else:
        settled.add(Evaluation(result_id=answer.result_id, evaluator=evaluator, source=source, **fields))
