"""Going over a run once more: its failed cases, or its answers with other judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalhub.accounts.actor import Actor
from results.models import Outcome, TestResult
from runs.launching import CannotLaunch, launch_again, plan_judging
from runs.models import Endpoint, Evaluator, TestRun


def launch_failed(run: TestRun, *, by: Actor | None, **fields: Any) -> TestRun:
    """A new run with the cases that failed or errored in this one, after people's corrections."""
    bad = TestResult.objects.filter(run=run, deleted_at__isnull=True, outcome__in=(Outcome.FAILED, Outcome.ERROR))
    cases = set(bad.filter(case__isnull=False).values_list("case_id", flat=True))
    if not cases:
        raise CannotLaunch("Nothing failed in this run, so there is nothing to run again.")
    fields.setdefault("name", f"{run.name}, failed cases"[:300])
    return launch_again(run, by=by, cases=cases, **fields)


def score_again(
    run: TestRun, evaluators: Sequence[Evaluator], *, by: Actor | None, judge: Endpoint | None = None
) -> tuple[str, int]:
    """Judge the run's answers with these evaluators as they are now; the scoring's name, and how many results."""
    results = TestResult.objects.filter(run=run, deleted_at__isnull=True).order_by("position")
    ids = list(results.values_list("pk", flat=True))
    return plan_judging(run, ids, evaluators, by=by, judge=judge), len(ids)
