"""Evaluators that arrive with results, and their versions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import transaction

from evalhub.accounts.actor import Actor
from evalhub.audit.models import record_event
from evalhub.web.errors import Refused
from runs.changing import apply_changes, locked, save_changes
from runs.models import Evaluator, EvaluatorVersion, Project

LONGEST_NAME = 200


@dataclass(slots=True, kw_only=True)
class EvaluatorSpec:
    """An evaluator as a sender describes it; its name makes it the same one next time within the project."""

    name: str
    description: str = ""
    who: str = Evaluator.Who.HEURISTIC
    value_type: str = Evaluator.ValueType.NUMBER
    options: list[dict[str, Any]] = field(default_factory=list)
    direction: str = Evaluator.Direction.HIGHER
    threshold: float | None = None
    operator: str = Evaluator.Operator.AT_LEAST
    min_score: float | None = None
    max_score: float | None = None
    weight: float = 1
    definition: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = fitting_name(self.name)


def misfit_of(described: Mapping[str, Any]) -> tuple[tuple[str | int, ...], str] | None:
    """What is wrong with an evaluator as somebody describes it: where, and in words."""
    low, high = described.get("min_score"), described.get("max_score")
    if low is not None and high is not None and low > high:
        return ("min_score",), "must not be above max_score"
    labels: set[str] = set()
    for n, option in enumerate(described.get("options", ())):
        label = option["label"].casefold()  # as judgements are compared with it
        if label in labels:
            return ("options", n, "label"), "is there twice"
        labels.add(label)
    return None


def fitting_name(name: str) -> str:
    """A sender's name as it is stored: an endless one ends in a digest of the whole, so that it stays its own."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 10]}… {hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def ensure_evaluators(
    project: Project,
    specs: Iterable[EvaluatorSpec],
    *,
    origin: str = Evaluator.Origin.LOCAL,
    only_arrived: bool = False,
) -> dict[str, Evaluator]:
    """The project's evaluators by name, missing ones made; an existing one keeps its definition.

    ``only_arrived`` leaves alone what was set up here, whatever its name.
    """
    wanted = {spec.name: spec for spec in specs}
    if not wanted:
        return {}
    with transaction.atomic():
        found = _evaluators_by_name(project, wanted, only_arrived=only_arrived)
        if len(found) < len(wanted):
            Project.objects.select_for_update().get(pk=project.pk)  # one maker at a time
            found = _evaluators_by_name(project, wanted, only_arrived=only_arrived)
            missing = [spec for name, spec in wanted.items() if name not in found]
            made = Evaluator.objects.bulk_create([_made_from(spec, project, origin) for spec in missing])
            found |= {evaluator.name: evaluator for evaluator in made}
    return found


def create_evaluator(project: Project | None, *, by: Actor, name: str, **fields: Any) -> Evaluator:
    """A new evaluator of the project; without a project, a template of the organisation."""
    with transaction.atomic():
        evaluator = Evaluator.objects.create(
            organization=by.organization, project=project, name=name, **{"owner": by.user, **fields}
        )
        record_event("evaluator.created", evaluator, by=by)
    return evaluator


NO_OTHER_JUDGE: Final = (
    "It has judged already, and what people say is counted apart from what machines say. Make a new evaluator."
)


def is_used(evaluator: Evaluator) -> bool:
    return Evaluator.objects.filter(pk=evaluator.pk, evaluations__isnull=False).exists()


def may_become(evaluator: Evaluator, who: str) -> bool:
    """Whether people may take over from machines, or the other way round: only before anything was judged."""
    moves = evaluator.who != who and Evaluator.Who.HUMAN in (evaluator.who, who)
    return not (moves and is_used(evaluator))


def change_evaluator(evaluator: Evaluator, *, by: Actor | None = None, **changes: Any) -> Evaluator:
    """Change an evaluator; a change of how it judges keeps the old way as a version, where it was used."""
    with transaction.atomic():
        evaluator = locked(evaluator)
        if not may_become(evaluator, changes.get("who", evaluator.who)):
            raise Refused(NO_OTHER_JUDGE)
        before = evaluator.snapshot()
        changed = apply_changes(evaluator, changes)
        if way_of_judging(evaluator.snapshot()) != way_of_judging(before) and is_used(evaluator):
            EvaluatorVersion.objects.create(
                organization_id=evaluator.organization_id,
                evaluator=evaluator,
                number=evaluator.version,
                definition=before,
            )
            evaluator.version += 1
            changed.append("version")
        save_changes(evaluator, changed, by=by)
    return evaluator


def way_of_judging(snapshot: dict[str, Any]) -> dict[str, Any]:
    """A snapshot to compare with others: a percentage goes from 0 to 1, whether that is said or not."""
    if snapshot["value_type"] != Evaluator.ValueType.PERCENTAGE:
        return snapshot
    bounds = {"min_score": 0, "max_score": 1}
    return {**snapshot, **{name: end if snapshot[name] is None else snapshot[name] for name, end in bounds.items()}}


def _evaluators_by_name(project: Project, names: Iterable[str], *, only_arrived: bool) -> dict[str, Evaluator]:
    """Live ones win over archived ones, own ones over those that came with results."""
    evaluators = Evaluator.objects.filter(project=project, name__in=list(names), deleted_at__isnull=True)
    if only_arrived:
        evaluators = evaluators.exclude(origin=Evaluator.Origin.OWN)
    ordered = sorted(evaluators, key=lambda e: (e.archived_at is None, e.origin == Evaluator.Origin.OWN))
    return {evaluator.name: evaluator for evaluator in ordered}


def _made_from(spec: EvaluatorSpec, project: Project, origin: str) -> Evaluator:
    return Evaluator(
        organization_id=project.organization_id,
        project=project,
        origin=origin,
        name=spec.name,
        description=spec.description,
        who=spec.who,
        value_type=spec.value_type,
        options=spec.options,
        direction=spec.direction,
        threshold=spec.threshold,
        operator=spec.operator,
        min_score=spec.min_score,
        max_score=spec.max_score,
        weight=spec.weight,
        definition=spec.definition,
    )
