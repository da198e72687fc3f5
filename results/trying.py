"""Asking and judging once, from a request: nothing is recorded, and whoever asked waits for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from evalhub.database.storable import storable
from results.bench import Bench
from results.heuristics import Evidence
from results.model_judges import Transcript
from results.models import Evaluation
from results.models.results import text_of
from results.recording import score_evaluation
from runs.asking import Asker, Caller, Said, message_values
from runs.launching import snapshots_of
from runs.models import Endpoint, Evaluator


@dataclass(slots=True)
class Tried:
    said: Said
    evaluations: list[Evaluation]  # unsaved, each with its evaluator


def try_endpoint(
    endpoint: Endpoint,
    inputs: Mapping[str, Any],
    *,
    organization_id: UUID,
    expected: Any = None,
    evaluators: Sequence[Evaluator] = (),
) -> Tried:
    """What the endpoint says to these inputs, and what the evaluators say of that. Raises Failure."""
    bench = Bench.set_up(organization_id, snapshots_of(evaluators))
    asked = inputs.get("input", text_of(dict(inputs)))

    async def run() -> tuple[Said, list[Any], Evidence]:
        async with Caller() as caller:
            said = await Asker(caller, endpoint, retries=0).ask(message_values(input=asked, inputs=dict(inputs)))
            output = {"output": storable(said.output)}
            evidence = Evidence(
                output=output, expected=expected, inputs=dict(inputs), latency_ms=said.latency_ms, cost=said.cost
            )
            messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": said.output}]
            bench.open_models(caller, lambda _: nullcontext)
            return said, await bench.ask_models(evidence, Transcript(messages=messages), None), evidence

    said, judged, evidence = asyncio.run(run())
    rows = []
    for judgement in [*bench.apply_checks(evidence, None), *judged]:
        evaluator = judgement.evaluator
        if judgement.source != Evaluation.Source.MACHINE or not isinstance(evaluator, Evaluator):
            continue
        row = Evaluation(
            evaluator=evaluator,
            explanation=judgement.explanation,
            error=judgement.error,
            latency_ms=judgement.latency_ms,
            source=judgement.source,
        )
        score_evaluation(row, evaluator, judgement)
        rows.append(row)
    return Tried(said, rows)
