"""A later state of a run that is here already: what is new is added, what changed is replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from evalhub.database.lookups import looked_up
from evalhub.importers.description import digest_of
from results.models import Evaluation, Review, ReviewAssignment, TestResult
from results.reading import OWN
from results.records import Judgement, ResultRecord
from runs.cases import CaseSpec
from runs.evaluators import EvaluatorSpec
from runs.models import Case, Comment, TestRun

STAMP = f"{OWN}digest"
MEMORY = f"{OWN}import"
DIGESTS_KEPT = 20

Identity = tuple[str, int | None, int]  # the case's external id, the variant's position, the repetition


@dataclass(frozen=True, slots=True)
class Earlier:
    id: UUID
    digest: str
    touched: bool


def stamp(record: ResultRecord) -> int:
    """Remember what the file said, to see next time whether it says something else; returns its bytes."""
    said = _said(record)
    record.attributes[STAMP] = digest_of(said.decode())[:16]
    return len(said)


def identity_of(record: ResultRecord) -> Identity:
    assert isinstance(record.case, CaseSpec)
    return record.case.external_id, record.variant, record.repetition


def earlier_results(run: TestRun, records: Sequence[ResultRecord]) -> dict[Identity, Earlier]:
    """What an earlier import left of the cases of these records, and whether people worked on it since.

    ``run`` as it was before this import: what came in since is not earlier.
    """
    names = {identity_of(record)[0] for record in records}
    cases = Case.objects.filter(organization_id=run.organization_id, external_id__among=list(names))
    columns = ("pk", "case__external_id", "variant__position", "repetition", f"attributes__{STAMP}")
    results = TestResult.objects.filter(
        run=looked_up(run), case__in=cases, position__lte=run.last_position, deleted_at__isnull=True
    ).values_list(*columns)
    ids = [pk for pk, *_ in results]
    touched: set[UUID] = set()
    for rows in (
        Review.objects.filter(result__among=ids),
        ReviewAssignment.objects.filter(result__among=ids),
        Evaluation.objects.filter(result__among=ids, source=Evaluation.Source.HUMAN).exclude(via=TestRun.Via.IMPORT),
    ):
        touched.update(rows.values_list("result_id", flat=True))
    comments = Comment.objects.filter(organization_id=run.organization_id, entity_type="result", entity_id__among=ids)
    touched.update(comments.values_list("entity_id", flat=True))
    return {
        (case_id, position, repetition): Earlier(pk, digest or "", pk in touched)
        for pk, case_id, position, repetition, digest in results
    }


def let_go(earlier: list[Earlier]) -> None:
    """Forget results that the file tells otherwise now; the caller records them anew and counts again."""
    TestResult.objects.filter(pk__in=[one.id for one in earlier]).delete()


def knows(run: TestRun, sha256: str) -> bool:
    """Whether this very file has been here."""
    return sha256 in _memory(run).get("digests", [])


def is_older(run: TestRun, *, finished: bool, records: int | None) -> bool:
    """Whether the run is further than the file: ended already, or with more in it."""
    memory = _memory(run)
    if memory.get("finished") and not finished:
        return True
    return finished == memory.get("finished") and records is not None and records < memory.get("records", 0)


def remember(run: TestRun, *, sha256: str, finished: bool, records: int, filename: str) -> dict[str, Any]:
    """The run's attributes with the file added."""
    digests = [*_memory(run).get("digests", []), sha256][-DIGESTS_KEPT:]
    memory = {"digests": digests, "finished": finished, "records": records, "filename": filename}
    return {**run.attributes, MEMORY: memory}


def _memory(run: TestRun) -> dict[str, Any]:
    memory = run.attributes.get(MEMORY)
    return memory if isinstance(memory, dict) else {}


def _said(record: ResultRecord) -> bytes:
    content = {
        name: getattr(record, name)
        for name in (
            "inputs",
            "expected",
            "output",
            "conversation",
            "error",
            "usage",
            "cost",
            "latency_ms",
            "attributes",
        )
    }
    judged = [_judged(judgement) for judgement in record.evaluations]
    return orjson.dumps([content, judged], option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)


def _judged(judgement: Judgement) -> list[Any]:
    evaluator = judgement.evaluator
    name = evaluator.name if isinstance(evaluator, EvaluatorSpec) else str(evaluator)
    at: datetime | None = judgement.created_at
    said = (judgement.state, judgement.value, judgement.label, judgement.passed, judgement.explanation)
    return [name, judgement.source, judgement.author_name, at, *said]
