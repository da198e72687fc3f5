"""manage.py recount: compare every stored number with the rows it stands for."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from results.recounting import recount
from runs.models import TestRun


class Command(BaseCommand):
    help = (
        "Count results, reviews, counters and rollups of all runs again and mend what is wrong (--check: only say it)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="Change nothing; fail where stored and counted differ."
        )
        parser.add_argument("--run", help="Only this run (its id).")

    def handle(self, *args: Any, **options: Any) -> None:
        runs = TestRun.objects.order_by("pk")
        if options["run"]:
            runs = runs.with_id(options["run"])
        differences = []
        checked = 0
        for run_id in runs.values_list("pk", flat=True):
            for difference in recount(run_id, repair=not options["check"]):
                differences.append(difference)
                self.stdout.write(str(difference))
            checked += 1
        if differences and options["check"]:
            raise CommandError(f"{len(differences)} stored values differ from the rows of {checked} runs.")
        word = f"{len(differences)} mended" if differences else "stored = counted"
        self.stdout.write(f"{checked} runs: {word}.")
