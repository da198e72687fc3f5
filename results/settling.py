"""Changing what is thought of recorded results: judgements in, outcome, counters and copies right again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import batched
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from evalhub.database.prepared import Prepared
from evalhub.database.writing import Write, change, insertion, write
from results.models import Evaluation, ReviewAssignment, TestResult
from results.outcomes import Standing, effective_of, review_state_of, standing_of
from results.tallies import (
    Counted,
    RollupKey,
    RollupShift,
    Shift,
    counts_in_rollup,
    plain_shift,
    shift_rollups,
    shift_run,
)
from runs.models import Evaluator

RESULT_FIELDS = (
    "machine_outcome",
    "outcome",
    "human_verdict",
    "review_state",
    "reviews_required",
    "reviews_done",
    "review_count",
    "corrected",
)
_LIGHT = (
    "id",
    "external_id",
    "name",
    "organization_id",
    "run_id",
    "case_id",
    "variant_id",
    "error",
    "error_code",
    "reported_outcome",
    "cost",
    "tokens",
    "latency_ms",
    "deleted_at",
    *RESULT_FIELDS,
)


TOGETHER = 20  # writes in one statement: a review has five, and parameters end at 65,535

COPIES = frozenset({"outcome", "effective"})  # of an evaluation: no place among the judgements depends on them

_HEAVY_OF_ROWS = ("explanation", "error", "debug", "usage", "metadata")

RollupPart = tuple[str, float | None, bool | None, bool | None]  # state, value, passed, effective


def to_settle(results: QuerySet[TestResult]) -> QuerySet[TestResult]:
    """Locked, and with what a settlement needs of them."""
    return results.only(*_LIGHT).order_by("pk").select_for_update(no_key=True, of=("self",))


def _locked_results(run_id: UUID, ids: Sequence[UUID]) -> QuerySet[TestResult]:
    return to_settle(TestResult.objects.filter(run_id=run_id, pk__in=ids))


def _judgements(result_ids: Sequence[UUID]) -> QuerySet[Evaluation]:
    return Evaluation.objects.filter(result_id__in=result_ids).defer(*_HEAVY_OF_ROWS).order_by("created_at", "id")


_LOCKED_RESULT = Prepared(lambda run_id, pk: _locked_results(run_id, [pk]), UUID, UUID)
_JUDGEMENTS_OF_ONE = Prepared(lambda pk: _judgements([pk]), UUID)


@contextmanager
def settlement(
    run_id: UUID, result_ids: Iterable[UUID], *, judgements: bool = True, locked: Sequence[TestResult] = ()
) -> Iterator[Settlement]:
    """Lock some results of one run, change judgements and review counts through the Settlement, and settle at the end.

    Joins or opens a transaction. Results are locked in id order, and the run last and shortly, so that reviewers of one
    run hardly wait for each other. ``judgements`` False is for changes of review counts only: no evaluations are read.
    ``locked``: the results, where the caller read them by ``to_settle`` in the transaction that it holds.
    """
    with nullcontext() if locked else transaction.atomic():
        ids = list(result_ids)
        found = locked or (_LOCKED_RESULT(run_id, ids[0]) if len(ids) == 1 else _locked_results(run_id, ids))
        at_work = Settlement(run_id, {result.pk: result for result in found}, judgements=judgements)
        yield at_work
        at_work._settle()


class Settlement:
    """Locked results with all their judgements. Made by ``settlement``."""

    def __init__(self, run_id: UUID, results: dict[UUID, TestResult], *, judgements: bool) -> None:
        self.run_id = run_id
        self.results = results
        self.rows: dict[UUID, list[Evaluation]] = {pk: [] for pk in results}
        self.judgements = judgements
        if judgements:
            ids = list(results)
            for row in _JUDGEMENTS_OF_ONE(ids[0]) if len(ids) == 1 else _judgements(ids):
                self.rows[row.result_id].append(row)
        self._before = {pk: Counted.of(result) for pk, result in results.items()}
        self._stood = {pk: _standing_in(result) for pk, result in results.items()}
        self._rollup_before = self._rollup_parts()
        self._new: list[Evaluation] = []
        self._changed: dict[UUID, dict[str, Any]] = {}  # evaluation -> what to write
        self._writes: list[Write] = []
        self._touched: set[UUID] = set()

    # --- verbs for the caller -----------------------------------------------------------------------------------------

    def current(self, result_id: UUID) -> list[Evaluation]:
        return [row for row in self.rows[result_id] if row.is_current]

    def add(self, row: Evaluation) -> Evaluation:
        """A new judgement: the newest of its pair from now on."""
        result = self.results[row.result_id]
        row.organization_id, row.run_id = result.organization_id, self.run_id
        same = [other for other in self.rows[row.result_id] if _pair(other) == _pair(row)]
        row.nth = 1 + max(other.nth for other in same) if same else 0
        row.is_current = True
        row.created_at = row.updated_at = timezone.now()
        for other in same:
            if other.is_current:
                self.change(other, is_current=False)
        self.rows[row.result_id].append(row)
        self._new.append(row)
        self._touched.add(row.result_id)
        return row

    def change(self, row: Evaluation, **fields: Any) -> Evaluation:
        """Set columns, by attribute name (``author_id``)."""
        for name, value in fields.items():
            setattr(row, name, value)
        self._touched.add(row.result_id)
        if not row._state.adding:
            self._changed.setdefault(row.pk, {}).update(fields)
        return row

    def withdraw(self, row: Evaluation) -> None:
        """Take a judgement back; the newest remaining one of its pair counts again."""
        was_current = row.is_current
        self.change(row, is_current=False, withdrawn_at=timezone.now())
        if not was_current:
            return
        left = [
            r for r in self.rows[row.result_id] if _pair(r) == _pair(row) and r.withdrawn_at is None and r is not row
        ]
        if left:
            self.change(max(left, key=lambda r: r.nth), is_current=True)

    def insert(self, row: Model) -> None:
        """A row about the results (a review, its event), as it is now: written at the end, together with what moves."""
        self._writes.append(insertion(row))

    # --- the end ------------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        if self.judgements:
            for pk, result in self.results.items():
                self._copy_down(result, settle_result(result, self.current(pk)))
        else:
            waiting = self._results_waiting_for_people()
            for pk, result in self.results.items():
                conflict = result.review_state == TestResult.ReviewState.CONFLICT
                set_review_state(result, conflict=conflict, waiting=pk in waiting)
        shifts = [
            Shift(result.case_id, self._before[pk], Counted.of(result))
            for pk, result in self.results.items()
            if result.deleted_at is None
        ]
        moved = [shift for shift in shifts if shift.before != shift.after]
        rollups = self._rollup_shifts()
        self._write_results()
        self._write_judgements()
        added = None if rollups else plain_shift(self.run_id, moved)
        if added is not None:
            self._writes.append(added)
        for few in batched(self._writes, TOGETHER):
            write(*few)
        if added is None and (moved or rollups):
            shift_rollups(shift_run(self.run_id, moved, written=True), rollups)

    def _copy_down(self, result: TestResult, standing: Standing) -> None:
        """The result's outcome and the corrections onto its evaluations."""
        for row in self.rows[result.pk]:
            effective = effective_of(row, standing)
            if row.outcome != result.outcome:
                self.change(row, outcome=result.outcome)
            if row.effective is not effective:
                self.change(row, effective=effective)

    def _write_results(self) -> None:
        now = timezone.now()
        alike: dict[tuple[Any, ...], list[UUID]] = defaultdict(list)
        for result in self.results.values():
            if result.pk in self._touched or _standing_in(result) != self._stood[result.pk]:
                alike[_standing_in(result)].append(result.pk)
        for values, pks in alike.items():  # a round of 10,000 reviews makes one or two groups
            named = dict(zip(RESULT_FIELDS, values, strict=True))
            self._writes.append(change(TestResult, pks, {**named, "updated_at": now}))

    def _write_judgements(self) -> None:
        """What moves a judgement is written here, in order; copies, and a single new one, in the statement at the end.

        Each kind of change is made at once: mostly there is one, the same new outcome for all.
        """
        now = timezone.now()
        alike: dict[str, list[UUID]] = defaultdict(list)
        for pk, changes in self._changed.items():
            alike[repr(changes)].append(pk)  # values may be objects, which are no keys themselves
        # What stops being current first, and what becomes it last: of a pair there is one at any moment.
        for pks in sorted(alike.values(), key=lambda pks: self._changed[pks[0]].get("is_current", 0.5)):
            changes = self._changed[pks[0]]
            changed = change(Evaluation, pks, {**changes, "updated_at": now})
            if changes.keys() <= COPIES:
                self._writes.append(changed)
            else:
                write(changed)
        if len(self._new) == 1:
            self._writes.append(insertion(self._new[0]))
        else:
            Evaluation.objects.bulk_create(self._new)

    def _results_waiting_for_people(self) -> set[UUID]:
        pending = Evaluation.objects.by_people().current().filter(state=Evaluation.State.PENDING)
        return set(pending.filter(result_id__in=self.results).values_list("result_id", flat=True))

    # --- rollups ------------------------------------------------------------------------------------------------------

    def _rollup_parts(self) -> list[tuple[RollupKey, RollupPart]]:
        humans = self._human_evaluators()
        return [
            ((self.results[pk].variant_id, row.evaluator_id), (row.state, row.value, row.passed, row.effective))
            for pk, rows in self.rows.items()
            for row in rows
            if row.is_current
            and row.evaluator_id
            and counts_in_rollup(row, humans)
            and self.results[pk].deleted_at is None
        ]

    def _rollup_shifts(self) -> dict[RollupKey, RollupShift]:
        after = self._rollup_parts()
        if after == self._rollup_before:
            return {}
        shifts: dict[RollupKey, RollupShift] = defaultdict(RollupShift.empty)
        had, has = Counter(self._rollup_before), Counter(after)
        for sign, moved in ((1, has - had), (-1, had - has)):
            for key, values in moved.elements():
                shifts[key].add(*values, sign)
        return shifts

    def _human_evaluators(self) -> set[UUID]:
        judged = {
            row.evaluator_id
            for rows in self.rows.values()
            for row in rows
            if row.evaluator_id and row.source == Evaluation.Source.HUMAN
        }
        if not judged:
            return set()
        return set(Evaluator.objects.filter(pk__in=judged, who=Evaluator.Who.HUMAN).values_list("pk", flat=True))


def _standing_in(result: TestResult) -> tuple[Any, ...]:
    return tuple(getattr(result, name) for name in RESULT_FIELDS)


def settle_result(result: TestResult, rows: Sequence[Evaluation]) -> Standing:
    """Set the columns that follow from its current judgements and its counts of reviews asked for and done."""
    standing = standing_of(reported=result.reported_outcome, errored=bool(result.error or result.error_code), rows=rows)
    result.machine_outcome = standing.machine_outcome
    result.outcome = standing.outcome
    result.human_verdict = standing.human_verdict
    result.corrected = standing.corrected
    result.review_count = len(judges_of(rows))
    waiting = any(row.source == Evaluation.Source.HUMAN and row.state == Evaluation.State.PENDING for row in rows)
    set_review_state(result, conflict=standing.conflict, waiting=waiting)
    return standing


def set_review_state(result: TestResult, *, conflict: bool, waiting: bool) -> None:
    """``waiting``: a question to people has no answer."""
    result.review_state = review_state_of(
        conflict=conflict,
        asked=result.reviews_done < result.reviews_required,
        reviewed=result.review_count > 0,
        waiting=waiting,
    )


def judges_of(rows: Iterable[Evaluation]) -> set[tuple[UUID | None, str]]:
    """The people behind the current judgements."""
    return {
        (row.author_id, row.author_name)
        for row in rows
        if row.source == Evaluation.Source.HUMAN and row.state != Evaluation.State.PENDING
    }


def recount_reviews(settled: Settlement, result_ids: Iterable[UUID]) -> None:
    """reviews_required and reviews_done of locked results, from their assignments."""
    required: dict[UUID, int] = defaultdict(int)
    done: dict[UUID, int] = defaultdict(int)
    live = ReviewAssignment.objects.filter(result_id__in=list(result_ids)).live()
    for result_id, state in live.values_list("result_id", "state"):
        required[result_id] += 1
        done[result_id] += state == ReviewAssignment.State.DONE
    for pk in result_ids:
        settled.results[pk].reviews_required = required[pk]
        settled.results[pk].reviews_done = done[pk]


def _pair(row: Evaluation) -> tuple[Any, ...]:
    return row.evaluator_id, row.turn, row.source, row.author_id, row.author_name
