"""A run in numbers: by tag, by variant, by evaluator, and how scores, latencies and costs are spread."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Aggregate, Count, F, FloatField, Func, IntegerField, Max, Min, Q, TextField

from evalhub.database.prepared import Prepared
from results.models import Outcome, Rollup, TestResult
from runs.models import Evaluator, Shard, TestRun
from runs.rates import clustered_wilson, wilson

BINS: Final = 20
MOST_TAGS: Final = 100
MOST_CHARTS: Final = 9


class Clusters(NamedTuple):
    """Of verdicts that share cases: what ``clustered_wilson`` needs beside their numbers."""

    clusters: int
    judged_squares: int
    judged_passed: int
    passed_squares: int


def interval_of(passed: int, judged: int, clusters: Clusters | None) -> tuple[float, float] | None:
    """Wilson's interval; clustered by case where verdicts share cases. ``runs.rates`` names the sources of both."""
    return clustered_wilson(passed, judged, **clusters._asdict()) if clusters else wilson(passed, judged)


@dataclass(slots=True)
class Line:
    """One row of a breakdown: what passed and failed of the results that it is about, after people's corrections."""

    label: str
    passed: int
    failed: int
    errors: int = 0
    unjudged: int = 0
    key: Any = None
    note: str = ""
    corrected: int = 0
    query: str = ""
    is_bad: bool = False
    clusters: Clusters | None = None

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.errors + self.unjudged

    @property
    def judged(self) -> int:
        return self.passed + self.failed

    @property
    def rate(self) -> float | None:
        return self.passed / self.judged if self.judged else None

    @property
    def interval(self) -> tuple[float, float] | tuple[None, None]:
        return interval_of(self.passed, self.judged, self.clusters) or (None, None)

    @property
    def low(self) -> float | None:
        return self.interval[0]

    @property
    def high(self) -> float | None:
        return self.interval[1]


@dataclass(slots=True)
class EvaluatorLine(Line):
    """What one evaluator said over a run."""

    evaluator: dict[str, Any] = field(default_factory=dict)
    scored: int = 0
    unscored: int = 0
    pending: int = 0
    value_count: int = 0
    value_sum: float = 0
    value_min: float | None = None
    value_max: float | None = None

    @property
    def mean(self) -> float | None:
        return self.value_sum / self.value_count if self.value_count else None


@dataclass(slots=True)
class Histogram:
    """Counts per equal bin between low and high; ``beyond`` lie above."""

    bins: list[int]
    low: float
    high: float
    label: str = ""
    count: int = 0
    beyond: int = 0
    line: EvaluatorLine | None = None
    threshold: float | None = None
    fails_below: bool = True
    middle: float | None = None

    @property
    def words(self) -> str:
        """What a reader who does not see the picture is told."""
        largest = max(range(len(self.bins)), key=self.bins.__getitem__)
        step = (self.high - self.low) / len(self.bins)
        start, end = self.low + step * largest, self.low + step * (largest + 1)
        name = self.label or "Values"
        return f"{name}: {self.count} values, most of them between {start:.4g} and {end:.4g}"


def worst_first(lines: Iterable[Line]) -> list[Any]:
    """The lowest rate first, nothing judged last; among equals the one with more failures."""
    return sorted(
        lines, key=lambda line: (2.0 if line.rate is None else line.rate, -line.failed, line.label.casefold())
    )


def by_tag(run: TestRun) -> list[Line]:
    """One line per tag of the run's results, worst first; the most used ones where there are many."""
    rows = (
        results_of(run)
        .annotate(tag=Func("tags", function="unnest", output_field=TextField()))
        .order_by()
        .values("tag")
        .annotate(**COUNTS, n=Count("pk"))
        .order_by("-n")[:MOST_TAGS]
    )
    shared = clusters_of_results(run, "tag", "CROSS JOIN unnest(r.tags) AS tag")
    return worst_first(Line(row["tag"], **counts(row), key=row["tag"], clusters=shared.get(row["tag"])) for row in rows)


def by_variant(run: TestRun) -> list[Line]:
    """One line per variant, in their own order."""
    rows = (
        results_of(run)
        .filter(variant__isnull=False)
        .order_by()
        .values("variant_id", "variant__position", "variant__label", "variant__provider")
        .annotate(**COUNTS)
        .order_by("variant__position")
    )
    shared = clusters_of_results(run, "r.variant_id")
    return [
        Line(
            row["variant__label"],
            **counts(row),
            key=row["variant__position"],
            note=row["variant__provider"],
            clusters=shared.get(row["variant_id"]),
        )
        for row in rows
    ]


def share_cases(run: TestRun) -> bool:
    """Whether several of the run's results are of one case, so that they are not independent of each other."""
    return run.case_count < run.result_count


def clusters_of_results(run: TestRun, key: str, beside: str = "") -> dict[Any, Clusters]:
    """Of the results of each key, an SQL expression of ours; nothing where no two of them share a case."""
    if not share_cases(run):
        return {}
    counted = "r.archived_at IS NULL AND r.outcome IN ('passed', 'failed')"
    return _clusters(run, key, f"results_testresult r {beside}", counted, "r.outcome = 'passed'")


def clusters_of_machine(run: TestRun) -> Clusters | None:
    """Of what machines alone say of the run's results."""
    if not share_cases(run):
        return None
    counted, passed = "r.machine_outcome IN ('passed', 'failed')", "r.machine_outcome = 'passed'"
    return _clusters(run, "TRUE", "results_testresult r", counted, passed).get(True)


def clusters_of_judgements(run: TestRun, key: str, who: Iterable[str]) -> dict[Any, Clusters]:
    """Of the judgements that rollups count. Those of people share a case, too, where two of them judged one result."""
    if not share_cases(run) and Evaluator.Who.HUMAN not in who:
        return {}
    rows = """results_testresult r JOIN results_evaluation e ON e.result_id = r.id AND e.run_id = r.run_id
        JOIN runs_evaluator v ON v.id = e.evaluator_id"""
    counted = (
        "e.is_current AND e.turn IS NULL AND e.effective IS NOT NULL AND (e.source = 'machine' OR v.who = 'human')"
    )
    return _clusters(run, key, rows, counted, "e.effective")


def _clusters(run: TestRun, key: str, rows: str, counted: str, passed: str) -> dict[Any, Clusters]:
    statement = f"""
        SELECT key, count(*), sum(judged * judged)::bigint, sum(judged * passed)::bigint, sum(passed * passed)::bigint
        FROM (
            SELECT {key} AS key, count(*) AS judged, count(*) FILTER (WHERE {passed}) AS passed
            FROM {rows} WHERE r.run_id = %s AND r.deleted_at IS NULL AND {counted}
            GROUP BY 1, COALESCE(r.case_id, r.id)
        ) AS cells GROUP BY key
    """  # noqa: S608 - expressions of our own
    with connection.cursor() as cursor:
        cursor.execute(statement, [run.pk])
        return {tuple(key) if isinstance(key, list) else key: Clusters(*sums) for key, *sums in cursor.fetchall()}


def by_evaluator(run: TestRun) -> list[EvaluatorLine]:
    """One line per evaluator from the run's rollups, whatever the variant; in the order of their names."""
    rows = (
        Rollup.objects.filter(run=run)
        .order_by("evaluator__name", "evaluator_id")
        .values(
            "evaluator_id",
            *(f"evaluator__{name}" for name in EVALUATOR_FIELDS),
            "effective_passed",
            "effective_failed",
            "errors",
            "unscored",
            "pending",
            "scored",
            "corrected",
            "value_count",
            "value_sum",
            "value_min",
            "value_max",
        )
    )
    lines: dict[UUID, EvaluatorLine] = {}
    shared = clusters_of_judgements(run, "e.evaluator_id", {row["evaluator__who"] for row in rows})
    then = evaluators_then(run)
    for row in rows:
        line = lines.get(row["evaluator_id"])
        if line is None:
            evaluator = {name: row[f"evaluator__{name}"] for name in EVALUATOR_FIELDS} | {"id": row["evaluator_id"]}
            evaluator |= then.get(str(row["evaluator_id"]), {})
            line = lines[row["evaluator_id"]] = EvaluatorLine(
                evaluator["name"],
                0,
                0,
                key=row["evaluator_id"],
                evaluator=evaluator,
                clusters=shared.get(row["evaluator_id"]),
            )
        line.passed += row["effective_passed"]
        line.failed += row["effective_failed"]
        line.errors += row["errors"]
        line.unscored += row["unscored"]
        line.pending += row["pending"]
        line.scored += row["scored"]
        line.corrected += row["corrected"]
        line.value_count += row["value_count"]
        line.value_sum += row["value_sum"]
        line.value_min = least(line.value_min, row["value_min"])
        line.value_max = most(line.value_max, row["value_max"])
    return list(lines.values())


EVALUATOR_FIELDS: Final = (
    "name",
    "who",
    "version",
    "value_type",
    "direction",
    "threshold",
    "operator",
    "min_score",
    "max_score",
    "options",
)
MAY_SAY: Final[dict[str, Callable[[Any], bool]]] = {  # of an evaluator in a snapshot, which senders may write
    "version": lambda value: type(value) is int,
    "direction": lambda value: value in Evaluator.Direction.values,
    "threshold": lambda value: value is None or type(value) in (int, float),
    "operator": lambda value: value in Evaluator.Operator.values,
    "options": lambda value: isinstance(value, list),
}


_SCORINGS = Prepared(
    lambda run: (
        Shard.objects.filter(run=run, kind=Shard.Kind.JUDGE, done_at__isnull=False)
        .annotate(scoring=F("work__scoring"))
        .order_by("scoring", "number")
        .distinct("scoring")
        .values("scoring", "number", "work__evaluators")
    ),
    UUID,
)


def evaluators_then(run: TestRun) -> dict[str, dict[str, Any]]:
    """How the evaluators judged in this run, by id: as its snapshot says, or the last scoring that named them since."""
    later = [one["work__evaluators"] for one in sorted(_SCORINGS(run.pk), key=lambda scoring: scoring["number"])]
    then = {}
    for shots in (run.snapshot.get("evaluators") if isinstance(run.snapshot, dict) else None, *later):
        for shot in shots if isinstance(shots, list) else ():
            if isinstance(shot, dict):
                said = {name: shot[name] for name, fits in MAY_SAY.items() if name in shot and fits(shot[name])}
                then[str(shot.get("id"))] = said
    return then


COUNTS: Final[dict[str, Any]] = {
    "passed": Count("pk", filter=Q(outcome=Outcome.PASSED)),
    "failed": Count("pk", filter=Q(outcome=Outcome.FAILED)),
    "errors": Count("pk", filter=Q(outcome=Outcome.ERROR)),
    "unjudged": Count("pk", filter=Q(outcome=Outcome.UNJUDGED)),
}


def counts(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in COUNTS}


def results_of(run: TestRun) -> Any:
    return TestResult.objects.filter(run=run, deleted_at__isnull=True, archived_at__isnull=True)


def least(one: float | None, other: float | None) -> float | None:
    return min((value for value in (one, other) if value is not None), default=None)


def most(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)


# --- how values are spread --------------------------------------------------------------------------------------------


def score_histograms(run: TestRun, lines: Sequence[EvaluatorLine]) -> list[Histogram]:
    """One histogram per evaluator whose scores differ, the one with most failures first; all in one query."""
    wanted = [line for line in lines if spread(line)]
    wanted = sorted(wanted, key=lambda line: (-line.failed, line.label.casefold()))[:MOST_CHARTS]
    if not wanted:
        return []
    ranges = {line.key: range_of(line) for line in wanted}
    # The ranges go along as a table, so that one pass over the index of the run's judgements serves all evaluators.
    statement = """
        SELECT e.evaluator_id, LEAST(width_bucket(e.value, r.low, r.high, %s), %s) AS bin, count(*)
        FROM unnest(%s::uuid[], %s::float8[], %s::float8[]) AS r(evaluator_id, low, high)
        JOIN results_evaluation e ON e.evaluator_id = r.evaluator_id
        WHERE e.run_id = %s AND e.source = 'machine' AND e.is_current AND e.turn IS NULL AND e.value IS NOT NULL
        GROUP BY 1, 2
    """
    keys = list(ranges)
    values: list[Any] = [BINS, BINS, keys, [ranges[key][0] for key in keys], [ranges[key][1] for key in keys], run.pk]
    bins: dict[UUID, list[int]] = defaultdict(lambda: [0] * BINS)
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        for evaluator_id, place, number in cursor.fetchall():
            bins[evaluator_id][max(place, 1) - 1] += number
    found = []
    for line in wanted:
        low, high = ranges[line.key]
        evaluator = line.evaluator
        found.append(
            Histogram(
                bins[line.key],
                low,
                high,
                label=line.label,
                count=line.value_count,
                line=line,
                threshold=evaluator["threshold"],
                fails_below=evaluator["operator"] in (">=", ">"),
                middle=line.mean,
            )
        )
    return found


def spread(line: EvaluatorLine) -> bool:
    """Whether a picture says more than pass and fail do: the scores are not all the same, nor only 0 and 1."""
    by_people = line.evaluator["who"] == Evaluator.Who.HUMAN
    if by_people or line.evaluator["value_type"] == Evaluator.ValueType.LABEL or not line.value_count:
        return False
    if line.value_min is None or line.value_max is None or line.value_min == line.value_max:
        return False
    return math.isfinite(line.value_max - line.value_min)


def range_of(line: EvaluatorLine) -> tuple[float, float]:
    """The axis: 0 to 1 for shares, the evaluator's own limits where the scores keep them, else what there is."""
    assert line.value_min is not None and line.value_max is not None
    low, high = line.value_min, line.value_max
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    own_low, own_high = line.evaluator["min_score"], line.evaluator["max_score"]
    if own_low is not None and own_high is not None and own_low <= low and high <= own_high and own_low < own_high:
        return own_low, own_high
    threshold = line.evaluator["threshold"]
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    return round_axis(low, high)


def round_axis(low: float, high: float) -> tuple[float, float]:
    """Ends around the values whose quarters are numbers that people count in."""
    step = nice((high - low) / 4)
    start = math.floor(low / step) * step
    while start + 4 * step < high:
        step = nice(step * 1.01)
        start = math.floor(low / step) * step
    return start, start + 4 * step


def nice(number: float) -> float:
    """The next of 1, 2, 2.5, 4, 5 or 8 times a power of ten."""
    size = 10.0 ** math.floor(math.log10(number))
    for step in (1, 2, 2.5, 4, 5, 8, 10):
        if step * size >= number:
            return step * size
    return 10 * size


def value_histograms(run: TestRun) -> dict[str, Histogram]:
    """How latency and cost are spread, from 0 to the 99th percentile; what lies beyond is counted beside."""
    ends = results_of(run).aggregate(
        latency_top=Percentile("latency_ms", 0.99),
        latency_middle=Percentile("latency_ms", 0.5),
        latency_least=Min("latency_ms"),
        latency_most=Max("latency_ms"),
        latency_count=Count("latency_ms"),
        cost_top=Percentile("cost", 0.99),
        cost_middle=Percentile("cost", 0.5),
        cost_least=Min("cost"),
        cost_most=Max("cost"),
        cost_count=Count("cost"),
    )
    found = {}
    for name, column in (("latency", "latency_ms"), ("cost", "cost")):
        top, count = ends[f"{name}_top"], ends[f"{name}_count"]
        if not count or not top or ends[f"{name}_least"] == ends[f"{name}_most"] or ends[f"{name}_least"] < 0:
            continue
        top = 4 * nice(top / 4)
        rows = (
            results_of(run)
            .filter(**{f"{column}__isnull": False})
            .annotate(bin=Func(column, 0.0, float(top), BINS, function="width_bucket", output_field=IntegerField()))
            .order_by()
            .values_list("bin")
            .annotate(n=Count("pk"))
        )
        bins, beyond = [0] * BINS, 0
        for place, number in rows:
            if place > BINS and ends[f"{name}_most"] > top:
                beyond += number
            else:
                bins[min(max(place, 1), BINS) - 1] += number
        found[name] = Histogram(bins, 0.0, float(top), count=count, beyond=beyond, middle=ends[f"{name}_middle"])
    return found


class Percentile(Aggregate):
    """The value below which the share of all values lies."""

    function = "percentile_disc"
    template = "%(function)s(%(share)s) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field: Any = FloatField()

    def __init__(self, column: str, share: float, **extra: Any) -> None:
        super().__init__(column, share=share, **extra)
