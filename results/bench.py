"""The judges of one run, as they were when it was launched: checks, models, and people who are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from evalhub.accounts.tenancy import parse_uuid
from results.heuristics import Evidence, errored, judge_by_check
from results.model_judges import Transcript, judge_by_model
from results.models import Evaluation
from results.records import Judgement
from runs.asking import Caller, Failure, Turn
from runs.chatting import Model, default_model
from runs.models import Endpoint, Evaluator

NOTHING: Final = "There is no answer to judge."

type TurnOf = Callable[[Endpoint], Turn]


@dataclass(slots=True)
class Judge:
    """One evaluator; ``requirements``: only of cases with one of them. ``endpoint``: where its model is asked."""

    evaluator: Evaluator
    requirements: frozenset[str] | None = None
    endpoint: Endpoint | None = None

    def is_asked_about(self, requirement_id: UUID | None) -> bool:
        return self.requirements is None or str(requirement_id) in self.requirements

    @property
    def asks_a_model(self) -> bool:
        return self.evaluator.who == Evaluator.Who.AI


class Bench:
    """All judges of a run. ``set_up`` reads the database; the rest does not."""

    def __init__(self, judges: Sequence[Judge]) -> None:
        self.judges = list(judges)
        self._models: dict[UUID, Model | None] = {}

    @classmethod
    def set_up(cls, organization_id: UUID, shots: Any, judge: Endpoint | None = None) -> Bench:
        """From the snapshots of a run. A model's endpoint is the one its evaluator names, else ``judge``, else the
        installation's."""
        shots = [shot for shot in shots or () if isinstance(shot, dict)] if isinstance(shots, list) else []
        named = {str(part(shot, "definition").get("endpoint") or "") for shot in shots}
        ids = [pk for pk in map(parse_uuid, named) if pk]
        rows = Endpoint.objects.filter(organization_id=organization_id, pk__in=ids, deleted_at__isnull=True)
        endpoints = {str(endpoint.pk): endpoint for endpoint in rows}
        usual = judge or default_model()
        judges = []
        for shot in shots:
            evaluator = evaluator_of(organization_id, shot)
            definition = part(shot, "definition")
            endpoint = endpoints.get(str(definition.get("endpoint") or ""))
            if endpoint is None and not definition.get("endpoint") and not definition.get("judge"):
                endpoint = usual
            wanted = shot.get("requirements")
            judges.append(Judge(evaluator, frozenset(wanted) if isinstance(wanted, list) else None, endpoint))
        return cls(judges)

    def only(self, evaluator_id: UUID | None) -> Bench:
        """The same bench with one judge."""
        alone = Bench([judge for judge in self.judges if judge.evaluator.pk == evaluator_id])
        alone._models = self._models
        return alone

    @property
    def asks_models(self) -> bool:
        return any(judge.asks_a_model and judge.endpoint is not None for judge in self.judges)

    def open_models(self, caller: Caller, turn_of: TurnOf) -> None:
        for judge in self.judges:
            model = None
            if judge.asks_a_model and judge.endpoint is not None:
                name = str(part(judge.evaluator, "definition").get("model") or "")
                try:
                    model = Model(caller, judge.endpoint, name, turn=turn_of(judge.endpoint))
                except Failure:
                    model = None
            self._models[judge.evaluator.pk] = model

    async def ask_models(
        self, evidence: Evidence, transcript: Transcript, requirement_id: UUID | None
    ) -> list[Judgement]:
        """What the model judges say, all asked at once."""
        asked = [j for j in self.judges if j.asks_a_model and j.is_asked_about(requirement_id)]
        return list(
            await asyncio.gather(
                *(
                    judge_by_model(judge.evaluator, self._models.get(judge.evaluator.pk), evidence, transcript)
                    for judge in asked
                )
            )
        )

    def apply_checks(self, evidence: Evidence, requirement_id: UUID | None) -> list[Judgement]:
        """What the judges without a model say; may take its time, so never in the event loop."""
        judgements = []
        for judge in self.judges:
            evaluator = judge.evaluator
            if judge.asks_a_model or not judge.is_asked_about(requirement_id):
                continue
            if evaluator.who == Evaluator.Who.HUMAN:
                judgements.append(pending(evaluator))
            elif evaluator.who == Evaluator.Who.CLASSIFIER:
                judgements.append(errored(evaluator, "EvalHub cannot run classifiers: send their evaluations to it."))
            else:
                judgements.append(judge_by_check(evaluator, evidence))
        return judgements

    def cannot_judge(self, requirement_id: UUID | None) -> list[Judgement]:
        """For a result without an answer: no machine may pass it, and no person is asked."""
        return [
            errored(judge.evaluator, NOTHING)
            for judge in self.judges
            if judge.is_asked_about(requirement_id) and judge.evaluator.who != Evaluator.Who.HUMAN
        ]


def pending(evaluator: Evaluator) -> Judgement:
    """A question for whoever reviews."""
    return Judgement(evaluator=evaluator, source=Evaluation.Source.HUMAN, state=Evaluation.State.PENDING)


def evaluator_of(organization_id: UUID, shot: Mapping[str, Any]) -> Evaluator:
    """The evaluator as its snapshot says, with its id; never saved."""
    fields = {
        "name", "who", "value_type", "options", "direction", "threshold", "operator", "min_score", "max_score",
        "weight", "definition", "version",
    }  # fmt: skip
    values = {name: shot[name] for name in fields if name in shot}
    return Evaluator(pk=UUID(str(shot["id"])), organization_id=organization_id, **values)


def part(holder: Any, name: str) -> dict[str, Any]:
    found = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name)
    return found if isinstance(found, dict) else {}
