"""From judgements to an outcome: the one place that knows who wins. Nothing here touches the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from results.models import Evaluation, Outcome, TestResult

SEQUENTIAL_DOORS = frozenset({"rhesis", "import"})
"""Doors whose verdicts replace each other, whoever gives them; elsewhere people are asked independently."""


class Judged(Protocol):
    """A current judgement: an Evaluation, or what is about to become one."""

    @property
    def source(self) -> str: ...
    @property
    def evaluator_id(self) -> UUID | None: ...
    @property
    def turn(self) -> int | None: ...
    @property
    def state(self) -> str: ...
    @property
    def passed(self) -> bool | None: ...
    @property
    def via(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...


@dataclass(slots=True)
class Standing:
    """Where a result stands. ``corrections``: evaluator -> the verdict that people agree on."""

    machine_outcome: str
    outcome: str
    human_verdict: str = ""
    conflict: bool = False
    corrected: bool = False
    corrections: dict[UUID, bool] = field(default_factory=dict)


def derive(judgements: Iterable[tuple[str, bool | None]]) -> str:
    """The outcome of (state, verdict) pairs: one fail fails; an errored or pending one is never a silent pass."""
    verdicts, states = set(), set()
    for state, passed in judgements:
        verdicts.add(passed)
        states.add(state)
    if False in verdicts:
        return Outcome.FAILED
    if Evaluation.State.ERROR in states:
        return Outcome.ERROR
    if True not in verdicts or Evaluation.State.PENDING in states:
        return Outcome.UNJUDGED
    return Outcome.PASSED


def standing_of(*, reported: str, errored: bool, rows: Sequence[Judged]) -> Standing:
    """Machine and effective outcome from the current judgements. Verdicts on single turns decide nothing."""
    machine = [row for row in rows if row.source == Evaluation.Source.MACHINE and row.turn is None]
    human = [
        row for row in rows if row.source == Evaluation.Source.HUMAN and row.turn is None and row.passed is not None
    ]
    if reported:
        machine_outcome = reported
    elif errored:
        machine_outcome = Outcome.ERROR.value
    else:
        machine_outcome = derive((row.state, row.passed) for row in machine)
    standing = Standing(machine_outcome, machine_outcome)
    if not human:
        return standing

    by_evaluator: dict[UUID, list[Judged]] = defaultdict(list)
    whole: list[Judged] = []
    for row in human:
        if row.evaluator_id is None:
            whole.append(row)
        else:
            by_evaluator[row.evaluator_id].append(row)
    disputed = False
    for evaluator_id, verdicts in by_evaluator.items():
        agreed = agreement(verdicts)
        if agreed is None:
            disputed = True
        else:
            standing.corrections[evaluator_id] = agreed

    if whole:
        agreed = agreement(whole)
        standing.conflict = agreed is None
        if agreed is not None:
            standing.outcome = standing.human_verdict = (Outcome.PASSED if agreed else Outcome.FAILED).value
    else:
        standing.conflict = disputed
        if not errored:
            _rederive(standing, machine)
    standing.corrected = machine_outcome not in (standing.outcome, Outcome.UNJUDGED)
    return standing


def effective_of(row: Judged, standing: Standing) -> bool | None:
    """The verdict that counts: what people agree on about a machine's, where they say anything."""
    if row.source == Evaluation.Source.MACHINE and row.turn is None and row.evaluator_id:
        return standing.corrections.get(row.evaluator_id, row.passed)
    return row.passed


def review_state_of(*, conflict: bool, asked: bool, reviewed: bool, waiting: bool) -> TestResult.ReviewState:
    """``asked``: somebody who was asked is not done; ``waiting``: a human evaluator's question has no answer.

    Such a question alone keeps open only what nobody has reviewed: who reviews may leave it out.
    """
    if conflict:
        return TestResult.ReviewState.CONFLICT
    if asked:
        return TestResult.ReviewState.OPEN
    if reviewed:
        return TestResult.ReviewState.REVIEWED
    return TestResult.ReviewState.OPEN if waiting else TestResult.ReviewState.NONE


def agreement(rows: Sequence[Judged]) -> bool | None:
    """What the rows agree on; None where they differ. Through a sequential door the newest speaks alone."""
    newest = max(rows, key=lambda row: row.created_at)
    if newest.via in SEQUENTIAL_DOORS:
        return newest.passed
    verdicts = {row.passed for row in rows}
    return verdicts.pop() if len(verdicts) == 1 else None


def _rederive(standing: Standing, machine: Sequence[Judged]) -> None:
    """People judged evaluators only: the outcome follows, where that changed or added anything."""
    judged_by_machine = {row.evaluator_id: row.passed for row in machine}
    changed = any(judged_by_machine.get(key) is not verdict for key, verdict in standing.corrections.items())
    if not changed:
        return
    combined = [
        (Evaluation.State.SCORED.value, standing.corrections[row.evaluator_id])
        if row.evaluator_id in standing.corrections
        else (row.state, row.passed)
        for row in machine
    ]
    combined += [
        (Evaluation.State.SCORED.value, verdict)
        for key, verdict in standing.corrections.items()
        if key not in judged_by_machine
    ]
    standing.outcome = standing.human_verdict = str(derive(combined))
