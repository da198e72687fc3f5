"""Inspect AI logs: `.eval` (a zip with one member a sample) and `.json` (one object with all samples)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalhub.importers.description import (
    Check,
    Imported,
    RunDescription,
    as_dict,
    as_list,
    digest_of,
    moment,
    number,
    text,
)
from evalhub.importers.inspect_metrics import checks_of_scores
from evalhub.importers.inspect_samples import SampleReader
from evalhub.importers.jsonreading import LongList, parse_json
from evalhub.importers.problems import ImportProblem
from evalhub.importers.redacting import redacted
from evalhub.importers.zipreading import Archive, open_archive
from results.records import ResultRecord
from runs.models import TestRun

STATUS = {
    "started": TestRun.Status.PARTIAL,  # nobody is running it here
    "cancelled": TestRun.Status.CANCELLED,
    "error": TestRun.Status.FAILED,
}
SAMPLE_NAME = re.compile(r"samples/(.*)_epoch_(\d+)\.json", re.DOTALL)


class InspectLog:
    """One evaluation: its header, and its samples one after the other."""

    def __init__(self, header: dict[str, Any], samples: Iterator[tuple[str, Any]], total: int) -> None:
        spec = header.get("eval")
        if not isinstance(spec, dict) or not spec.get("task"):
            raise ImportProblem("The log does not say which task it is about (eval.task is missing).")
        self.header = header
        self.samples = samples
        self.total = total
        self.warnings: list[str] = []
        self.description = describe(header)
        self.description.held = total
        self.reader = SampleReader(header)
        if self.description.status == TestRun.Status.PARTIAL:
            self.warnings.append("The run had not ended when this log was written: what it held is imported.")
        if header.get("invalidated"):
            self.warnings.append("The log is marked as invalidated.")
        if not total:
            self.warnings.append("The log holds no samples, only totals.")

    def records(self) -> Iterator[ResultRecord]:
        for place, sample in self.samples:
            if not isinstance(sample, dict) or "id" not in sample:
                raise ImportProblem("is not a sample (it has no id)", place=place)
            yield self.reader.record(sample)
        self.warnings += self.reader.warnings()

    def checks(self, imported: Imported) -> list[Check]:
        results = as_dict(self.header.get("results"))
        checks = []
        total, completed = number(results.get("total_samples")), number(results.get("completed_samples"))
        if total is not None and self.total:
            checks.append(Check("samples", total, imported.results))
        if completed is not None and self.total:
            checks.append(Check("completed samples", completed, imported.results - imported.errors))
        usage = as_dict(as_dict(self.header.get("stats")).get("model_usage"))
        if usage and self.total:
            used = [as_dict(of_model) for of_model in usage.values()]
            checks.append(Check("tokens", sum(number(u.get("total_tokens")) or 0 for u in used), imported.tokens))
            if any("total_cost" in u for u in used):
                checks.append(Check("cost", sum(number(u.get("total_cost")) or 0 for u in used), imported.cost))
        return checks + (checks_of_scores(self.header, imported) if self.total else [])


@contextmanager
def open_inspect_zip(path: Path, filename: str = "", sha256: str = "") -> Iterator[InspectLog]:
    with open_archive(path) as archive:
        names = sorted_names(archive)
        header = read_header(archive)
        order = as_list(as_dict(as_dict(header.get("eval")).get("dataset")).get("sample_ids"))
        names = in_order(names, order)
        samples = ((name, parse_json(archive.read(name), name)) for name in names)
        yield InspectLog(header, samples, len(names))


@contextmanager
def open_inspect_json(path: Path, filename: str = "", sha256: str = "") -> Iterator[InspectLog]:
    samples = LongList(path, ("samples",), noun="Sample")
    numbered = ((samples.place(n), samples[n]) for n in range(len(samples)))
    yield InspectLog(samples.around, numbered, len(samples))


def read_header(archive: Archive) -> dict[str, Any]:
    """header.json, or what the journal says where the writer was killed before it wrote one."""
    name = "header.json" if "header.json" in archive else "_journal/start.json"
    header = parse_json(archive.read(name), name)
    if not isinstance(header, dict):
        raise ImportProblem("is not a JSON object", place=name)
    if name != "header.json":
        header["status"] = "started"
    return header


def sorted_names(archive: Archive) -> list[str]:
    return [name for name in archive.names("samples/") if name.endswith(".json")]


def in_order(names: list[str], sample_ids: list[Any]) -> list[str]:
    """By the order of the data set where the names follow the usual pattern; the ids themselves come from the JSON."""
    place = {str(sample_id): index for index, sample_id in enumerate(sample_ids)}

    def key(name: str) -> tuple[int, int]:
        match = SAMPLE_NAME.fullmatch(name)
        return (place.get(match[1], len(place)), int(match[2])) if match else (len(place), 0)

    return sorted(names, key=key)


def describe(header: dict[str, Any]) -> RunDescription:
    spec = header["eval"]
    stats, results = as_dict(header.get("stats")), as_dict(header.get("results"))
    plan, dataset, revision = as_dict(header.get("plan")), as_dict(spec.get("dataset")), as_dict(spec.get("revision"))
    status = text(header.get("status")) or "started"
    task, model = text(spec["task"]), text(spec.get("model"))
    run_id = text(spec.get("eval_id")) or "/".join([text(spec.get("run_id")), text(spec.get("task_id"))])
    if not run_id.strip("/"):
        run_id = digest_of(task, model, spec.get("created"))
    parameters = {
        "task": task,
        "task_version": spec.get("task_version"),
        "task_args": spec.get("task_args") or {},
        "model": model,
        "model_args": spec.get("model_args") or {},
        "generate": spec.get("model_generate_config") or plan.get("config") or {},
        "solvers": plan.get("steps") or [],
        "config": spec.get("config") or {},
        "dataset": {key: value for key, value in dataset.items() if key != "sample_ids"},
    }
    return RunDescription(
        tool="Inspect AI",
        run_id=run_id,
        name=text(spec.get("task_display_name")) or task,
        settings_id=digest_of(task, spec.get("task_version"), model, spec.get("task_args")),
        configuration=f"{task} · {model}" if model else task,
        parameters=redacted(parameters),
        test_set=text(dataset.get("name")) or task,
        model=model,
        status=STATUS.get(status),
        finished=status != "started",
        error=text(as_dict(header.get("error")).get("message")),
        created_at=moment(spec.get("created")),
        started_at=moment(stats.get("started_at")) or moment(spec.get("created")),
        finished_at=moment(stats.get("completed_at")),
        commit=text(revision.get("commit")),
        tags=[text(tag) for tag in as_list(header.get("tags") or spec.get("tags"))],
        attributes=redacted(
            {
                key: spec[key]
                for key in ("eval_id", "run_id", "task_id", "packages", "revision", "metadata")
                if spec.get(key)
            }
        ),
        planned=int(number(results.get("total_samples")) or 0) or None,
        declared={
            "status": status,
            "total_samples": results.get("total_samples"),
            "completed_samples": results.get("completed_samples"),
            "scores": [declared_score(as_dict(score)) for score in as_list(results.get("scores"))],
            "usage": stats.get("model_usage") or {},
        },
        words=("samples", "scorers"),
    )


def declared_score(score: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": score.get("name"),
        "scorer": score.get("scorer"),
        "reducer": score.get("reducer"),
        "scored": score.get("scored_samples"),
        "unscored": score.get("unscored_samples"),
        "metrics": {name: as_dict(metric).get("value") for name, metric in as_dict(score.get("metrics")).items()},
    }
