"""Real workers in processes of their own, killed and cut off: every case has one result, judged once by each."""

from __future__ import annotations

import pytest

from evalhub.management.drilling import drill

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def test_a_run_survives_three_killed_workers():
    report = drill(cases=200, kills=3, seconds=0.2, flaky=0.1, concurrency=8)

    assert report.problems == []
    assert (report.kills, report.results, report.evaluations, report.status) == (3, 200, 600, "completed")


def test_a_run_survives_a_database_that_goes_away():
    report = drill(cases=200, outage=6, seconds=0.2, flaky=0.1, concurrency=8)

    assert report.problems == []
    assert (report.results, report.evaluations, report.status) == (200, 600, "completed")
