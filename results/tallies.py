"""The numbers kept beside the rows: a run's counters and its rollups.

Every writer says what a result counted before and counts now; the differences are added under the run's row lock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, Q
from django.utils import timezone

from evalhub.database.ids import new_id
from evalhub.database.prepared import Prepared
from evalhub.database.writing import Write, change, update_rows
from results.models import Evaluation, Outcome, Rollup, TestResult
from runs.models import TestRun
from runs.rates import clustered_wilson

type Cell = tuple[int, int, int]  # a case's results in a run: how many, how many of them judged, how many passed

COUNTERS = (
    "result_count",
    "passed",
    "failed",
    "errors",
    "unjudged",
    "machine_passed",
    "machine_failed",
    "machine_errors",
    "machine_unjudged",
    "reviews_required",
    "reviews_done",
    "reviewed",
    "corrected",
    "conflicts",
    "costed_count",
    "total_tokens",
    "timed_count",
)
SUMS = ("total_cost", "total_latency_ms")
CLUSTERS = ("case_count", "judged_cases", "judged_squares", "judged_passed", "passed_squares")
RATES = ("pass_rate", "pass_low", "pass_high")
NUMBERS = (*COUNTERS, *SUMS, *CLUSTERS, *RATES)

_LOCKED_RUN = Prepared(
    lambda pk: TestRun.objects.filter(pk=pk).only("organization_id", *NUMBERS).select_for_update(no_key=True),
    UUID,
)
_OUTCOME_COUNTER = {
    Outcome.PASSED.value: "passed",
    Outcome.FAILED.value: "failed",
    Outcome.ERROR.value: "errors",
    Outcome.UNJUDGED.value: "unjudged",
}


@dataclass(slots=True, frozen=True)
class Counted:
    """What one result adds to its run's counters."""

    outcome: str
    machine_outcome: str
    reviews_required: int = 0
    reviews_done: int = 0
    reviewed: bool = False
    corrected: bool = False
    conflict: bool = False
    cost: float | None = None
    tokens: int | None = None
    latency_ms: float | None = None

    @classmethod
    def of(cls, result: TestResult) -> Counted:
        return cls(
            outcome=result.outcome,
            machine_outcome=result.machine_outcome,
            reviews_required=result.reviews_required,
            reviews_done=result.reviews_done,
            reviewed=result.review_count > 0,
            corrected=result.corrected,
            conflict=result.review_state == TestResult.ReviewState.CONFLICT,
            cost=result.cost,
            tokens=result.tokens,
            latency_ms=result.latency_ms,
        )


@dataclass(slots=True, frozen=True)
class Shift:
    """One result's change; ``before`` None for a new one, ``after`` None for one that is gone."""

    case_id: UUID | None
    before: Counted | None
    after: Counted | None


def plain_shift(run_id: UUID, shifts: Sequence[Shift]) -> Write | None:
    """What adds the shifts to the run's counters without reading them.

    None where nothing moves, or an outcome does: rates and clusters follow from all of the run's numbers.
    """
    totals: dict[str, float] = defaultdict(float)
    for before, after in ((shift.before, shift.after) for shift in shifts):
        if before is None or after is None or before.outcome != after.outcome:
            return None
        _add(totals, before, -1)
        _add(totals, after, 1)
    added = {name: int(total) if name in COUNTERS else total for name, total in totals.items() if total}
    return change(TestRun, [run_id], {"updated_at": timezone.now()}, added) if added else None


def shift_run(run_id: UUID, shifts: Sequence[Shift], *, written: bool = False, **fields: Any) -> TestRun:
    """Lock the run, add the shifts to its counters, save; ``written``: the results' rows are as after the shifts.

    ``fields`` are set on the run as well. The lock is held until the transaction ends, so call this late.
    """
    (run,) = _LOCKED_RUN(run_id)
    return shift_locked_run(run, shifts, written=written, **fields)


def shift_locked_run(
    run: TestRun,
    shifts: Sequence[Shift],
    *,
    cells: Mapping[UUID, Cell] | None = None,
    written: bool = False,
    **fields: Any,
) -> TestRun:
    """As ``shift_run``. ``cells``: what the cases had in the run before, where the caller knows."""
    changed = [shift for shift in shifts if shift.before != shift.after]
    if not changed and not fields:
        return run
    before = _numbers_of(run)
    clusters = _cluster_shift(run, changed, cells, written=written)
    totals: dict[str, float] = defaultdict(float)
    for shift in changed:
        for counted, sign in ((shift.before, -1), (shift.after, 1)):
            if counted is not None:
                _add(totals, counted, sign)
    for name in (*COUNTERS, *SUMS):
        setattr(run, name, _sum(getattr(run, name), totals[name], whole=name in COUNTERS))
    for name, value in zip(CLUSTERS, clusters, strict=True):
        setattr(run, name, getattr(run, name) + value)
    set_rates(run)
    for name, value in fields.items():
        setattr(run, name, value)
    run.updated_at = timezone.now()
    moved = {name: value for name, value in _numbers_of(run).items() if value != before[name]}
    update_rows(TestRun, [run.pk], {**moved, **fields, "updated_at": run.updated_at})
    return run


def _numbers_of(run: TestRun) -> dict[str, Any]:
    return {name: getattr(run, name) for name in NUMBERS}


def set_rates(run: TestRun) -> None:
    judged = run.passed + run.failed
    interval = clustered_wilson(
        run.passed,
        judged,
        clusters=run.judged_cases,
        judged_squares=run.judged_squares,
        judged_passed=run.judged_passed,
        passed_squares=run.passed_squares,
    )
    run.pass_rate = run.passed / judged if judged else None
    run.pass_low, run.pass_high = interval if interval else (None, None)


def _sum(old: float, delta: float, *, whole: bool) -> float:
    return old + int(delta) if whole else old + delta


def _add(totals: dict[str, float], counted: Counted, sign: int) -> None:
    totals["result_count"] += sign
    totals[_OUTCOME_COUNTER[counted.outcome]] += sign
    totals["machine_" + _OUTCOME_COUNTER[counted.machine_outcome]] += sign
    totals["reviews_required"] += sign * counted.reviews_required
    totals["reviews_done"] += sign * counted.reviews_done
    totals["reviewed"] += sign * counted.reviewed
    totals["corrected"] += sign * counted.corrected
    totals["conflicts"] += sign * counted.conflict
    if counted.cost is not None:
        totals["costed_count"] += sign
        totals["total_cost"] += sign * counted.cost
    if counted.tokens is not None:
        totals["total_tokens"] += sign * counted.tokens
    if counted.latency_ms is not None:
        totals["timed_count"] += sign
        totals["total_latency_ms"] += sign * counted.latency_ms


def _cluster_shift(
    run: TestRun, shifts: Sequence[Shift], cells: Mapping[UUID, Cell] | None, *, written: bool
) -> tuple[int, int, int, int, int]:
    """Changes of (cases, judged cases, sum j^2, sum jp, sum p^2); a result without a case is a case of its own."""
    delta = [0, 0, 0, 0, 0]
    by_case: dict[UUID, list[Shift]] = defaultdict(list)
    for shift in shifts:
        if shift.case_id is None:
            _move_cluster(delta, _cell(shift.before), _cell(shift.after))
        else:
            by_case[shift.case_id].append(shift)
    if cells is None:
        cells = _cells_of_cases(run, by_case, written=written) if run.result_count and by_case else {}
    for case_id, members in by_case.items():
        before = cells.get(case_id, (0, 0, 0))
        _move_cluster(delta, before, _shifted(before, members))
    return delta[0], delta[1], delta[2], delta[3], delta[4]


def _shifted(cell: Cell, shifts: Iterable[Shift], sign: int = 1) -> Cell:
    n, judged, ok = cell
    for shift in shifts:
        for part, way in ((_cell(shift.before), -sign), (_cell(shift.after), sign)):
            n, judged, ok = n + way * part[0], judged + way * part[1], ok + way * part[2]
    return n, judged, ok


def _cells_of_cases(run: TestRun, by_case: dict[UUID, list[Shift]], *, written: bool) -> dict[UUID, Cell]:
    """What the cases had in the run before the shifts."""
    # While no case has two results, each result is its own cluster before and after, and no query is needed.
    if run.case_count == run.result_count and all(shift.before for members in by_case.values() for shift in members):
        return {case_id: _cell(members[0].before) for case_id, members in by_case.items()}
    rows = (
        TestResult.objects.filter(run=run, case_id__in=list(by_case), deleted_at__isnull=True)
        .values("case_id")
        .annotate(
            n=Count("id"),
            judged=Count("id", filter=Q(outcome__in=(Outcome.PASSED, Outcome.FAILED))),
            ok=Count("id", filter=Q(outcome=Outcome.PASSED)),
        )
        .values_list("case_id", "n", "judged", "ok")
    )
    found = {case_id: (n, judged, ok) for case_id, n, judged, ok in rows}
    return {case_id: _shifted(cell, by_case[case_id], -1) for case_id, cell in found.items()} if written else found


def _cell(counted: Counted | None) -> Cell:
    return (0, 0, 0) if counted is None else cell_of(counted.outcome)


def cell_of(outcome: str) -> Cell:
    """What one result adds to its case's cell."""
    ok = outcome == Outcome.PASSED
    return 1, int(ok or outcome == Outcome.FAILED), int(ok)


def cells_of(outcomes: Iterable[tuple[UUID, str]]) -> dict[UUID, Cell]:
    """From (case, outcome) of each result."""
    cells: dict[UUID, Cell] = {}
    for case_id, outcome in outcomes:
        n, judged, ok = cells.get(case_id, (0, 0, 0))
        more = cell_of(outcome)
        cells[case_id] = n + more[0], judged + more[1], ok + more[2]
    return cells


def _move_cluster(delta: list[int], before: Cell, after: Cell) -> None:
    for (n, judged, ok), sign in ((before, -1), (after, 1)):
        delta[0] += sign * (n > 0)
        delta[1] += sign * (judged > 0)
        delta[2] += sign * judged * judged
        delta[3] += sign * judged * ok
        delta[4] += sign * ok * ok


# --- rollups ----------------------------------------------------------------------------------------------------------

ROLLUP_COUNTS = (
    "pending",
    "scored",
    "unscored",
    "errors",
    "passed",
    "failed",
    "effective_passed",
    "effective_failed",
    "corrected",
    "value_count",
    "value_sum",
)
RollupKey = tuple[UUID | None, UUID]  # variant, evaluator

_STATE_COUNT = {
    Evaluation.State.PENDING.value: 0,
    Evaluation.State.SCORED.value: 1,
    Evaluation.State.UNSCORED.value: 2,
    Evaluation.State.ERROR.value: 3,
}


@dataclass(slots=True)
class RollupShift:
    """What is added to one rollup row."""

    counts: list[float]
    low: float | None = None
    high: float | None = None
    lost: bool = False  # a value was taken away, so the extremes have to be looked up

    @classmethod
    def empty(cls) -> RollupShift:
        return cls([0] * len(ROLLUP_COUNTS))

    def add(self, state: str, value: float | None, passed: bool | None, effective: bool | None, sign: int = 1) -> None:
        counts = self.counts
        counts[_STATE_COUNT[state]] += sign
        if passed is not None:
            counts[4 if passed else 5] += sign
        if effective is not None:
            counts[6 if effective else 7] += sign
        if passed is not None and effective is not None and passed is not effective:
            counts[8] += sign
        if value is not None:
            counts[9] += sign
            counts[10] += sign * value
            if sign > 0:
                self.low = value if self.low is None else min(self.low, value)
                self.high = value if self.high is None else max(self.high, value)
            else:
                self.lost = True


def counts_in_rollup(row: Any, human_evaluators: frozenset[UUID] | set[UUID]) -> bool:
    """Whether a current judgement is the one its evaluator is measured by: machine's, or a human evaluator's."""
    if row.turn is not None or row.evaluator_id is None:
        return False
    return row.source == Evaluation.Source.MACHINE or row.evaluator_id in human_evaluators


def shift_rollups(run: TestRun, shifts: dict[RollupKey, RollupShift]) -> None:
    """Add to the rollup rows, making missing ones. The caller holds the run's lock."""
    changed = {key: shift for key, shift in shifts.items() if any(shift.counts) or shift.low is not None}
    if not changed:
        return
    gains = {key: shift for key, shift in changed.items() if min(shift.counts) >= 0}
    if gains:
        _add_gains(run, gains)
    # A take-away cannot be an upsert: the CHECKs would look at the row to insert.
    for key, shift in changed.items():
        if key not in gains:
            _shift_one(run, key, shift)
        if shift.lost:
            _look_up_extremes(run, *key)


_COLUMNS = ("id", "organization_id", "run_id", "variant_id", "evaluator_id", *ROLLUP_COUNTS, "value_min", "value_max")
_UPSERT = f"""
    INSERT INTO results_rollup ({", ".join(_COLUMNS)}, created_at, updated_at) VALUES {{rows}}
    ON CONFLICT (run_id, variant_id, evaluator_id) DO UPDATE SET
        {", ".join(f"{name} = results_rollup.{name} + excluded.{name}" for name in ROLLUP_COUNTS)},
        value_min = LEAST(results_rollup.value_min, excluded.value_min),
        value_max = GREATEST(results_rollup.value_max, excluded.value_max),
        updated_at = now()
"""  # noqa: S608 - column names of our own
_ROW = f"({', '.join(['%s'] * len(_COLUMNS))}, now(), now())"
_EXTREMES = """
    UPDATE results_rollup SET (value_min, value_max) = (
        SELECT min(e.value), max(e.value)
        FROM results_evaluation e JOIN results_testresult r ON r.id = e.result_id
        WHERE e.run_id = %(run)s AND e.evaluator_id = %(evaluator)s AND e.is_current AND e.turn IS NULL
            AND r.deleted_at IS NULL AND r.variant_id IS NOT DISTINCT FROM %(variant)s
    )
    WHERE run_id = %(run)s AND evaluator_id = %(evaluator)s AND variant_id IS NOT DISTINCT FROM %(variant)s
"""


def _add_gains(run: TestRun, gains: dict[RollupKey, RollupShift]) -> None:
    values: list[Any] = []
    for (variant_id, evaluator_id), shift in gains.items():
        values += [new_id(), run.organization_id, run.pk, variant_id, evaluator_id]
        values += [*shift.counts, shift.low, shift.high]
    with connection.cursor() as cursor:
        cursor.execute(_UPSERT.format(rows=", ".join([_ROW] * len(gains))), values)


def _shift_one(run: TestRun, key: RollupKey, shift: RollupShift) -> None:
    variant_id, evaluator_id = key
    rollup = Rollup.objects.filter(run=run, variant=variant_id, evaluator=evaluator_id).first() or Rollup(
        organization_id=run.organization_id, run=run, variant_id=variant_id, evaluator_id=evaluator_id
    )
    for name, delta in zip(ROLLUP_COUNTS, shift.counts, strict=True):
        setattr(rollup, name, getattr(rollup, name) + delta)
    if not rollup.value_count:
        rollup.value_sum = 0.0  # of 0.1 + 0.2 - 0.1 - 0.2 something is left
    extremes = [value for value in (rollup.value_min, rollup.value_max, shift.low, shift.high) if value is not None]
    rollup.value_min, rollup.value_max = (min(extremes), max(extremes)) if extremes else (None, None)
    rollup.save()


def _look_up_extremes(run: TestRun, variant_id: UUID | None, evaluator_id: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_EXTREMES, {"run": run.pk, "evaluator": evaluator_id, "variant": variant_id})


def rollup_shifts(rows: Iterable[tuple[UUID | None, Any]], human_evaluators: set[UUID]) -> dict[RollupKey, RollupShift]:
    """The rollup of (variant, current judgement) pairs from nothing."""
    shifts: dict[RollupKey, RollupShift] = defaultdict(RollupShift.empty)
    for variant_id, row in rows:
        if counts_in_rollup(row, human_evaluators):
            shifts[variant_id, row.evaluator_id].add(row.state, row.value, row.passed, row.effective)
    return shifts
