"""manage.py drill_execution: prove on this machine that a run survives dead workers and a database that goes away."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from evalhub.management.drilling import drill, scratch_database


class Command(BaseCommand):
    help = (
        "Launch a run in a database of its own, kill -9 its workers, stop the database, and count every row. "
        "Fails where one is lost or doubled."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--cases", type=int, default=2000)
        parser.add_argument("--kills", type=int, default=20)
        parser.add_argument("--outage", type=float, default=0, help="seconds of a stopped database, in the middle")
        parser.add_argument("--workers", type=int, default=1)
        parser.add_argument("--concurrency", type=int, default=32, help="calls at once")
        parser.add_argument("--seconds", type=float, default=0.3, help="how long the endpoint takes")
        parser.add_argument("--flaky", type=float, default=0.1, help="share of the calls that break")
        parser.add_argument(
            "--spread", type=float, default=0.5, help="how much that varies: 0.5 is half as much or more"
        )
        parser.add_argument("--patience", type=float, default=1800, help="seconds until it is given up")

    def handle(self, **options: Any) -> None:
        names = ("cases", "kills", "outage", "workers", "concurrency", "seconds", "flaky", "spread", "patience")
        with scratch_database() as server:
            report = drill(**{name: options[name] for name in names}, server=server, say=self.stdout.write)
        self.stdout.write(
            f"{report.status} after {report.seconds:.0f} s and {report.kills} kills: {report.results:,} results, "
            f"{report.evaluations:,} evaluations, {report.calls:,} calls, at most {report.most:,} at once, "
            f"{report.rate:.0f} results/s, {report.busy:.0%} of the allowed calls under way."
        )
        if report.problems:
            raise CommandError("; ".join(report.problems[:10]))
        self.stdout.write("None lost, none doubled; every stored number is what its rows say.")
