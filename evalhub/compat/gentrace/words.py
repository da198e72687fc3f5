"""Gentrace's words for our rows. Its TestResult is our run and its TestRun is our result; nothing past this file knows.

Every function takes plain rows (dicts of column values) and gives what the clients' JSON says. ``Speech`` holds the few
things that depend on who asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from evalhub.accounts.tenancy import parse_uuid
from evalhub.web.json import dumps
from results.models import Evaluation, TestResult
from results.models.results import Step
from runs.models import Case, Evaluator, Project, TestRun, TestSet

Row = Mapping[str, Any]

WHO = {"ai": "AI", "heuristic": "HEURISTIC", "human": "HUMAN", "classifier": "CLASSIFIER"}
VALUE_TYPES = {"label": "ENUM", "percentage": "PERCENTAGE", "number": "PERCENTAGE"}
SHOWN_METADATA = frozenset({"string", "url", "boolean"})

PROJECT_COLUMNS = (
    "id", "external_id", "created_at", "updated_at", "archived_at", "labels", "name", "slug", "organization_id",
    "branch", "folder_id",
)  # fmt: skip
EVALUATOR_COLUMNS = (
    "id", "external_id", "created_at", "updated_at", "archived_at", "icon", "name", "options", "project_id", "who",
    "value_type", "definition",
)  # fmt: skip
CASE_COLUMNS = (
    "id", "external_id", "created_at", "updated_at", "archived_at", "deleted_at", "name", "number", "inputs",
    "expected", "project_id",
)  # fmt: skip
RUN_COLUMNS = (
    "id", "external_id", "created_at", "updated_at", "archived_at", "project_id", "branch", "commit", "metadata",
    "name",
)  # fmt: skip
RESULT_COLUMNS = (
    "id", "external_id", "created_at", "updated_at", "case_id", "path", "error", "started_at", "finished_at", "cost",
    "latency_ms", "inputs", "output", "render_html_key", "metadata",
)  # fmt: skip
STEP_COLUMNS = (
    "id", "result_id", "created_at", "position", "provider", "name", "parameters", "inputs", "outputs", "started_at",
    "finished_at", "latency_ms", "cost", "context", "error",
)  # fmt: skip
EVALUATION_COLUMNS = (
    "id", "result_id", "created_at", "updated_at", "state", "debug", "error", "evaluator_id", "label", "value", "usage",
    "explanation", "source", "author__email", "evaluator__name", "evaluator__origin",
)  # fmt: skip

#: The columns with which each model is fetched for this door.
COLUMNS: dict[type, tuple[str, ...]] = {
    Project: PROJECT_COLUMNS,
    Evaluator: EVALUATOR_COLUMNS,
    Case: CASE_COLUMNS,
    TestRun: RUN_COLUMNS,
    TestResult: RESULT_COLUMNS,
    Step: STEP_COLUMNS,
    Evaluation: EVALUATION_COLUMNS,
    TestSet: ("id", "external_id", "created_at", "updated_at", "archived_at", "name", "description", "project_id"),
}


@dataclass(frozen=True, slots=True)
class Speech:
    """How to say it: ``version`` 1 has ISO times, 2 and 3 have seconds; Python's client is stricter than the rest."""

    version: int = 1
    to_python: bool = False

    def time(self, value: datetime | None) -> str | float | None:
        if value is None:
            return None
        if self.version == 1:
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return value.timestamp()

    def value(self, value: float | None) -> str | float | None:
        """The page says string, the Python client takes numbers only; v2 and v3 have numbers for everybody."""
        if value is None or self.to_python or self.version > 1:
            return value
        return f"{value:.15g}"

    def metadata(self, metadata: Row) -> dict[str, Any]:
        """Python's client dies on a type that it does not know, so it gets such a value as a string."""
        if not self.to_python:
            return dict(metadata)
        return {
            key: entry if isinstance(entry, dict) and entry.get("type") in SHOWN_METADATA else as_string(entry)
            for key, entry in metadata.items()
        }


def as_string(entry: Any) -> dict[str, str]:
    value = entry.get("value") if isinstance(entry, dict) and set(entry) == {"type", "value"} else entry
    return {"type": "string", "value": value if isinstance(value, str) else dumps(value).decode()}


def wire_id(row: Row) -> str:
    """The client's own id where that is a UUID, as every id on this wire has to be, else ours."""
    own = row["external_id"]
    return own if own and parse_uuid(own) else str(row["id"])


def as_pipeline(project: Row, say: Speech, golden: Mapping[UUID, str]) -> dict[str, Any]:
    pipeline = {
        "id": wire_id(project),
        "createdAt": say.time(project["created_at"]),
        "updatedAt": say.time(project["updated_at"]),
        "archivedAt": say.time(project["archived_at"]),
        "labels": project["labels"],
        "displayName": project["name"] or None,
        "slug": project["slug"],
        "organizationId": str(project["organization_id"]),
        "branch": project["branch"] or None,
        "goldenDatasetId": golden.get(project["id"]),
    }
    if say.version > 1:
        pipeline |= {
            "folderId": None if project["folder_id"] is None else str(project["folder_id"]),
            "privateMemberId": None,
            "privateUserEmail": None,
        }
    return pipeline


def as_evaluator(evaluator: Row, say: Speech, pipeline_id: str | None) -> dict[str, Any]:
    definition = evaluator["definition"]
    words = {
        "id": wire_id(evaluator),
        "createdAt": say.time(evaluator["created_at"]),
        "updatedAt": say.time(evaluator["updated_at"]),
        "archivedAt": say.time(evaluator["archived_at"]),
        "icon": evaluator["icon"] or None,
        "name": evaluator["name"],
        "options": [[option["label"], option.get("value")] for option in evaluator["options"]],
        "aiModel": definition.get("model"),
        "pipelineId": pipeline_id,
        "processorId": definition.get("processor_id"),
        "heuristicFn": definition.get("heuristic"),
        "aiPromptFormat": definition.get("prompt"),
        "humanPrompt": definition.get("question"),
        "who": WHO[evaluator["who"]],
        "valueType": VALUE_TYPES[evaluator["value_type"]],
    }
    if say.version > 1:
        if words["aiModel"] is None:
            del words["aiModel"]  # may be absent, never null
        words["runCondition"] = "TEST"
    return words


def as_test_case(case: Row, say: Speech, pipeline_id: str, dataset_id: str) -> dict[str, Any]:
    return {
        "id": wire_id(case),
        "createdAt": say.time(case["created_at"]),
        "updatedAt": say.time(case["updated_at"]),
        "archivedAt": say.time(case["archived_at"]),
        "deletedAt": say.time(case["deleted_at"]),
        "datasetId": dataset_id,
        "inputs": case["inputs"],
        "expectedOutputs": case["expected"],
        "name": case["name"] or f"Case {case['number']}",
        "pipelineId": pipeline_id,
    }


def as_test_result(run: Row, say: Speech, pipeline_id: str) -> dict[str, Any]:
    """Our run."""
    words = {
        "id": wire_id(run),
        "createdAt": say.time(run["created_at"]),
        "updatedAt": say.time(run["updated_at"]),
        "pipelineId": pipeline_id,
        "branch": run["branch"] or None,
        "commit": run["commit"] or None,
        "metadata": say.metadata(run["metadata"]),
        "name": run["name"] or None,
    }
    if say.version > 1:
        words["archivedAt"] = say.time(run["archived_at"])
    return words


@dataclass(frozen=True, slots=True)
class Around:
    """What a run's results have in common on the wire."""

    run_id: str
    pipeline_id: str
    organization_id: str


def as_test_run(
    result: Row,
    say: Speech,
    around: Around,
    *,
    case: dict[str, Any] | None,
    steps: list[Row],
    evaluations: Iterable[Row],
    feedback: float | None,
    evaluator_ids: Mapping[UUID, str],
) -> dict[str, Any]:
    """Our result, expanded."""
    own_id = wire_id(result)
    started, ended = _span(result)
    words = {
        "id": own_id,
        "createdAt": say.time(result["created_at"]),
        "updatedAt": say.time(result["updated_at"]),
        "caseId": case["id"] if case else own_id,
        "resultId": around.run_id,
        "path": result["path"],
        "error": result["error"] or None,
        "full": {
            "pipelineRunId": own_id,
            "pipelineId": around.pipeline_id,
            "organizationId": around.organization_id,
            "startTime": say.time(started),
            "endTime": say.time(ended),
            "cost": result["cost"],
            "elapsed": result["latency_ms"],
            "feedback": feedback,
            "lastInvocation": say.time(steps[-1]["started_at"] or ended) if steps else None,
            "inputs": steps[0]["inputs"] if steps else result["inputs"],
            "outputs": steps[-1]["outputs"] if steps else result["output"],
            "renderHTMLKey": result["render_html_key"] or None,
            "metadata": say.metadata(result["metadata"]),
            "path": result["path"],
            "error": result["error"] or None,
        },
        "steps": [as_resolved_step(step, say, around, own_id, started) for step in steps],
        "evaluations": [as_evaluation(row, say, own_id, evaluator_ids) for row in evaluations],
    }
    if case is not None:  # may be absent, never null
        words["case"] = case
    return words


def as_resolved_step(step: Row, say: Speech, around: Around, run_id: str, started: datetime) -> dict[str, Any]:
    begun = step["started_at"] or started
    return {
        "id": str(step["id"]),
        "organizationId": around.organization_id,
        "providerName": step["provider"],
        "invocation": step["name"],
        "modelParams": step["parameters"],
        "inputs": step["inputs"],
        "outputs": step["outputs"],
        "startTime": say.time(begun),
        "endTime": say.time(step["finished_at"] or begun + timedelta(milliseconds=step["latency_ms"] or 0)),
        "pipelineRunId": run_id,
        "error": step["error"] or None,
    }


def as_evaluation(row: Row, say: Speech, run_id: str, evaluator_ids: Mapping[UUID, str]) -> dict[str, Any]:
    """A judgement in v1, v2 or v3."""
    local = row["evaluator_id"] is None or row["evaluator__origin"] != Evaluator.Origin.OWN
    scored = row["state"] == Evaluation.State.SCORED
    words = {
        "id": str(row["id"]),
        "createdAt": say.time(row["created_at"]),
        "updatedAt": say.time(row["updated_at"]),
        "isPending": row["state"] == Evaluation.State.PENDING,
        "debug": _debug(row),
        "evaluatorId": None if local else evaluator_ids[row["evaluator_id"]],
        "runId": run_id,
        "evalLabel": row["label"] if scored else None,
        "evalValue": say.value(row["value"]) if scored else None,
        "manualCreatedByEmail": row["author__email"],
    }
    if say.version == 1:
        words |= billing(row["usage"])
    else:
        words |= {
            "isFiltered": False,
            "note": row["explanation"],
            "name": row["evaluator__name"] if local else None,
            "comparisonRunId": None,
        }
    return words


def billing(usage: Row) -> dict[str, int]:
    """Tokens of the judge's models, by the two prefixes that Gentrace bills."""
    sums = {"Gpt4Input": 0, "Gpt4Output": 0, "Gpt35Input": 0, "Gpt35Output": 0}
    for model, counts in usage.items():
        name = "Gpt4" if model.startswith("gpt-4") else "Gpt35" if model.startswith("gpt-3.5") else ""
        if name and isinstance(counts, dict):
            sums[f"{name}Input"] += int(counts.get("input") or 0)
            sums[f"{name}Output"] += int(counts.get("output") or 0)
    return {f"billing{name}Tokens": tokens for name, tokens in sums.items()}


def as_dataset(test_set: Row, say: Speech, pipeline_id: str) -> dict[str, Any]:
    return {
        "id": wire_id(test_set),
        "createdAt": say.time(test_set["created_at"]),
        "updatedAt": say.time(test_set["updated_at"]),
        "archivedAt": say.time(test_set["archived_at"]),
        "name": test_set["name"],
        "description": test_set["description"] or None,
        "pipelineId": pipeline_id,
    }


def as_run(result: Row, steps: list[Row]) -> dict[str, Any]:
    """A production call, or any other result, with the times in seconds (v2)."""
    say = Speech(version=2)
    started, _ = _span(result)
    words: list[dict[str, Any]] = []
    for order, step in enumerate(steps):
        begun = step["started_at"] or started
        elapsed = round(step["latency_ms"] or 0)
        one = {
            "stepRunId": str(step["id"]),
            "stepId": str(step["id"]),
            "providerName": step["provider"],
            "invocation": step["name"],
            "order": order,
            "modelParams": step["parameters"],
            "inputs": step["inputs"],
            "outputs": step["outputs"],
            "elapsedTime": elapsed,
            "startTime": say.time(begun),
            "endTime": say.time(step["finished_at"] or begun + timedelta(milliseconds=elapsed)),
            "cost": step["cost"] or 0,
            "error": step["error"] or None,
        }
        words.append(one)
    return {"id": wire_id(result), "stepRuns": words}


def as_feedback(row: Any, run_id: str) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "pipelineRunId": run_id,
        "score": row.score,
        "details": row.details or None,
        "recordedTime": row.recorded_at.timestamp(),
    }


def as_folder(folder: Any) -> dict[str, Any]:
    return {
        "id": str(folder.pk),
        "createdAt": folder.created_at.timestamp(),
        "updatedAt": folder.updated_at.timestamp(),
        "name": folder.name,
        "organizationId": str(folder.organization_id),
        "parentFolderId": None if folder.parent_id is None else str(folder.parent_id),
    }


def _span(result: Row) -> tuple[datetime, datetime]:
    started = result["started_at"] or result["created_at"]
    return started, result["finished_at"] or started + timedelta(milliseconds=result["latency_ms"] or 0)


def _debug(row: Row) -> dict[str, Any] | None:
    if row["state"] != Evaluation.State.ERROR:
        debug: dict[str, Any] | None = row["debug"]
        return debug
    date = row["updated_at"].astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {**(row["debug"] or {}), "error": {"message": row["error"] or "The evaluation failed.", "date": date}}
