"""What came of an import: the file's totals beside EvalHub's, in figures and in one sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db.models import Count, QuerySet

from evalhub.importers.description import Check, Imported, Judged, counted
from results.models import Evaluation, TestResult
from runs.models import TestRun

WARNINGS_SHOWN = 50


@dataclass(slots=True)
class RunReport:
    """One run of a file. ``what``: new, updated or unchanged."""

    run: TestRun
    what: str
    message: str
    checks: list[Check] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "run": str(self.run.pk),
            "number": self.run.number,
            "what": self.what,
            "message": self.message,
            "checks": [check.as_json() for check in self.checks],
            "warnings": self.warnings[:WARNINGS_SHOWN],
        }


@dataclass(slots=True)
class Report:
    runs: list[RunReport] = field(default_factory=list)

    @property
    def message(self) -> str:
        if len(self.runs) == 1:
            return self.runs[0].message
        return "\n".join(f"Run #{one.run.number} {one.run.name}: {one.message}" for one in self.runs)

    @property
    def warnings(self) -> list[str]:
        return [warning for one in self.runs for warning in one.warnings]

    def as_json(self) -> dict[str, Any]:
        return {"runs": [one.as_json() for one in self.runs]}


def sentence(imported: Imported, checks: list[Check], words: tuple[str, str]) -> str:
    """Like "412 samples, 3 scorers, accuracy 0.731 as in the log"."""
    things, judges = words
    held = f"{_count(imported.results, things)}, {_count(len(imported.evaluators), judges)}"
    off = sum(not check.agrees for check in checks)
    if off:
        verb = "differs" if off == 1 else "differ"
        return f"{held}; {off:,} of the file's {_count(len(checks), 'totals')} {verb} from what it holds"
    headline = next((check for check in checks if check.headline), None)
    if headline:
        return f"{held}, {headline.name} {headline.imported:.3f} as in the log"
    return f"{held}, all {len(checks)} totals as in the file" if checks else held


def warnings_of(checks: list[Check]) -> list[str]:
    return [
        f"{check.name}: the file says {check.declared:g}, and holds {check.imported:g}."
        for check in checks
        if not check.agrees
    ]


def count_imported(run: TestRun) -> Imported:
    """Counted from the rows, not from what the reader believes to have read."""
    run.refresh_from_db()
    by_variant: dict[int | None, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    outcomes = TestResult.objects.filter(run=run, deleted_at__isnull=True).values_list(
        "variant__position", "machine_outcome"
    )
    for position, outcome, count in outcomes.annotate(count=Count("id")):
        by_variant[position][outcome] += count
    total = {name: sum(counts[name] for counts in by_variant.values()) for name in ("passed", "failed", "error")}
    return Imported(
        results=run.result_count,
        cases=run.case_count,
        passed=int(total["passed"]),
        failed=int(total["failed"]),
        errors=int(total["error"]),
        tokens=run.total_tokens,
        cost=run.total_cost,
        evaluators=list(counting(run).values_list("evaluator__name", flat=True).distinct()),
        judged=partial(judged_by, run),
        by_variant=by_variant,
    )


def judged_by(run: TestRun, evaluator: str) -> Iterator[Judged]:
    """What counts of each result: people's newest word, else the machine's. A case's results follow each other."""
    rows = (
        counting(run)
        .filter(evaluator__name=evaluator)
        .order_by(
            "result__case_id",
            "result_id",
            "source",
            "-created_at",  # human before machine
        )
    )
    columns = ("result_id", "result__case_id", "result__repetition", "result__variant__position", "value")
    first_of_each = rows.distinct("result__case_id", "result_id").values_list(*columns)
    for result_id, case_id, repetition, variant, value in first_of_each.iterator(500):
        yield Judged(case_id or result_id, repetition, variant, value)


def counting(run: TestRun) -> QuerySet[Evaluation]:
    return Evaluation.objects.filter(
        run=run, evaluator__isnull=False, turn__isnull=True, is_current=True, result__deleted_at__isnull=True
    )


def _count(count: int, noun: str) -> str:
    return counted(count, noun.removesuffix("s"), noun)
