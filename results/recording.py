"""The one desk where results arrive: workers, SDK doors, importers and the API all come here."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from evalhub.accounts.tenancy import normal_external_id
from evalhub.database.copying import array_text, copy_rows, copying, json_text
from evalhub.database.ids import new_id
from evalhub.database.lookups import looked_up
from results.models import Evaluation, Outcome, TestResult
from results.models.results import text_of
from results.outcomes import Standing, effective_of, review_state_of, standing_of
from results.records import Judgement, ResultRecord
from results.tallies import (
    Cell,
    Counted,
    RollupKey,
    RollupShift,
    Shift,
    cells_of,
    counts_in_rollup,
    shift_locked_run,
    shift_rollups,
)
from runs.cases import CaseSpec, ensure_cases
from runs.evaluators import EvaluatorSpec, ensure_evaluators, fitting_name
from runs.models import Case, Evaluator, TestRun, Variant

PREVIEW = 300
SEARCHABLE = 2000
MOST_TOKENS = 10**12  # of one result; the sum of nine million of them still fits


class RecordingError(Exception):
    """A record that cannot be kept; nothing of its batch was."""

    def __init__(self, index: int, field: str, message: str) -> None:
        super().__init__(f"Record {index}, {field}: {message}")
        self.index, self.field, self.message = index, field, message


@dataclass(slots=True, frozen=True)
class Recorded:
    """Where a record ended up. ``created`` False: it was there already and was left as it is."""

    id: UUID
    public_id: str
    created: bool


Identity = tuple[UUID, UUID | None, int]  # case, variant, repetition


def record_results(run: TestRun, batch: Sequence[ResultRecord], *, via: str = "api") -> list[Recorded]:
    """Keep a batch of results with their steps and evaluations: all of them or none, each once.

    A record whose identity (external id, else case, variant and repetition) is in the run already changes nothing. The
    run's counters and rollups are right when the transaction ends; it joins an open one. Raises RecordingError.
    """
    if not batch:
        return []
    with transaction.atomic():
        run = TestRun.objects.select_for_update(no_key=True).get(pk=run.pk)
        desk = _Desk(run, batch, via)
        return desk.record()


class _Desk:
    """One batch on its way into the tables, under the run's lock."""

    def __init__(self, run: TestRun, batch: Sequence[ResultRecord], via: str) -> None:
        self.run, self.batch, self.via = run, batch, via
        self.now = timezone.now()
        self.cases = self._find_cases()
        self.evaluators = self._find_evaluators()
        self.variants = self._find_variants()

    def record(self) -> list[Recorded]:
        known, taken, cells = self._find_known()
        answers: list[Recorded] = []
        texts: list[tuple[Any, ...]] = []
        steps: list[tuple[Any, ...]] = []
        evaluations: list[EvaluationRow] = []
        shifts: list[Shift] = []
        rollups: dict[RollupKey, RollupShift] = defaultdict(RollupShift.empty)
        position = self.run.last_position
        with copying("results_testresult", RESULT_COLUMNS) as append:
            for index, record in enumerate(self.batch):
                case = self.cases[index]
                external_id = normal_external_id(record.external_id) if record.external_id else None
                variant_id = self._variant_of(index, record)
                identity = (case.pk, variant_id, record.repetition) if case else None
                before = known.get(external_id) if external_id else known.get(identity) if identity else None
                if before is not None:
                    answers.append(Recorded(before[0], before[1], created=False))
                    continue
                repetition = record.repetition
                if case and external_id:
                    while (case.pk, variant_id, repetition) in taken:
                        repetition += 1
                result_id = new_id()
                position += 1
                rows = [self._evaluation(index, result_id, judgement) for judgement in record.evaluations]
                standing = self._judge(rows, record, variant_id, rollups)
                evaluations += rows
                steps += [self._step(result_id, n, step) for n, step in enumerate(record.steps, 1)]
                counted, values, text = self._result(
                    index, result_id, position, record, case, external_id, variant_id, repetition, standing
                )
                append(values)
                texts.append((result_id, self.run.organization_id, self.run.pk, text, False))
                shifts.append(Shift(case.pk if case else None, None, counted))
                answer = Recorded(result_id, external_id or str(result_id), created=True)
                answers.append(answer)
                if external_id:
                    known[external_id] = (result_id, answer.public_id)
                if case:
                    taken.add((case.pk, variant_id, repetition))
                    known.setdefault((case.pk, variant_id, repetition), (result_id, answer.public_id))
        if shifts:
            shift_locked_run(self.run, shifts, cells=cells, last_position=position)
            copy_rows("results_searchtext", SEARCH_COLUMNS, texts)
            copy_rows("results_step", STEP_COLUMNS, steps)
            copy_rows("results_evaluation", EVALUATION_COLUMNS, map(_evaluation_values, evaluations))
            shift_rollups(self.run, rollups)
        return answers

    def _judge(
        self,
        rows: Sequence[EvaluationRow],
        record: ResultRecord,
        variant_id: UUID | None,
        rollups: dict[RollupKey, RollupShift],
    ) -> Standing:
        """What a new result's evaluations make of it, written onto them and added to the rollups."""
        _number_repeats(rows)
        standing = standing_of(
            reported=record.reported_outcome,
            errored=bool(record.error or record.error_code),
            rows=[row for row in rows if row.is_current],
        )
        for row in rows:
            row.outcome = standing.outcome
            row.effective = effective_of(row, standing)
            if row.is_current and counts_in_rollup(row, self.human_evaluators):
                assert row.evaluator_id is not None
                rollups[variant_id, row.evaluator_id].add(row.state, row.value, row.passed, row.effective)
        return standing

    # --- what the batch refers to -------------------------------------------------------------------------------------

    def _find_cases(self) -> list[Case | None]:
        specs = [record.case for record in self.batch if isinstance(record.case, CaseSpec)]
        test_set = self.run.configuration.test_set if self.run.configuration and specs else None
        described = ensure_cases(self.run.project, specs, test_set=test_set) if specs else {}
        ids = {record.case for record in self.batch if isinstance(record.case, UUID)}
        of_ours = Case.objects.filter(organization_id=self.run.organization_id, pk__among=list(ids)) if ids else ()
        by_id = {case.pk: case for case in of_ours}
        found: list[Case | None] = []
        for index, record in enumerate(self.batch):
            if record.case is None:
                found.append(None)
            elif isinstance(record.case, CaseSpec):
                found.append(described[record.case.external_id])
            elif record.case in by_id:
                found.append(by_id[record.case])
            else:
                raise RecordingError(index, "case", "There is no such case.")
        return found

    def _find_evaluators(self) -> dict[str, Evaluator]:
        """By name; what arrives by name alone gets a simple evaluator that gives no verdict of its own."""
        specs: dict[str, EvaluatorSpec] = {}
        self.human_evaluators: set[UUID] = set()
        for record in self.batch:
            for judgement in record.evaluations:
                evaluator = judgement.evaluator
                if isinstance(evaluator, EvaluatorSpec):
                    specs.setdefault(evaluator.name, evaluator)
                elif isinstance(evaluator, str):
                    specs.setdefault(evaluator, _plain_spec(judgement))
                elif evaluator is not None and evaluator.who == Evaluator.Who.HUMAN:
                    self.human_evaluators.add(evaluator.pk)
        origin = Evaluator.Origin.IMPORT if self.via == "import" else Evaluator.Origin.LOCAL
        found = ensure_evaluators(self.run.project, specs.values(), origin=origin)
        self.human_evaluators |= {e.pk for e in found.values() if e.who == Evaluator.Who.HUMAN}
        return found

    def _find_variants(self) -> dict[int, Variant]:
        if all(record.variant is None for record in self.batch):
            return {}
        return {variant.position: variant for variant in Variant.objects.filter(run=self.run)}

    def _variant_of(self, index: int, record: ResultRecord) -> UUID | None:
        if record.variant is None:
            return None
        if record.variant not in self.variants:
            raise RecordingError(index, "variant", f"The run has no variant at position {record.variant}.")
        return self.variants[record.variant].pk

    def _find_known(self) -> tuple[dict[Any, tuple[UUID, str]], set[Identity], dict[UUID, Cell]]:
        """Results that the batch may mean: by external id (anywhere in the organisation) and by identity in the run.

        And what its cases have in the run already.
        """
        external_ids = {normal_external_id(record.external_id) for record in self.batch if record.external_id}
        known: dict[Any, tuple[UUID, str]] = {}
        if external_ids:
            named = TestResult.objects.filter(
                organization_id=self.run.organization_id, external_id__among=list(external_ids), deleted_at__isnull=True
            )
            rows = [(str(name), pk, run_id) for name, pk, run_id in named.values_list("external_id", "pk", "run_id")]
            elsewhere = {name for name, _, run_id in rows if run_id != self.run.pk}
            if elsewhere and TestResult.objects.release(self.run.organization_id, elsewhere):
                elsewhere.intersection_update(map(str, named.values_list("external_id", flat=True)))
            for index, record in enumerate(self.batch if elsewhere else ()):
                if record.external_id and normal_external_id(record.external_id) in elsewhere:
                    raise RecordingError(index, "id", "This id belongs to a result of another run.")
            known |= {name: (pk, name) for name, pk, run_id in rows if run_id == self.run.pk}
        taken: set[Identity] = set()
        outcomes: list[tuple[UUID, str]] = []
        case_ids = {case.pk for case in self.cases if case}
        if self.run.result_count and case_ids:
            rows_of_cases = TestResult.objects.filter(
                run=looked_up(self.run), case_id__among=list(case_ids), deleted_at__isnull=True
            ).values_list("case_id", "variant_id", "repetition", "pk", "external_id", "outcome")
            for case_id, variant_id, repetition, pk, own_id, outcome in rows_of_cases:
                outcomes.append((case_id, outcome))
                taken.add((case_id, variant_id, repetition))
                known[case_id, variant_id, repetition] = (pk, own_id or str(pk))
        return known, taken, cells_of(outcomes)

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _result(
        self,
        index: int,
        result_id: UUID,
        position: int,
        record: ResultRecord,
        case: Case | None,
        external_id: str | None,
        variant_id: UUID | None,
        repetition: int,
        standing: Standing,
    ) -> tuple[Counted, tuple[Any, ...], str]:
        inputs = record.inputs or (case.inputs if case else {})
        expected = record.expected if record.expected is not None or case is None else case.expected
        input_text, output_text = text_of(inputs), text_of(record.output) or last_answer(record.conversation)
        tokens = record.tokens if record.tokens is not None else tokens_of(record.usage)
        if tokens is not None and tokens > MOST_TOKENS:
            raise RecordingError(index, "tokens", f"A result cannot have more than {MOST_TOKENS:,} tokens.")
        human = [j for j in record.evaluations if j.source == Evaluation.Source.HUMAN and j.state != "pending"]
        pending = any(j.source == Evaluation.Source.HUMAN and j.state == "pending" for j in record.evaluations)
        review_state = review_state_of(conflict=standing.conflict, asked=False, reviewed=bool(human), waiting=pending)
        counted = Counted(
            outcome=standing.outcome,
            machine_outcome=standing.machine_outcome,
            reviewed=bool(human),
            corrected=standing.corrected,
            conflict=standing.conflict,
            cost=record.cost,
            tokens=tokens,
            latency_ms=record.latency_ms,
        )
        reviewers = {(j.author_id, j.author_name) for j in human}
        values = (
            result_id,
            self.now,
            self.now,
            self.run.organization_id,
            external_id,
            self.run.pk,
            case.pk if case else None,
            (record.case_revision or case.revision) if case else None,
            variant_id,
            repetition,
            position,
            (record.name or (case.name if case else ""))[:300],
            one_line(input_text),
            one_line(output_text or record.error),
            json_text(inputs),
            None if expected is None else json_text(expected),
            None if record.output is None else json_text(record.output),
            json_text(record.conversation),
            record.error,
            record.error_code[:60],
            record.reported_outcome,
            standing.machine_outcome,
            standing.outcome,
            standing.human_verdict,
            review_state.value,
            0,
            0,
            len(reviewers),
            standing.corrected,
            record.latency_ms,
            record.wall_ms,
            record.cost,
            json_text(record.usage),
            tokens,
            record.started_at,
            record.finished_at,
            record.session_id[:300],
            record.render_html_key[:200],
            None if record.path is None else json_text(record.path),
            record.previous_run_id,
            record.collection_method[:16],
            array_text(sorted({*(case.tags if case else ()), *record.tags})),
            json_text(record.metadata),
            json_text(record.attributes),
        )
        return counted, values, searchable(input_text, output_text)

    def _step(self, result_id: UUID, position: int, step: Any) -> tuple[Any, ...]:
        return (
            new_id(),
            self.now,
            self.now,
            self.run.organization_id,
            result_id,
            position,
            step.turn,
            step.kind,
            step.name[:300],
            step.provider[:300],
            json_text(step.parameters),
            json_text(step.inputs),
            json_text(step.outputs),
            json_text(step.context),
            step.error,
            json_text(step.usage),
            step.cost,
            step.latency_ms,
            step.started_at,
            step.finished_at,
        )

    def _evaluation(self, index: int, result_id: UUID, judgement: Judgement) -> EvaluationRow:
        evaluator = self._evaluator_of(judgement)
        if evaluator is None and judgement.source != Evaluation.Source.HUMAN:
            raise RecordingError(index, "evaluations", "A machine's evaluation needs an evaluator.")
        row = EvaluationRow(
            id=new_id(),
            created_at=judgement.created_at or self.now,
            updated_at=self.now,
            organization_id=self.run.organization_id,
            run_id=self.run.pk,
            result_id=result_id,
            evaluator_id=evaluator.pk if evaluator else None,
            evaluator_version=evaluator.version if evaluator else None,
            turn=judgement.turn,
            source=judgement.source,
            author_id=judgement.author_id,
            author_name=judgement.author_name[:200],
            nth=judgement.nth,
            explanation=judgement.explanation,
            error=judgement.error,
            debug=None if judgement.debug is None else json_text(judgement.debug),
            usage=json_text(judgement.usage),
            cost=judgement.cost,
            latency_ms=judgement.latency_ms,
            via=self.via,
            metadata=json_text(judgement.metadata),
        )
        score_evaluation(row, evaluator, judgement)
        return row

    def _evaluator_of(self, judgement: Judgement) -> Evaluator | None:
        evaluator = judgement.evaluator
        if isinstance(evaluator, EvaluatorSpec):
            return self.evaluators[evaluator.name]
        if isinstance(evaluator, str):
            return self.evaluators[fitting_name(evaluator)]
        return evaluator


@dataclass(slots=True, kw_only=True)
class EvaluationRow:
    """An evaluation before it is a row: the columns, and what ``standing_of`` asks for."""

    id: UUID
    created_at: datetime
    updated_at: datetime
    organization_id: UUID
    run_id: UUID
    result_id: UUID
    evaluator_id: UUID | None
    evaluator_version: int | None
    turn: int | None
    source: str
    author_id: UUID | None
    author_name: str
    nth: int
    is_current: bool = True
    state: str = Evaluation.State.SCORED
    value: float | None = None
    label: str | None = None
    passed: bool | None = None
    effective: bool | None = None
    threshold: float | None = None
    explanation: str = ""
    error: str = ""
    debug: str | None = None
    usage: str = "{}"
    cost: float | None = None
    latency_ms: float | None = None
    via: str = "api"
    outcome: str = Outcome.UNJUDGED
    metadata: str = "{}"


def score_evaluation(row: EvaluationRow | Evaluation, evaluator: Evaluator | None, judgement: Judgement) -> None:
    """Fill in state, value, label, verdict and threshold. What has no finite score is unscored, with the reason."""
    row.state = judgement.state
    row.threshold = judgement.threshold
    if row.threshold is None and evaluator is not None:
        row.threshold = evaluator.threshold
    if judgement.state in (Evaluation.State.PENDING, Evaluation.State.ERROR):
        return
    row.label = None if judgement.label is None else judgement.label[:300]
    value = judgement.value
    if value is not None and not math.isfinite(value):
        row.explanation = row.explanation or f"The score was {value}."
        value = None
        row.state = Evaluation.State.UNSCORED
    if row.state == Evaluation.State.UNSCORED:
        return
    if value is None and row.label is not None and evaluator is not None:
        value = evaluator.option_value(row.label)
    row.value = value
    row.passed = judgement.passed
    if evaluator is None:
        return
    if evaluator.weight == 0:
        row.passed = None
    elif row.passed is None and judgement.decide:
        row.passed = evaluator.verdict(value, row.label, threshold=row.threshold)
    if row.value is None and row.label is None and row.passed is None:
        row.state = Evaluation.State.UNSCORED


def tokens_of(usage: dict[str, Any]) -> int | None:
    """All tokens over all models; None where nothing was said."""
    total, known = 0, False
    for counts in usage.values():
        if not isinstance(counts, dict):
            continue
        named = counts.get("total")
        numbers = [named] if named is not None else [counts.get("input"), counts.get("output")]
        for number in numbers:
            if isinstance(number, int | float):
                total, known = total + int(number), True
    return total if known else None


def _number_repeats(rows: Sequence[EvaluationRow]) -> None:
    """Several judgements of one pair in one record: numbered in order, and the newest counts."""
    last: dict[tuple[Any, ...], EvaluationRow] = {}
    for row in rows:
        key = (row.evaluator_id, row.turn, row.source, row.author_id, row.author_name)
        if key in last:
            row.nth = max(row.nth, last[key].nth + 1)
            last[key].is_current = False
        last[key] = row


def _plain_spec(judgement: Judgement) -> EvaluatorSpec:
    kind = Evaluator.ValueType.NUMBER if judgement.label is None else Evaluator.ValueType.LABEL
    who = Evaluator.Who.HUMAN if judgement.source == Evaluation.Source.HUMAN else Evaluator.Who.HEURISTIC
    return EvaluatorSpec(name=str(judgement.evaluator), value_type=kind, who=who, threshold=judgement.threshold)


def last_answer(conversation: Iterable[dict[str, Any]]) -> str:
    answer = ""
    for turn in conversation:
        for message in turn.get("messages") or ():
            if message.get("role") == "assistant" and isinstance(message.get("content"), str):
                answer = message["content"]
    return answer


def searchable(input_text: str, output_text: str) -> str:
    return f"{input_text}\n{output_text}"[:SEARCHABLE]


def one_line(text: str) -> str:
    return " ".join(text[: 2 * PREVIEW].split())[:PREVIEW]


# --- into the tables --------------------------------------------------------------------------------------------------

RESULT_COLUMNS = (
    "id",
    "created_at",
    "updated_at",
    "organization_id",
    "external_id",
    "run_id",
    "case_id",
    "case_revision",
    "variant_id",
    "repetition",
    "position",
    "name",
    "input_preview",
    "output_preview",
    "inputs",
    "expected",
    "output",
    "conversation",
    "error",
    "error_code",
    "reported_outcome",
    "machine_outcome",
    "outcome",
    "human_verdict",
    "review_state",
    "reviews_required",
    "reviews_done",
    "review_count",
    "corrected",
    "latency_ms",
    "wall_ms",
    "cost",
    "usage",
    "tokens",
    "started_at",
    "finished_at",
    "session_id",
    "render_html_key",
    "path",
    "previous_run_id",
    "collection_method",
    "tags",
    "metadata",
    "attributes",
)
SEARCH_COLUMNS = ("result_id", "organization_id", "run_id", "text", "indexed")
STEP_COLUMNS = (
    "id",
    "created_at",
    "updated_at",
    "organization_id",
    "result_id",
    "position",
    "turn",
    "kind",
    "name",
    "provider",
    "parameters",
    "inputs",
    "outputs",
    "context",
    "error",
    "usage",
    "cost",
    "latency_ms",
    "started_at",
    "finished_at",
)
EVALUATION_COLUMNS = tuple(EvaluationRow.__dataclass_fields__)
_evaluation_values = attrgetter(*EVALUATION_COLUMNS)
