"""manage.py launch: a run of a configuration, as the page and the API launch it."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from runs.launching import CannotLaunch, launch
from runs.models import TestConfiguration, TestRun


class Command(BaseCommand):
    help = "Launch a run of a configuration. Workers fill it (manage.py work)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("configuration", metavar="CONFIGURATION", help="its id: ours, or the sender's own")
        parser.add_argument("--name", default="", help="the run's name (default: the configuration's)")
        for name in ("repetitions", "concurrency", "timeout", "retry-count"):
            parser.add_argument(f"--{name}", type=int, help="instead of the configuration's")
        for name in ("branch", "commit"):
            parser.add_argument(f"--{name}", default="", help=f"the {name} that is tried")
        parser.add_argument("--wait", action="store_true", help="until the run has ended; fails where it failed")

    def handle(self, *, configuration: str, wait: bool, **options: Any) -> None:
        found = TestConfiguration.objects.with_id(configuration).filter(
            deleted_at__isnull=True, project__deleted_at__isnull=True
        )
        rows = list(found[:2])
        if len(rows) != 1:
            how_many = "several configurations" if rows else "no configuration"
            raise CommandError(f"There is {how_many} with the id {configuration!r}.")
        names = ("name", "repetitions", "concurrency", "timeout", "retry_count", "branch", "commit")
        try:
            run = launch(rows[0], by=None, via=TestRun.Via.API, **{name: options[name] for name in names})
        except CannotLaunch as reason:
            raise CommandError(str(reason)) from None
        self.stdout.write(f"Launched {run}: {run.planned_count:,} results. Its id is {run.pk}.")
        if wait:
            self.wait_for(run)

    def wait_for(self, run: TestRun) -> None:
        said = -1
        while run.is_active:
            time.sleep(1)
            run.refresh_from_db()
            if run.result_count != said:
                said = run.result_count
                self.stdout.write(f"{said:,} of {run.planned_count:,}")
        self.stdout.write(
            f"{run.get_status_display()}: {run.passed:,} passed, {run.failed:,} failed, {run.errors:,} errors."
        )
        if run.status != TestRun.Status.COMPLETED:
            raise CommandError(f"The run is {run.get_status_display().lower()}.")
