"""Builds small result files of other tools, shaped as those tools write them."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from evalhub.importers.importing import import_file
from evalhub.importers.reporting import RunReport
from runs.models import Project
from tests.factories import make_project

if sys.version_info >= (3, 14):
    import zipfile
else:
    from backports.zstd import zipfile

ZSTANDARD = 93


# --- Inspect ----------------------------------------------------------------------------------------------------------


def make_sample(sample_id: str | int = 1, epoch: int = 1, **fields: Any) -> dict[str, Any]:
    """A question, its answer and one right score."""
    question = {"id": f"q{sample_id}", "role": "user", "content": f"What is {sample_id}?", "source": "input"}
    answer = {"id": f"a{sample_id}-{epoch}", "role": "assistant", "content": "That.", "model": "mock/model"}
    return {
        "id": sample_id,
        "epoch": epoch,
        "input": f"What is {sample_id}?",
        "target": "That.",
        "messages": [question, answer],
        "output": {"model": "mock/model", "choices": [{"message": answer}], "completion": "That."},
        "scores": {"match": {"value": "C", "answer": "That.", "explanation": "as expected", "history": []}},
        "metadata": {},
        "events": [],
        "model_usage": {
            "mock/model": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "total_cost": 0.001}
        },
        "started_at": "2026-05-01T10:00:00+00:00",
        "completed_at": "2026-05-01T10:00:02+00:00",
        "total_time": 2.0,
        "working_time": 1.5,
        "uuid": f"u{sample_id}-{epoch}",
        **fields,
    }


def make_header(
    scores: list[dict[str, Any]] | None = None,
    *,
    total: int | None = None,
    completed: int | None = None,
    usage: dict[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """The log around the samples. ``scores`` are entries of results.scores; without them nothing is declared."""
    spec = {
        "eval_id": "eval-1",
        "run_id": "run-1",
        "task_id": "task-1",
        "created": "2026-05-01T10:00:00+00:00",
        "task": "arithmetic",
        "task_version": 0,
        "task_args": {"n": 2},
        "dataset": {"name": "sums", "samples": 2},
        "model": "mock/model",
        "config": {"epochs": 1},
        "scorers": [{"name": "match", "options": {}}],
    }
    results: dict[str, Any] = {"scores": scores or []}
    if total is not None:
        results |= {"total_samples": total, "completed_samples": total if completed is None else completed}
    return {
        "version": 2,
        "status": "success",
        "eval": spec | fields.pop("spec", {}),
        "plan": {"name": "plan", "steps": [{"solver": "generate", "params": {}}]},
        "results": results,
        "stats": {
            "started_at": "2026-05-01T10:00:00+00:00",
            "completed_at": "2026-05-01T10:05:00+00:00",
            "model_usage": usage or {},
        },
        **fields,
    }


def make_score(
    name: str = "match", *, scorer: str = "", reducer: str | None = None, **metrics: float
) -> dict[str, Any]:
    """An entry of results.scores; ``scored`` and ``unscored`` are counts, the rest are metrics."""
    counts = {f"{key}_samples": int(metrics.pop(key)) for key in ("scored", "unscored") if key in metrics}
    return {
        "name": name,
        "scorer": scorer or name,
        "reducer": reducer,
        **counts,
        "metrics": {key: {"name": key, "value": value} for key, value in metrics.items()},
    }


def write_eval(
    folder: Path,
    samples: list[dict[str, Any]],
    header: dict[str, Any] | None = None,
    *,
    method: int = ZSTANDARD,
    name: str = "log.eval",
    killed: bool = False,
) -> Path:
    """A `.eval` file; ``killed``: its writer did not live to write the header."""
    header = header or make_header()
    path = folder / name
    with zipfile.ZipFile(path, "w", method) as archive:
        start = {"version": 2, "eval": header["eval"], "plan": header["plan"]}
        archive.writestr("_journal/start.json", json.dumps(start))
        for sample in samples:
            archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
        if not killed:
            archive.writestr("header.json", json.dumps(header))
    return path


def write_log(folder: Path, samples: list[dict[str, Any]] | None, header: dict[str, Any] | None = None) -> Path:
    """A `.json` log."""
    return write_json(folder, {**(header or make_header()), "samples": samples}, "log.json")


# --- promptfoo --------------------------------------------------------------------------------------------------------


def make_component(
    kind: str = "contains", score: float | None = 1, *, ok: bool | None = None, **assertion: Any
) -> dict[str, Any]:
    """One assertion's result."""
    passed = bool(score) if ok is None else ok
    return {
        "pass": passed,
        "score": score,
        "reason": "Assertion passed" if passed else "Not as expected",
        "assertion": {"type": kind, **assertion},
    }


def make_row(
    test: int = 0,
    column: int = 0,
    *,
    components: list[dict[str, Any]] | None = None,
    variables: dict[str, Any] | None = None,
    success: bool = True,
    score: float | None = 1,
    **fields: Any,
) -> dict[str, Any]:
    variables = variables or {"name": f"Ann {test}"}
    return {
        "id": f"row-{test}-{column}",
        "testIdx": test,
        "promptIdx": column,
        "vars": variables,
        "testCase": {"vars": variables, "assert": [{"type": "contains", "value": "Hello"}]},
        "prompt": {"raw": f"Greet {variables.get('name')}", "label": "Greet {{name}}"},
        "provider": {"id": "echo", "label": ""},
        "response": {"output": "Hello", "tokenUsage": {"prompt": 3, "completion": 2, "total": 5}},
        "success": success,
        "failureReason": 0 if success else 1,
        "score": score,
        "namedScores": {},
        "latencyMs": 12,
        "cost": 0.001,
        "gradingResult": {
            "pass": success,
            "score": score,
            "reason": "All assertions passed" if success else "Not as expected",
            "componentResults": [make_component()] if components is None else components,
        },
        **fields,
    }


def make_export(rows: list[dict[str, Any]], *, config: dict[str, Any] | None = None, **results: Any) -> dict[str, Any]:
    """promptfoo's current JSON."""
    prompt = {"raw": "Greet {{name}}", "label": "Greet {{name}}", "provider": "echo"}
    return {
        "evalId": "eval-abc-2026-05-01T10:00:00",
        "results": {
            "version": 3,
            "timestamp": "2026-05-01T10:00:00.000Z",
            "prompts": [prompt],
            "results": rows,
            **results,
        },
        "config": {"description": "Greetings", "providers": ["echo"], "prompts": ["Greet {{name}}"], **(config or {})},
        "metadata": {"promptfooVersion": "0.123.1", "evaluationCreatedAt": "2026-05-01T10:00:00.000Z"},
    }


# --- anything ---------------------------------------------------------------------------------------------------------


def write_json(folder: Path, data: Any, name: str = "results.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def write_text(folder: Path, text: str, name: str = "table.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def bring_in(path: Path, project: Project | None = None, **options: Any) -> RunReport:
    """Import a file with one run."""
    report = import_file(path, project or make_project(), filename=path.name, **{"by": None, **options})
    (one,) = report.runs
    one.run.refresh_from_db()
    return one


NAN = math.nan
