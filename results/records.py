"""What arrives at the desk: plain records that every door makes and ``record_results`` takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from results.models import Evaluation, Step
from runs.cases import CaseSpec
from runs.evaluators import EvaluatorSpec
from runs.models import Evaluator


@dataclass(slots=True, kw_only=True)
class Judgement:
    """One judgement of a result.

    ``evaluator``: an Evaluator, a spec or a bare name (found by name in the run's project, else made); None only for a
    person's verdict on the whole result. ``passed`` None with ``decide`` lets the evaluator's threshold or options
    decide. A value that is NaN or infinite becomes "unscored" with the reason.
    """

    evaluator: Evaluator | EvaluatorSpec | str | None
    value: float | None = None
    label: str | None = None
    passed: bool | None = None
    decide: bool = True
    state: str = Evaluation.State.SCORED
    turn: int | None = None
    source: str = Evaluation.Source.MACHINE
    author_id: UUID | None = None
    author_name: str = ""
    nth: int = 0
    threshold: float | None = None
    explanation: str = ""
    error: str = ""
    debug: dict[str, Any] | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    cost: float | None = None
    latency_ms: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class StepRecord:
    """One call inside a result, in order."""

    kind: str = Step.Kind.OTHER
    name: str = ""
    provider: str = ""
    turn: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    cost: float | None = None
    latency_ms: float | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class ResultRecord:
    """What came back for one case.

    Identity: ``external_id`` where given, else (case, variant, repetition). ``case``: a case's id, a spec, or None;
    ``case_revision`` where it was not asked as it is now.
    ``variant`` is a variant's position in the run. ``conversation``: [{turn, messages: [{role, content, ...}], success,
    latency_ms}]. ``usage``: {model: {input, output, ...}} in tokens. ``cost`` in US dollars; times aware.
    """

    external_id: str | None = None
    case: UUID | CaseSpec | None = None
    case_revision: int | None = None
    variant: int | None = None
    repetition: int = 1
    name: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, Any] | None = None
    output: dict[str, Any] | None = None
    conversation: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    error_code: str = ""
    reported_outcome: str = ""
    latency_ms: float | None = None
    wall_ms: float | None = None
    cost: float | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    tokens: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    session_id: str = ""
    render_html_key: str = ""
    path: list[dict[str, Any]] | None = None
    previous_run_id: UUID | None = None
    collection_method: str = ""
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    steps: list[StepRecord] = field(default_factory=list)
    evaluations: list[Judgement] = field(default_factory=list)
