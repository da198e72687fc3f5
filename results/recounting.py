"""Counting again from the rows what is stored beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from evalhub.database.writing import update_rows
from results.models import Evaluation, Review, ReviewAssignment, Rollup, TestResult
from results.outcomes import effective_of
from results.settling import RESULT_FIELDS, settle_result
from results.tallies import (
    CLUSTERS,
    COUNTERS,
    RATES,
    ROLLUP_COUNTS,
    SUMS,
    Counted,
    RollupKey,
    RollupShift,
    Shift,
    rollup_shifts,
    shift_locked_run,
    shift_rollups,
)
from runs.models import Evaluator, TestRun

CHUNK = 2000
_RESULT_COLUMNS = ("id", "case_id", "variant_id", "error", "error_code", "reported_outcome", "cost", "tokens")


@dataclass(slots=True, frozen=True)
class Difference:
    """One stored value that is not what the rows say."""

    run: str
    what: str
    stored: Any
    counted: Any

    def __str__(self) -> str:
        return f"{self.run}: {self.what} is {self.stored!r}, counted {self.counted!r}"


def recount(run_id: UUID, *, repair: bool) -> list[Difference]:
    """Compare a run's results, copies, counters and rollups with its rows, under its lock; mend them if asked."""
    with transaction.atomic():
        if repair:  # results first, then the run: the order in which reviewers lock
            locked = TestResult.objects.filter(run=run_id).order_by("pk").select_for_update(no_key=True)
            for _ in locked.values_list("pk").iterator(CHUNK):
                pass
        run = TestRun.objects.select_for_update(no_key=True).get(pk=run_id)
        people = Evaluator.objects.filter(organization=run.organization_id, who=Evaluator.Who.HUMAN)
        humans = set(people.values_list("pk", flat=True))
        differences: list[Difference] = []
        shifts: list[Shift] = []
        rollups: dict[RollupKey, RollupShift] = defaultdict(RollupShift.empty)
        for results in _chunks(run):
            rows = _current_rows(results)
            _check_results(run, results, rows, differences, repair=repair)
            shifts += [Shift(result.case_id, None, Counted.of(result)) for result in results]
            pairs = [(result.variant_id, row) for result in results for row in rows[result.pk]]
            for key, shift in rollup_shifts(pairs, humans).items():
                _merge(rollups[key], shift)
        stored = {name: getattr(run, name) for name in (*COUNTERS, *SUMS, *CLUSTERS, *RATES)}
        old_rollups = _stored_rollups(run)
        nothing = dict.fromkeys((*COUNTERS, *SUMS, *CLUSTERS), 0)
        update_rows(TestRun, [run.pk], nothing)
        for name in nothing:
            setattr(run, name, 0)
        Rollup.objects.filter(run=run).delete()
        shift_locked_run(run, shifts, last_position=run.last_position)
        shift_rollups(run, rollups)
        for name, value in stored.items():
            counted = getattr(run, name)
            if not _same(value, counted):
                differences.append(Difference(str(run), name, value, counted))
        new_rollups = _stored_rollups(run)
        for key in old_rollups.keys() | new_rollups.keys():
            before, after = old_rollups.get(key), new_rollups.get(key)
            if not _same_rollup(before, after):
                differences.append(Difference(str(run), f"rollup of evaluator {key[1]}", before, after))
        if not repair:
            transaction.set_rollback(True)
    return differences


def _chunks(run: TestRun) -> Iterator[list[TestResult]]:
    """The run's live results, some thousand at a time, without their heavy columns."""
    last = None
    while True:
        found = TestResult.objects.filter(run=run, deleted_at__isnull=True).order_by("pk")
        if last is not None:
            found = found.filter(pk__gt=last)
        chunk = list(found.only(*_RESULT_COLUMNS, "latency_ms", *RESULT_FIELDS)[:CHUNK])
        if not chunk:
            return
        yield chunk
        last = chunk[-1].pk


def _current_rows(results: list[TestResult]) -> dict[UUID, list[Evaluation]]:
    rows: dict[UUID, list[Evaluation]] = {result.pk: [] for result in results}
    found = Evaluation.objects.filter(result_id__in=rows, is_current=True)
    for row in found.defer("explanation", "debug", "usage", "metadata", "error").order_by("created_at", "id"):
        rows[row.result_id].append(row)
    return rows


def _check_results(
    run: TestRun,
    results: list[TestResult],
    rows: dict[UUID, list[Evaluation]],
    differences: list[Difference],
    *,
    repair: bool,
) -> None:
    required: dict[UUID, int] = defaultdict(int)
    done: dict[UUID, int] = defaultdict(int)
    live = ReviewAssignment.objects.filter(result_id__in=rows).live()
    current = Review.objects.filter(result=OuterRef("result"), reviewer=OuterRef("reviewer"), is_current=True)
    empty = live.filter(~Exists(current), state=ReviewAssignment.State.DONE, reviewer__isnull=False)
    if empty_ones := list(empty.select_related("reviewer").order_by("pk")):
        named = {result.pk: result for result in results}
        differences += [
            Difference(f"{run}, {named[one.result_id]}", f"assignment of {one.reviewer}", "done", "withdrawn")
            for one in empty_ones
        ]
        empty.update(state=ReviewAssignment.State.WITHDRAWN, finished_at=timezone.now(), updated_at=timezone.now())
    for result_id, state in live.values_list("result_id", "state"):
        required[result_id] += 1
        done[result_id] += state == ReviewAssignment.State.DONE
    for result in results:
        stored = {name: getattr(result, name) for name in RESULT_FIELDS}
        result.reviews_required, result.reviews_done = required[result.pk], done[result.pk]
        standing = settle_result(result, rows[result.pk])
        changed = [name for name in RESULT_FIELDS if stored[name] != getattr(result, name)]
        for name in changed:
            differences.append(Difference(f"{run}, {result}", name, stored[name], getattr(result, name)))
        if changed and repair:
            result.save(update_fields=changed)
        for row in rows[result.pk]:
            effective = effective_of(row, standing)
            if (row.outcome, row.effective) != (result.outcome, effective):
                copied, right = (row.outcome, row.effective), (result.outcome, effective)
                differences.append(Difference(f"{run}, {result}", "copy on evaluation", copied, right))
                row.outcome, row.effective = right
                if repair:
                    row.save(update_fields=["outcome", "effective"])


def _merge(into: RollupShift, more: RollupShift) -> None:
    into.counts = [a + b for a, b in zip(into.counts, more.counts, strict=True)]
    lows = [value for value in (into.low, more.low) if value is not None]
    highs = [value for value in (into.high, more.high) if value is not None]
    into.low, into.high = (min(lows) if lows else None), (max(highs) if highs else None)


def _stored_rollups(run: TestRun) -> dict[RollupKey, tuple[Any, ...]]:
    columns = (*ROLLUP_COUNTS, "value_min", "value_max")
    rows = Rollup.objects.filter(run=run).values_list("variant_id", "evaluator_id", *columns)
    return {(row[0], row[1]): tuple(row[2:]) for row in rows}


def _same(one: Any, other: Any) -> bool:
    """Equal, sums of floats up to their rounding."""
    if isinstance(one, float) or isinstance(other, float):
        return (one is None) == (other is None) and abs((one or 0) - (other or 0)) <= 1e-9 * max(1, abs(one or 0))
    return bool(one == other)


def _same_rollup(one: tuple[Any, ...] | None, other: tuple[Any, ...] | None) -> bool:
    empty = (0,) * len(ROLLUP_COUNTS)
    if one is None or other is None:
        present = one or other
        return present is not None and tuple(present[: len(empty)]) == empty
    return all(_same(a, b) for a, b in zip(one, other, strict=True))
