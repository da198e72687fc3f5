"""Gentrace's words for our rows. Its TestResult is our run and its TestRun is our result; nothing past this file knows.

Every function takes plain rows (dicts of column values) and gives what the clients' JSON says. ``Speech`` holds the few
things that depend on who asks. Stored JSON travels as the text that the database gives (``name_json``), never parsed
where nobody looks into it; times stay times, and the encoder writes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db.models import TextField
from django.db.models.functions import Cast

from evalhub.accounts.tenancy import parse_uuid
from evalhub.web.json import dumps
from results.models import Evaluation, Feedback, Step, TestResult
from runs.models import Case, Evaluator, Folder, Project, TestRun, TestSet

Row = Mapping[str, Any]

WHO = {"ai": "AI", "heuristic": "HEURISTIC", "human": "HUMAN", "classifier": "CLASSIFIER"}
VALUE_TYPES = {"label": "ENUM", "percentage": "PERCENTAGE", "number": "PERCENTAGE"}
NODES_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
MOST_INTEGER = 2**50  # far from where JavaScript's integers end
#: What an entry of each type that the clients know must hold.
METADATA_TYPES: dict[str, dict[str, type]] = {
    "string": {"value": str},
    "url": {"url": str, "text": str},
    "boolean": {"value": bool},
}


class Columns(NamedTuple):
    """What this door reads of a model: plain columns, and JSON columns as text, each called ``name_json``."""

    plain: tuple[str, ...]
    json: tuple[str, ...] = ()

    @property
    def as_text(self) -> dict[str, Cast]:
        return {f"{name.replace('case__', 'case_')}_json": Cast(name, TextField()) for name in self.json}


_NAMED = ("id", "external_id", "created_at", "updated_at")
_CASE = ("archived_at", "deleted_at", "name", "number", "project_id")
COLUMNS: dict[type, Columns] = {
    Project: Columns((*_NAMED, "archived_at", "labels", "name", "slug", "organization_id", "branch", "folder_id")),
    Evaluator: Columns(
        (*_NAMED, "archived_at", "icon", "name", "options", "project_id", "who", "value_type", "definition")
    ),
    Case: Columns((*_NAMED, *_CASE), ("inputs", "expected")),
    TestSet: Columns((*_NAMED, "archived_at", "name", "description", "project_id")),
    TestRun: Columns((*_NAMED, "archived_at", "project_id", "branch", "commit", "name"), ("metadata",)),
    TestResult: Columns(
        (*_NAMED, "position", "name", "case_id", "error", "started_at", "finished_at", "cost", "latency_ms",
         "render_html_key", *(f"case__{column}" for column in (*_NAMED, *_CASE))),
        ("path", "inputs", "expected", "output", "metadata", "case__inputs", "case__expected"),
    ),
    Step: Columns(
        ("id", "result_id", "provider", "name", "started_at", "finished_at", "latency_ms", "cost", "error"),
        ("parameters", "inputs", "outputs"),
    ),
    Evaluation: Columns(
        ("id", "result_id", "created_at", "updated_at", "state", "error", "evaluator_id", "label", "value",
         "passed", "explanation", "author__email", "evaluator__name", "evaluator__origin", "evaluator__external_id"),
        ("debug", "usage"),
    ),
}  # fmt: skip


def as_object(text: str | None) -> orjson.Fragment | None:
    """Stored JSON where the clients take an object only; what is none gets the key that they use for a lone value."""
    if text is None:
        return None
    return orjson.Fragment(text if text[0] == "{" else f'{{"value": {text}}}')


@dataclass(frozen=True, slots=True)
class Speech:
    """How to say it: ``version`` 1 has ISO times, 2 and 3 have seconds; Python's client is stricter than the rest."""

    version: int = 1
    to_python: bool = False

    def time(self, value: datetime | None) -> datetime | float | None:
        return value if value is None or self.version == 1 else value.timestamp()

    def value(self, value: float | None) -> str | float | None:
        """The page says string, the Python client takes numbers only; v2 and v3 have numbers for everybody."""
        if value is None or self.to_python or self.version > 1:
            return value
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)

    def metadata(self, text: str) -> Any:
        """An entry without a type (other doors allow it) is said as a string, and to Python's client, which dies on a
        type that it does not know, every entry of such a type.
        """
        if text == "{}":
            return orjson.Fragment(text)
        fits = is_typed if self.to_python else has_type
        metadata: dict[str, Any] = orjson.loads(text)
        return {key: entry if fits(entry) else as_string(entry) for key, entry in metadata.items()}


def has_type(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("type"), str)


def is_typed(entry: Any) -> bool:
    """Whether it is a whole entry of one of the types that every client knows."""
    needs = METADATA_TYPES.get(entry["type"]) if has_type(entry) else None
    return needs is not None and all(isinstance(entry.get(key), kind) for key, kind in needs.items())


def as_string(entry: Any) -> dict[str, str]:
    value = entry.get("value") if isinstance(entry, dict) and set(entry) == {"type", "value"} else entry
    return {"type": "string", "value": as_text(value) or ""}


def as_integer(value: float) -> int:
    return round(max(min(value, MOST_INTEGER), 0))


def as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else dumps(value).decode()


def wire_id(row: Row) -> str:
    """The client's own id where that is a UUID, as every id on this wire has to be, else ours."""
    own = row["external_id"]
    return own if own and parse_uuid(own) else str(row["id"])


def checked_id(row: Row) -> str:
    """The same for pipelines and cases: Node takes only versions 1 to 5 for ids of these."""
    own = row["external_id"]
    return own if own and NODES_ID.fullmatch(own) else str(row["id"])


def share_of(value: float | None, passed: bool | None) -> float:
    """What a label or a person's answer counts, also where there is only a verdict."""
    return value if value is not None else 0.5 if passed is None else float(passed)


def as_pipeline(project: Row, say: Speech, golden: Mapping[UUID, str]) -> dict[str, Any]:
    pipeline = {
        "id": checked_id(project),
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
        "options": [
            [option["label"], share_of(option.get("value"), option.get("passes"))] for option in evaluator["options"]
        ],
        "aiModel": as_text(definition.get("model")),
        "pipelineId": pipeline_id,
        "processorId": as_text(definition.get("processor_id")),
        "heuristicFn": as_text(definition.get("heuristic")),
        "aiPromptFormat": as_text(definition.get("prompt")),
        "humanPrompt": as_text(definition.get("question")),
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
        "id": checked_id(case),
        "createdAt": say.time(case["created_at"]),
        "updatedAt": say.time(case["updated_at"]),
        "archivedAt": say.time(case["archived_at"]),
        "deletedAt": say.time(case["deleted_at"]),
        "datasetId": dataset_id,
        "inputs": as_object(case["inputs_json"]),
        "expectedOutputs": as_object(case["expected_json"]),
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
        "metadata": say.metadata(run["metadata_json"]),
        "name": run["name"] or None,
    }
    if say.version > 1:
        words["archivedAt"] = say.time(run["archived_at"])
    return words


@dataclass(frozen=True, slots=True)
class Around:
    """What the parts of one test result have in common on the wire."""

    run_id: str
    pipeline_id: str
    organization_id: str
    golden_id: str
    dataset_ids: Mapping[UUID, str]


def as_test_run(
    result: Row, say: Speech, around: Around, steps: list[Row], evaluations: list[Row], feedback: float | None
) -> dict[str, Any]:
    """Our result, expanded."""
    own_id = wire_id(result)
    created, updated = say.time(result["created_at"]), say.time(result["updated_at"])
    started, ended = _span(result)
    error, path = result["error"] or None, result["path_json"] and orjson.Fragment(result["path_json"])
    said_steps = [as_resolved_step(step, say, around, own_id, started) for step in steps]
    case = _case_of(result, say, around, own_id)
    return {
        "id": own_id,
        "createdAt": created,
        "updatedAt": updated,
        "caseId": case["id"],
        "resultId": around.run_id,
        "path": path,
        "error": error,
        "full": {
            "pipelineRunId": own_id,
            "pipelineId": around.pipeline_id,
            "organizationId": around.organization_id,
            "startTime": say.time(started),
            "endTime": say.time(ended),
            "cost": result["cost"],
            "elapsed": result["latency_ms"],
            "feedback": feedback,
            "lastInvocation": said_steps[-1]["startTime"] if said_steps else None,
            "inputs": said_steps[0]["inputs"] if said_steps else as_object(result["inputs_json"]),
            "outputs": said_steps[-1]["outputs"] if said_steps else as_object(result["output_json"]),
            "renderHTMLKey": result["render_html_key"] or None,
            "metadata": say.metadata(result["metadata_json"]),
            "path": path,
            "error": error,
        },
        "steps": said_steps,
        "case": case,
        "evaluations": [as_evaluation(row, say, own_id) for row in evaluations],
    }


def _case_of(result: Row, say: Speech, around: Around, own_id: str) -> dict[str, Any]:
    """The result's case, deleted or not. One that came without (other doors allow it) is shown as a case of its own."""
    if result["case_id"] is not None:
        case = {key: result[f"case__{key}"] for key in (*_NAMED, *_CASE)}
        case |= {key: result[f"case_{key}"] for key in ("inputs_json", "expected_json")}
        dataset_id = around.dataset_ids.get(result["case_id"], around.golden_id)
        return as_test_case(case, say, around.pipeline_id, dataset_id)
    return {
        "id": own_id,
        "createdAt": say.time(result["created_at"]),
        "updatedAt": say.time(result["created_at"]),
        "archivedAt": None,
        "deletedAt": None,
        "datasetId": around.golden_id,
        "inputs": as_object(result["inputs_json"]),
        "expectedOutputs": as_object(result["expected_json"]),
        "name": result["name"] or f"Result {result['position']}",
        "pipelineId": around.pipeline_id,
    }


def as_resolved_step(step: Row, say: Speech, around: Around, run_id: str, started: datetime) -> dict[str, Any]:
    begun = step["started_at"] or started
    return {
        "id": step["id"],
        "organizationId": around.organization_id,
        "providerName": step["provider"],
        "invocation": step["name"],
        "modelParams": as_object(step["parameters_json"]),
        "inputs": as_object(step["inputs_json"]),
        "outputs": as_object(step["outputs_json"]),
        "startTime": say.time(begun),
        "endTime": say.time(step["finished_at"] or later(begun, step["latency_ms"])),
        "pipelineRunId": run_id,
        "error": step["error"] or None,
    }


def as_evaluation(row: Row, say: Speech, run_id: str) -> dict[str, Any]:
    """A judgement in v1, v2 or v3."""
    local = row["evaluator__origin"] != Evaluator.Origin.OWN
    evaluator_id = row["evaluator_id"]
    if row["evaluator__external_id"]:
        evaluator_id = wire_id({"id": evaluator_id, "external_id": row["evaluator__external_id"]})
    scored = row["state"] == Evaluation.State.SCORED
    answered = row["label"] is not None or row["passed"] is not None
    value = share_of(row["value"], row["passed"]) if answered and not local else row["value"]
    words = {
        "id": row["id"],
        "createdAt": say.time(row["created_at"]),
        "updatedAt": say.time(row["updated_at"]),
        "isPending": row["state"] == Evaluation.State.PENDING,
        "debug": _debug(row),
        "evaluatorId": None if local else evaluator_id,
        "runId": run_id,
        "evalLabel": row["label"] if scored else None,
        "evalValue": say.value(value) if scored else None,
        "manualCreatedByEmail": row["author__email"],
    }
    if say.version == 1:
        return {**words, **billing(row["usage_json"])}
    return {
        **words,
        "isFiltered": False,
        "note": row["explanation"],
        "name": row["evaluator__name"] if local else None,
        "comparisonRunId": None,
    }


_UNBILLED = {
    "billingGpt4InputTokens": 0,
    "billingGpt4OutputTokens": 0,
    "billingGpt35InputTokens": 0,
    "billingGpt35OutputTokens": 0,
}


def billing(usage_json: str) -> dict[str, int]:
    """Tokens of the judge's models, by the two prefixes that Gentrace bills."""
    if usage_json == "{}":
        return _UNBILLED
    sums = dict(_UNBILLED)
    for model, counts in orjson.loads(usage_json).items():
        name = "Gpt4" if model.startswith("gpt-4") else "Gpt35" if model.startswith("gpt-3.5") else ""
        if name and isinstance(counts, dict):
            for direction in ("input", "output"):
                number = counts.get(direction)
                if isinstance(number, int | float):
                    sums[f"billing{name}{direction.title()}Tokens"] += as_integer(number)
    return sums


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
        one = {
            "stepRunId": step["id"],
            "stepId": step["id"],
            "providerName": step["provider"],
            "invocation": step["name"],
            "order": order,
            "modelParams": as_object(step["parameters_json"]),
            "inputs": as_object(step["inputs_json"]),
            "outputs": as_object(step["outputs_json"]),
            "elapsedTime": as_integer(step["latency_ms"] or 0),
            "startTime": say.time(begun),
            "endTime": say.time(step["finished_at"] or later(begun, step["latency_ms"])),
            "cost": step["cost"] or 0,
            "error": step["error"] or None,
        }
        words.append(one)
    return {"id": wire_id(result), "stepRuns": words}


def as_feedback(row: Feedback, run_id: str) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "pipelineRunId": run_id,
        "score": row.score,
        "details": row.details or None,
        "recordedTime": row.recorded_at.timestamp(),
    }


def as_folder(folder: Folder) -> dict[str, Any]:
    return {
        "id": str(folder.pk),
        "createdAt": folder.created_at.timestamp(),
        "updatedAt": folder.updated_at.timestamp(),
        "name": folder.name,
        "organizationId": str(folder.organization_id),
        "parentFolderId": None if folder.parent_id is None else str(folder.parent_id),
    }


def later(begun: datetime, milliseconds: float | None) -> datetime:
    try:
        return begun + timedelta(milliseconds=milliseconds) if milliseconds else begun
    except OverflowError:
        return begun


def _span(result: Row) -> tuple[datetime, datetime]:
    started = result["started_at"] or result["created_at"]
    return started, result["finished_at"] or later(started, result["latency_ms"])


def _debug(row: Row) -> Any:
    if row["state"] != Evaluation.State.ERROR:
        return as_object(row["debug_json"])
    kept = orjson.loads(row["debug_json"]) if row["debug_json"] else {}
    failure = {"message": row["error"] or "The evaluation failed.", "date": row["updated_at"]}
    return {**(kept if isinstance(kept, dict) else {"value": kept}), "error": failure}
