"""The statistics of the releases from 0.6.10 to 0.12; insights took their place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import TruncMonth
from django.utils import timezone

from evalhub.compat.rhesis.door import Call
from evalhub.compat.rhesis.reading import Refusal
from evalhub.compat.rhesis.scope import LONGEST_PERIOD, Scope, pass_rate, period
from evalhub.compat.rhesis.statuses import RUN
from evalhub.compat.rhesis.words import Words
from results.models import Outcome, TestResult
from runs.models import TestRun

RESULT_MODES: Final[dict[str, tuple[str, ...]]] = {
    "all": ("overall", "metrics", "behavior", "category", "topic", "timeline", "test_runs"),
    "summary": ("overall",),
    "overall": ("overall",),
    "metrics": ("metrics",),
    "behavior": ("behavior",),
    "category": ("category",),
    "topic": ("topic",),
    "timeline": ("timeline",),
    "test_runs": ("test_runs",),
}
RUN_MODES: Final[dict[str, tuple[str, ...]]] = {
    "all": ("status", "results", "test_sets", "executors", "timeline", "summary"),
    "summary": ("summary",),
    "status": ("status",),
    "results": ("results",),
    "test_sets": ("test_sets",),
    "executors": ("executors",),
    "timeline": ("timeline",),
}
FILTERS: Final = (
    "test_run_ids", "test_set_ids", "behavior_ids", "requirement_ids", "category_ids", "topic_ids", "status_ids",
    "test_ids", "test_type_ids", "user_ids", "assignee_ids", "owner_ids", "prompt_ids", "endpoint_ids", "tags",
)  # fmt: skip
USUAL_MONTHS: Final = 6
USUAL_TOP: Final = 10
PASSED: Final = Count("pk", filter=Q(outcome=Outcome.PASSED))
FAILED: Final = Count("pk", filter=Q(outcome=Outcome.FAILED))


def _scope(call: Call) -> Scope:
    values = {name: found for name in FILTERS if (found := call.parameters(name))}
    if single := call.parameters("test_run_id"):
        values["test_run_ids"] = [*values.get("test_run_ids", []), *single]
    if states := call.parameters("status_list"):
        values["status_names"] = states
    months = call.whole("months")
    if months is not None and not 0 < months <= LONGEST_PERIOD:
        raise Refusal(f"months must be between 1 and {LONGEST_PERIOD}.")
    start, end = period(months, call.parameter("start_date"), call.parameter("end_date"), usual=USUAL_MONTHS)
    return Scope(call, values, start, end, (call.whole("priority_min"), call.whole("priority_max")))


def _mode(call: Call, known: Mapping[str, tuple[str, ...]]) -> str:
    mode = call.parameter("mode") or "all"
    if mode not in known:
        raise Refusal(f"Unknown mode “{mode[:60]}”: use {', '.join(known)}.")
    return mode


def _top(call: Call) -> int:
    top = call.whole("top")
    if top is not None and not 0 < top <= 1000:
        raise Refusal("top must be between 1 and 1000.")
    return top or USUAL_TOP


def _rates(total: int, passed: int, failed: int) -> Words:
    return {"total": total, "passed": passed, "failed": failed, "pass_rate": pass_rate(passed, failed)}


def _metadata(call: Call, scope: Scope, mode: str, **more: Any) -> Words:
    start = scope.start.isoformat() if scope.start else ""
    end = (scope.end or timezone.now()).isoformat()
    return {
        "generated_at": timezone.now().isoformat(),
        "organization_id": str(call.actor.organization_id),
        "period": f"{start[:10] or 'beginning'} to {end[:10]}",
        "start_date": start,
        "end_date": end,
        "mode": mode,
        **more,
    }


# --- of test results --------------------------------------------------------------------------------------------------


def result_stats(call: Call) -> Words:
    mode, scope = _mode(call, RESULT_MODES), _scope(call)
    results = scope.results()
    sections = RESULT_MODES[mode]
    words = {"behavior": "requirement", "category": "category", "topic": "topic"}
    said: Words = {}
    if "overall" in sections:
        said["overall_pass_rates"] = _overall(results)
    if "metrics" in sections:
        said["metric_pass_rates"] = _by_metric(scope)
    for section, column in words.items():
        if section in sections:
            said[f"{section}_pass_rates"] = _by_name(results, f"case__{column}__name")
    if "timeline" in sections:
        said["timeline"] = _timeline(scope)
    if "test_runs" in sections:
        said["test_run_summary"] = _run_summary(scope)
    available = {f"available_{plural}": _names(results, f"case__{column}__name") for plural, column in PLURALS.items()}
    said["metadata"] = _metadata(
        call,
        scope,
        mode,
        test_run_id=call.parameter("test_run_id"),
        total_test_runs=results.order_by().values("run").distinct().count(),
        total_test_results=results.count(),
        available_metrics=_names(scope.judgements(), "evaluator__name"),
        **available,
    )
    return said


PLURALS: Final = {"behaviors": "requirement", "categories": "category", "topics": "topic"}


def _names(rows: QuerySet[Any], column: str) -> list[str]:
    found = rows.filter(**{f"{column}__isnull": False}).order_by().values_list(column, flat=True).distinct()
    return sorted(found)


def _overall(results: QuerySet[TestResult]) -> Words:
    return _rates(**results.order_by().aggregate(total=Count("pk"), passed=PASSED, failed=FAILED))


def _by_name(results: QuerySet[TestResult], column: str) -> Words:
    rows = results.filter(**{f"{column}__isnull": False}).order_by().values_list(column)
    rows = rows.annotate(total=Count("pk"), n_passed=PASSED, n_failed=FAILED).order_by(column)
    return {name: _rates(*numbers) for name, *numbers in rows}


def _by_metric(scope: Scope, *group: str) -> Any:
    """name -> rates; with ``group`` a list of (group, name, rates)."""
    rows = scope.judgements().order_by().values_list(*group, "evaluator__name")
    counted = rows.annotate(
        total=Count("pk"),
        n_passed=Count("pk", filter=Q(effective=True)),
        n_failed=Count("pk", filter=Q(effective=False)),
    ).order_by(*group, "evaluator__name")
    if not group:
        return {name: _rates(*numbers) for name, *numbers in counted}
    return [(key, name, _rates(*numbers)) for key, name, *numbers in counted]


def _nested(rows: Iterable[tuple[Any, str, Words]]) -> dict[Any, Words]:
    found: dict[Any, Words] = {}
    for key, name, rates in rows:
        found.setdefault(key, {})[name] = rates
    return found


def _timeline(scope: Scope) -> list[Words]:
    results = scope.results().annotate(date=TruncMonth("created_at")).order_by().values_list("date")
    counted = results.annotate(total=Count("pk"), n_passed=PASSED, n_failed=FAILED).order_by("date")
    rows = scope.judgements().annotate(date=TruncMonth("result__created_at")).order_by()
    judged = rows.values_list("date", "evaluator__name").annotate(
        total=Count("pk"),
        n_passed=Count("pk", filter=Q(effective=True)),
        n_failed=Count("pk", filter=Q(effective=False)),
    )
    metrics = _nested((date, name, _rates(*numbers)) for date, name, *numbers in judged)
    return [
        {"date": f"{date:%Y-%m}", "overall": _rates(*numbers), "metrics": metrics.get(date, {})}
        for date, *numbers in counted
    ]


def _run_summary(scope: Scope) -> list[Words]:
    results = scope.results().order_by()
    columns = ("run_id", "run__external_id", "run__name", "run__created_at")
    counted = results.values_list(*columns).annotate(total=Count("pk"), n_passed=PASSED, n_failed=FAILED)
    metrics = _nested(_by_metric(scope, "run_id"))
    return [
        {
            "id": external_id or str(pk),
            "name": name,
            "created_at": _iso(created_at),
            "total_tests": numbers[0],
            "overall": _rates(*numbers),
            "metrics": metrics.get(pk, {}),
        }
        for pk, external_id, name, created_at, *numbers in counted.order_by("-run__created_at")[:1000]
    ]


def _iso(value: datetime) -> str:
    return value.isoformat()


# --- of test runs -----------------------------------------------------------------------------------------------------


def run_stats(call: Call) -> Words:
    mode, scope, top = _mode(call, RUN_MODES), _scope(call), _top(call)
    runs = scope.runs()
    sections = RUN_MODES[mode]
    said: Words = {}
    if "status" in sections:
        said["status_distribution"] = _statuses(runs)
    if "results" in sections:
        said["result_distribution"] = _distribution(runs)
    if "test_sets" in sections:
        said["most_run_test_sets"] = _most(runs, "configuration__test_set__name", "test_set_name", top)
    if "executors" in sections:
        said["top_executors"] = _most(runs, "created_by__name", "executor_name", top)
    if "timeline" in sections:
        said["timeline"] = _run_timeline(runs)
    if "summary" in sections:
        said["overall_summary"] = _summary(runs)
    said["metadata"] = _metadata(
        call,
        scope,
        mode,
        total_test_runs=runs.count(),
        available_statuses=sorted({row["status"] for row in _statuses(runs)}),
        available_test_sets=_names(runs, "configuration__test_set__name"),
        available_executors=_names(runs, "created_by__name"),
    )
    return said


def _statuses(runs: QuerySet[TestRun]) -> list[Words]:
    counted: dict[str, int] = {}
    for state, count in runs.order_by().values_list("status").annotate(n=Count("pk")):
        name = RUN[state].shown or RUN[state].name
        counted[name] = counted.get(name, 0) + count
    total = sum(counted.values())
    return [
        {"status": name, "count": count, "percentage": round(100 * count / total, 2)}
        for name, count in sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
    ]


def _distribution(runs: QuerySet[TestRun]) -> Words:
    """Of the runs' results; what has no verdict is pending."""
    total = passed = failed = 0
    for results, ok, bad in runs.values_list("result_count", "passed", "failed"):
        total, passed, failed = total + results, passed + ok, failed + bad
    return {**_rates(total, passed, failed), "pending": total - passed - failed}


def _most(runs: QuerySet[TestRun], column: str, word: str, top: int) -> list[Words]:
    rows = runs.filter(**{f"{column}__isnull": False}).order_by().values_list(column).annotate(n=Count("pk"))
    return [{word: name, "run_count": count} for name, count in rows.order_by("-n", column)[:top]]


def _run_timeline(runs: QuerySet[TestRun]) -> list[Words]:
    months: dict[str, Words] = {}
    for created_at, ok, bad, total in runs.values_list("created_at", "passed", "failed", "result_count"):
        month = f"{created_at:%Y-%m}"
        said = months.setdefault(
            month, {"date": month, "total_runs": 0, "result_breakdown": {"passed": 0, "failed": 0, "pending": 0}}
        )
        said["total_runs"] += 1
        for name, number in (("passed", ok), ("failed", bad), ("pending", total - ok - bad)):
            said["result_breakdown"][name] += number
    return [months[month] for month in sorted(months)]


def _summary(runs: QuerySet[TestRun]) -> Words:
    statuses, results = _statuses(runs), _distribution(runs)
    return {
        "total_runs": runs.count(),
        "unique_test_sets": len(_names(runs, "configuration__test_set__name")),
        "unique_executors": len(_names(runs, "created_by__name")),
        "most_common_status": statuses[0]["status"] if statuses else "",
        "pass_rate": results["pass_rate"],
    }
