"""promptfoo results: its JSON in all the shapes that it has had, and its JSONL."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalhub.importers.description import (
    Check,
    Imported,
    RunDescription,
    VariantDescription,
    as_dict,
    as_list,
    digest_of,
    moment,
    number,
    text,
)
from evalhub.importers.jsonreading import LongList, read_json_lines
from evalhub.importers.problems import ImportProblem
from evalhub.importers.promptfoo_rows import OVERALL, RowReader, label_of, provider_of
from evalhub.importers.redacting import redacted
from evalhub.importers.repeating import NEXT
from results.records import ResultRecord

PLACES_OF_ROWS = (
    ("results", "results"),
    ("results",),
    ("data", "results", "results"),
    ("data", "results"),
)
MOST_COLUMNS = 10_000
NOT_SETTINGS = ("tests", "env", "outputPath", "sharing", "scenarios")


@dataclass(slots=True)
class PromptfooFile:
    """What all shapes have in common. ``rows`` are read twice; ``prompts``: promptfoo's columns, prompt x provider."""

    rows: Rows | Lines
    prompts: list[dict[str, Any]] = field(default_factory=list)
    stats: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    eval_id: str = ""
    timestamp: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)


def unfold(path: Path) -> PromptfooFile:
    """The file's content whichever shape it has: exports, shared ones, evaluation objects, and those before 2024."""
    rows = LongList(path, *PLACES_OF_ROWS, noun="Result")
    outer = as_dict(rows.around)
    if isinstance(outer.get("data"), dict) and "results" in outer["data"]:
        outer = outer["data"]
    results = as_dict(outer.get("results"))
    head = as_dict(as_dict(results.get("table") or outer.get("table")).get("head"))
    prompts = as_list(results.get("prompts") or outer.get("prompts") or head.get("prompts"))
    metadata = as_dict(outer.get("metadata"))
    return PromptfooFile(
        rows=Rows(rows),
        prompts=[prompt if isinstance(prompt, dict) else {"label": text(prompt)} for prompt in prompts],
        stats=as_dict(results.get("stats") or outer.get("stats")),
        config=as_dict(outer.get("config")),
        eval_id=text(outer.get("evalId") or outer.get("id")),
        timestamp=metadata.get("evaluationCreatedAt") or results.get("timestamp") or outer.get("createdAt"),
        metadata=metadata,
    )


class Rows:
    """The rows of a JSON file, each time from the file."""

    def __init__(self, rows: LongList) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self.row, range(len(self.rows)))

    def row(self, index: int) -> dict[str, Any]:
        row = self.rows[index]
        if not isinstance(row, dict):
            raise ImportProblem("is not an object", place=self.rows.place(index))
        return row

    def in_order(self, places: Sequence[float]) -> Iterator[dict[str, Any]]:
        return map(self.row, sorted(range(len(self.rows)), key=places.__getitem__))


@dataclass(frozen=True, slots=True)
class Lines:
    """The rows of a JSONL file, each time from the file and as they come."""

    path: Path

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (row for _, row in read_json_lines(self.path))

    def in_order(self, places: Sequence[float]) -> Iterator[dict[str, Any]]:
        return iter(self)


class PromptfooEval:
    """One evaluation. Its rows are read in the order of the tests, whatever order they were written in."""

    def __init__(self, file: PromptfooFile, *, filename: str, sha256: str) -> None:
        self.file = file
        self.warnings: list[str] = []
        self.columns = Columns(file)
        self.description = describe(file, self.columns, filename=filename, sha256=sha256)
        if not self.columns.rows:
            self.warnings.append(
                "The file holds no results, only totals." if file.prompts else "The file holds no results."
            )

    def records(self) -> Iterator[ResultRecord]:
        reader = RowReader(single=len(self.columns) < 2)
        for row in self.file.rows.in_order(self.columns.places):
            record = reader.record(row, self.columns.of(row))
            record.repetition = NEXT  # `repeat: 3` makes three tests of one
            yield record

    def checks(self, imported: Imported) -> list[Check]:
        if not self.columns.rows:
            return []
        stats = self.file.stats
        found = {"successes": imported.passed, "failures": imported.failed, "errors": imported.errors}
        checks = [
            Check(name, declared, count, headline=False)
            for name, count in found.items()
            if (declared := number(stats.get(name))) is not None
        ]
        tokens = number(as_dict(stats.get("tokenUsage")).get("total"))
        if tokens is not None:
            checks.append(Check("tokens", tokens, imported.tokens))
        costs = [number(as_dict(prompt.get("metrics")).get("cost")) for prompt in self.file.prompts]
        if any(cost is not None for cost in costs):
            checks.append(Check("cost", sum(cost or 0 for cost in costs), imported.cost))
        return checks + self._checks_of_columns(imported)

    def _checks_of_columns(self, imported: Imported) -> list[Check]:
        checks = []
        scores: dict[int | None, float] = defaultdict(float)
        for one in imported.judged(OVERALL):
            scores[one.variant] += one.value or 0
        for column, prompt in enumerate(self.file.prompts):
            metrics = as_dict(prompt.get("metrics"))
            position = None if self.description.variants == [] else column
            counts = imported.by_variant.get(position, {})
            label = self.columns.labels[column] if len(self.columns) > 1 else ""
            for theirs, ours in (("testPassCount", "passed"), ("testFailCount", "failed"), ("testErrorCount", "error")):
                declared = number(metrics.get(theirs))
                if declared is not None:
                    checks.append(Check(f"{ours} {label}".strip(), declared, counts.get(ours, 0)))
            total = number(metrics.get("score"))
            if total is not None:
                checks.append(Check(f"sum of scores {label}".strip(), total, scores[position]))
        return checks


class Columns:
    """promptfoo's columns, and which one a row belongs to; old rows do not say, but name prompt and provider."""

    def __init__(self, file: PromptfooFile) -> None:
        self.places = array("d")  # of the rows, by test and column: 8 bytes a row
        self.providers: dict[str, None] = {}
        listed = [(text(p.get("label") or p.get("raw")), text(p.get("provider"))) for p in file.prompts]
        found: dict[int, tuple[str, str]] = {}
        for row in file.rows:
            self.providers.setdefault(provider_of(row))
            said, key = number(row.get("promptIdx")), keys_of(row)[0]
            test = number(row.get("testIdx"))
            self.places.append((len(self.places) if test is None else test) * MOST_COLUMNS + (said or 0))
            if said is not None:
                found.setdefault(int(said), key)
            elif key not in found.values():
                found[len(found)] = key
        # from the file's own list, else in the order in which the rows bring them
        keys = listed or [
            found.get(position, ("", "")) for position in range(min(max(found, default=-1) + 1, MOST_COLUMNS))
        ]
        self.labels = [" · ".join(filter(None, [provider, label])) or "–" for label, provider in keys]
        self.known = {key: position for position, key in reversed(list(enumerate(keys)))}

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def rows(self) -> int:
        return len(self.places)

    def of(self, row: dict[str, Any]) -> int:
        said = number(row.get("promptIdx"))
        if said is not None and 0 <= int(said) < len(self.labels):
            return int(said)
        return next((self.known[key] for key in keys_of(row) if key in self.known), 0)


def keys_of(row: dict[str, Any]) -> list[tuple[str, str]]:
    """(prompt, provider) as the list of columns may spell it."""
    provider = as_dict(row.get("provider")) if isinstance(row.get("provider"), dict) else {"id": row.get("provider")}
    names = filter(None, [text(provider.get("label")), text(provider.get("id"))])
    return [(label_of(row), name) for name in [*names, ""]]


def describe(file: PromptfooFile, columns: Columns, *, filename: str, sha256: str) -> RunDescription:
    config = file.config
    settings = redacted({key: value for key, value in config.items() if key not in NOT_SETTINGS})
    name = text(config.get("description")) or Path(filename).stem or "promptfoo"
    created = moment(file.timestamp)
    providers = list(dict.fromkeys(text(prompt.get("provider")) for prompt in file.prompts if prompt.get("provider")))
    providers = providers or [provider for provider in columns.providers if provider]
    duration = number(file.stats.get("durationMs"))
    finished = moment(created.timestamp() + duration / 1000) if created and duration is not None else None
    tags = as_dict(config.get("tags"))
    return RunDescription(
        tool="promptfoo",
        run_id=file.eval_id or sha256,
        name=name,
        settings_id=digest_of(name, settings.get("prompts"), settings.get("providers")),
        configuration=name,
        parameters=settings,
        test_set=name,
        model=providers[0] if len(providers) == 1 else "",
        created_at=created,
        started_at=created,
        finished_at=finished,
        tags=[f"{key}: {text(value)}" for key, value in tags.items()],
        attributes={key: value for key, value in file.metadata.items() if isinstance(value, str)},
        variants=[
            VariantDescription(
                label=columns.labels[position],
                provider=text(prompt.get("provider")),
                prompt=text(prompt.get("raw")),
                parameters=redacted(as_dict(prompt.get("config"))),
            )
            for position, prompt in enumerate(file.prompts or [{} for _ in columns.labels])
        ]
        if len(columns) > 1
        else [],
        held=columns.rows,
        repeats=True,
        declared={
            "stats": file.stats,
            "prompts": [{key: prompt.get(key) for key in ("label", "provider", "metrics")} for prompt in file.prompts],
        },
        words=("results", "evaluators"),
    )


@contextmanager
def open_promptfoo(path: Path, filename: str, sha256: str) -> Iterator[PromptfooEval]:
    yield PromptfooEval(unfold(path), filename=filename, sha256=sha256)


@contextmanager
def open_promptfoo_lines(path: Path, filename: str, sha256: str) -> Iterator[PromptfooEval]:
    """Rows without a header: everything about the run is told by them."""
    yield PromptfooEval(PromptfooFile(rows=Lines(path)), filename=filename, sha256=sha256)
