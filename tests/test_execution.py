"""Real workers in processes of their own, killed and cut off: every case has one result, judged once by each."""

from __future__ import annotations

import time

import pytest

from evalhub.management.drilling import Bot, Report, count, drill, scratch_database, set_up, start_worker
from runs.launching import launch
from runs.models import TestRun

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def test_a_run_survives_three_killed_workers():
    report = drill(cases=200, kills=3, seconds=0.2, flaky=0.1, concurrency=8)

    assert report.problems == []
    assert (report.kills, report.results, report.evaluations, report.status) == (3, 200, 600, "completed")


def test_two_workers_keep_together_to_what_the_endpoint_takes():
    report = drill(cases=200, workers=2, seconds=0.1, flaky=0.0, concurrency=6)

    assert report.problems == []
    assert (report.results, report.calls, report.most) == (200, 200, 6)


def test_a_run_survives_a_database_that_lets_nobody_in():
    report = drill(cases=200, outage=3, seconds=0.2, flaky=0.1, concurrency=8)

    assert report.problems == []
    assert (report.results, report.evaluations, report.status) == (200, 600, "completed")


def test_a_run_survives_a_database_that_stops():
    """pg_ctl stop -m immediate, as a crash does it."""
    with scratch_database() as server:
        assert server is not None
        report = drill(cases=200, outage=6, seconds=0.2, flaky=0.1, concurrency=8, server=server)

    assert report.problems == []
    assert (report.results, report.evaluations, report.status) == (200, 600, "completed")


def test_a_worker_that_is_told_to_stop_ends_what_is_under_way_and_loses_nothing():
    with Bot(0.2, 0.0) as bot:
        run = launch(set_up(bot.url, 200, concurrency=8, retries=2), by=None)
        first = start_worker()
        wait_until(lambda: TestRun.objects.get(pk=run.pk).result_count >= 40)
        first.terminate()
        stopped = first.wait(15)
        between = TestRun.objects.get(pk=run.pk).result_count
        second = start_worker()
        wait_until(lambda: not TestRun.objects.get(pk=run.pk).is_active)
        second.terminate()
        second.wait(15)

    report = Report()
    count(run, 200, report)
    assert (stopped, report.problems, bot.calls) == (0, [], 200)
    assert between < 200


def wait_until(reached, *, patience: float = 90.0) -> None:
    until = time.monotonic() + patience
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.1)
