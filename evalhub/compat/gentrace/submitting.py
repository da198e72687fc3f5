"""Test results, production calls and evaluations on their way in: translated, then recorded by the one desk."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Max
from django.utils import timezone

from evalhub.accounts.models import User
from evalhub.accounts.tenancy import normal_external_id
from evalhub.audit.models import record_event
from evalhub.compat.gentrace.door import Call
from evalhub.compat.gentrace.finding import ids_of
from evalhub.compat.gentrace.reading import (
    LONGEST_ID,
    Body,
    Refusal,
    html_key,
    local_evaluator,
    read_local_evaluation,
    read_path,
    read_step,
)
from evalhub.web.json import dumps
from results.awaiting import expect_judgements
from results.models import Evaluation, TestResult
from results.recording import RecordingError, record_results
from results.records import Judgement, ResultRecord
from results.settling import Settlement, settlement
from runs.cases import CaseSpec, ensure_cases, golden_set
from runs.evaluators import ensure_evaluators
from runs.launching import open_run
from runs.models import Case, Evaluator, Project, TestRun

COMPARED = 5  # how many earlier runs are looked at for one that asked the same
MOST = 10_000  # results or evaluations in one request
ANSWER_IDS = ("runId", "evaluatorId")


def submit(call: Call, project: Project, body: Body, *, with_steps: bool) -> TestRun:
    """A new run with its results. The same results again (ids of the client) give the run that they are in."""
    items = results_in(body)
    method = _collection_method(body) if with_steps else ""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # or one submission, sent twice at once, is two
    known = _run_of(call, project, items)
    if known is not None:
        return known
    run = open_run(
        project,
        name=body.text("name")[:300],
        by=call.actor.user,
        via=TestRun.Via.GENTRACE,
        branch=body.text("branch")[:200],
        commit=body.text("commit")[:200],
        metadata=body.metadata("metadata"),
        attributes={"collection_method": method} if method else {},
    )
    _record(call, run, body, items, with_steps=with_steps)
    run.finish(TestRun.Status.COMPLETED)
    compare(run)
    return run


def add(call: Call, run: TestRun, body: Body, *, with_steps: bool) -> None:
    """More results for a run. Those with an id that is there already stay; a case without one was asked once more."""
    items = results_in(body)
    TestRun.objects.select_for_update(no_key=True).get(pk=run.pk)
    _record(call, run, body, items, with_steps=with_steps)
    if run.via == TestRun.Via.GENTRACE:
        compare(run)


def compare(run: TestRun) -> None:
    """Name the last run of the project that asked the same cases: these runs have no configuration to compare by."""
    asked = cases_of(run)
    earlier = TestRun.objects.visible_in(run.organization_id).listed().filter(
        project=run.project_id, configuration=None, via=TestRun.Via.GENTRACE, status=TestRun.Status.COMPLETED,
        result_count=len(asked), created_at__lt=run.created_at, archived_at__isnull=True,
    )  # fmt: skip
    latest = earlier.newest_first()[:COMPARED] if asked else []
    found = next((one.pk for one in latest if cases_of(one) == asked), None)
    if found != run.reference_id:
        run.reference_id = found
        run.save(update_fields=["reference", "updated_at"])


def cases_of(run: TestRun) -> list[UUID]:
    """The cases of a run's results, in an order that does not depend on the run."""
    return list(run.results.filter(deleted_at__isnull=True).order_by("case_id").values_list("case_id", flat=True))


def results_in(body: Body) -> list[Body]:
    items = body.items("testRuns", required=True)
    if len(items) > MOST:
        raise Refusal(f"testRuns holds {len(items):,} items; send at most {MOST:,} at once.")
    seen: set[UUID] = set()
    for item in items:
        ident = item.uuid("id")
        if ident in seen:
            raise Refusal(f"{item.named('id')} is the id of two items.")
        if ident is not None:
            seen.add(ident)
    return items


def _record(call: Call, run: TestRun, body: Body, items: Sequence[Body], *, with_steps: bool) -> None:
    remote = bool(body.flag("triggerRemoteEvals"))
    records = _records(call, run.project, items, with_steps=with_steps, remote=remote)
    _number_repetitions(run, records)
    record_results(run, records, via=TestRun.Via.GENTRACE)
    if remote:
        expect_judgements(run)


def _records(
    call: Call, project: Project, items: Sequence[Body], *, with_steps: bool, remote: bool
) -> list[ResultRecord]:
    cases = _cases_named(call, project, items)
    evaluators = Evaluator.objects.current().filter(project=project, origin=Evaluator.Origin.OWN)
    evaluators = evaluators.order_by("created_at", "id")
    people = [evaluator for evaluator in evaluators if evaluator.who == Evaluator.Who.HUMAN]
    machines = [evaluator for evaluator in evaluators if evaluator.who != Evaluator.Who.HUMAN] if remote else []
    local = [local_evaluator(evaluation) for item in items for evaluation in item.items("evaluations")]
    local_evaluators = ensure_evaluators(project, local, only_arrived=True)
    records = []
    for item, case in zip(items, cases, strict=True):
        ident = item.uuid("id")
        record = _record_of_steps(item) if with_steps else _record_of_outputs(item)
        record.external_id = str(ident) if ident else None
        record.case = case
        record.path = read_path(item)
        record.evaluations = [
            *(Judgement(evaluator=person, source=Evaluation.Source.HUMAN, state="pending") for person in people),
            *(Judgement(evaluator=machine, state="pending") for machine in machines),
            *(read_local_evaluation(evaluation, local_evaluators) for evaluation in item.items("evaluations")),
        ]
        records.append(record)
    return records


def _record_of_outputs(item: Body) -> ResultRecord:
    return ResultRecord(
        inputs=item.mapping("inputs", required=True) or {},
        output=item.mapping("outputs"),
        error=item.text("error"),
        metadata=item.metadata("metadata"),
    )


def _record_of_steps(item: Body) -> ResultRecord:
    """What came back with the steps that led there; also what a production call sends."""
    steps = [read_step(step) for step in item.items("stepRuns")]
    starts = [step.started_at for step in steps if step.started_at]
    ends = [step.finished_at for step in steps if step.finished_at]
    elapsed = [step.latency_ms for step in steps if step.latency_ms is not None]
    return ResultRecord(
        inputs=item.mapping("inputs") or (steps[0].inputs if steps else {}),
        output=steps[-1].outputs if steps else None,
        error=item.text("error"),
        latency_ms=sum(elapsed) if elapsed else None,
        started_at=min(starts) if starts else None,
        finished_at=max(ends) if ends else None,
        render_html_key=html_key(steps),
        previous_run_id=item.uuid("previousRunId"),
        collection_method=_collection_method(item),
        metadata=item.metadata("metadata"),
        steps=steps,
    )


def _collection_method(body: Body) -> str:
    method = body.text("collectionMethod")
    if method not in ("", "runner", "manual"):
        raise Refusal(f"{body.named('collectionMethod')} must be runner or manual.")
    return method


def _number_repetitions(run: TestRun, records: Sequence[ResultRecord]) -> None:
    """The clients know no repetitions: a case that comes several times was asked several times."""
    idents = [record.external_id for record in records if record.external_id]
    known = set(TestResult.objects.filter(run=run, external_id__in=idents).values_list("external_id", flat=True))
    before = TestResult.objects.filter(run=run, case__in={record.case for record in records}, deleted_at__isnull=True)
    last = dict(before.values_list("case_id").annotate(last=Max("repetition")))
    for record in records:
        if record.external_id not in known:
            record.repetition = last[record.case] = last.get(record.case, 0) + 1


def _cases_named(call: Call, project: Project, items: Sequence[Body]) -> list[UUID]:
    """The case of each item: the one that caseId names, else one made for local data and found again next time."""
    visible = Case.objects.visible_to(call.actor).filter(project=project)
    known = ids_of(visible, (item.text("caseId", longest=LONGEST_ID) for item in items))
    specs: dict[int, CaseSpec] = {}
    for n, item in enumerate(items):
        if "caseId" not in item:
            specs[n] = _local_case(project, item)
        elif normal_external_id(item.text("caseId")) not in known:
            raise Refusal(f"{item.named('caseId')}: the pipeline has no test case “{item.text('caseId')}”.")
    made = ensure_cases(project, specs.values())
    if made:
        golden_set(project)
    return [
        made[specs[n].external_id].pk if n in specs else known[normal_external_id(item.text("caseId"))]
        for n, item in enumerate(items)
    ]


def _local_case(project: Project, item: Body) -> CaseSpec:
    name, inputs = item.text("name", required=True, longest=300), item.mapping("inputs", required=True) or {}
    expected = item.mapping("expectedOutputs")
    digest = hashlib.sha256(dumps([name, inputs, expected])).hexdigest()[:32]
    return CaseSpec(external_id=f"local:{project.pk}:{digest}", name=name, inputs=inputs, expected=expected)


def _run_of(call: Call, project: Project, items: Sequence[Body]) -> TestRun | None:
    """The run that holds all these results already."""
    idents = {str(ident) for item in items if (ident := item.uuid("id"))}
    if not idents or len(idents) < len(items):
        return None
    results = TestResult.objects.visible_to(call.actor).filter(external_id__in=idents, run__project=project)
    runs = list(results.values_list("run_id", flat=True))
    if len(runs) != len(idents) or len(set(runs)) != 1:
        return None
    return TestRun.objects.visible_to(call.actor).listed().filter(pk=runs[0]).first()


# --- production -------------------------------------------------------------------------------------------------------


def record_production(call: Call, project: Project, body: Body) -> TestResult:
    """One production call, in the project's hidden run of the day."""
    record = _record_of_steps(body)
    record.external_id = str(body.uuid("id", required=True))
    known = TestResult.objects.visible_to(call.actor).filter(
        external_id=record.external_id, run__project=project, run__kind=TestRun.Kind.PRODUCTION
    )
    sent_before = known.first()  # yesterday's, sent once more today
    if sent_before is not None:
        return sent_before
    try:
        (recorded,) = record_results(_production_run(call, project), [record], via=TestRun.Via.GENTRACE)
    except RecordingError as error:
        raise Refusal(f"{error.field}: {error.message}") from None
    return TestResult.objects.get(pk=recorded.id)


def _production_run(call: Call, project: Project) -> TestRun:
    today = timezone.now().date()
    found = TestRun.objects.visible_to(call.actor).filter(
        project=project, kind=TestRun.Kind.PRODUCTION, day=today, configuration=None
    )
    run = found.first()
    if run is None:
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # one maker a day
        run = found.first() or open_run(
            project,
            name=f"Production calls, {today:%d %b %Y}",
            by=call.actor.user,
            via=TestRun.Via.GENTRACE,
            kind=TestRun.Kind.PRODUCTION,
            day=today,
            status=TestRun.Status.COMPLETED,
        )
    return run


# --- evaluations ------------------------------------------------------------------------------------------------------


def add_evaluations(call: Call, items: Sequence[Body]) -> int:
    """Judgements of known results by known evaluators; one that meets a pending one settles it. All or none."""
    if len(items) > MOST:
        raise Refusal(f"data holds {len(items):,} items; send at most {MOST:,} at once.")
    wanted = {key: [item.text(key, required=True, longest=LONGEST_ID) for item in items] for key in ANSWER_IDS}
    visible = TestResult.objects.visible_to(call.actor)
    results, evaluators = ids_of(visible, wanted["runId"]), Evaluator.objects.visible_to(call.actor)
    places = {
        pk: (run_id, project_id)
        for pk, run_id, project_id in visible.filter(pk__in=results.values()).values_list(
            "pk", "run_id", "run__project_id"
        )
    }
    by_evaluator_id = evaluators.in_bulk((ids := ids_of(evaluators, wanted["evaluatorId"])).values())
    by_run: dict[UUID, list[Answer]] = defaultdict(list)
    for item, run_ident, evaluator_ident in zip(items, wanted["runId"], wanted["evaluatorId"], strict=True):
        result_id = results.get(normal_external_id(run_ident))
        evaluator = by_evaluator_id.get(ids.get(normal_external_id(evaluator_ident)))
        if result_id is None:
            raise Refusal(f"{item.named('runId')}: there is no run “{run_ident}”.")
        if evaluator is None:
            raise Refusal(f"{item.named('evaluatorId')}: there is no evaluator “{evaluator_ident}”.")
        run_id, project_id = places[result_id]
        if evaluator.project_id != project_id:
            raise Refusal(f"{item.place}: the evaluator and the run belong to different pipelines.")
        label, value = _answer(item, evaluator)
        by_run[run_id].append(Answer(result_id, evaluator, label, value, item.text("note")))
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
    if evaluator.value_type == Evaluator.ValueType.PERCENTAGE and not 0 <= value <= 1:
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
