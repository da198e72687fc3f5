"""manage.py launch: a run of a configuration, as the page and the API launch it."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from runs.launching import CannotLaunch, launch
from runs.models import Category, Evaluator, Prompt, TestConfiguration, TestRun, Topic

FILTERS: dict[str, Any] = {"category": Category, "topic": Topic, "prompt": Prompt}


def said(name: str) -> str:
    return "content" if name == "prompt" else "name"


class Command(BaseCommand):
    help = "Launch a run of a configuration. Workers fill it (manage.py work)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("configuration", metavar="CONFIGURATION", help="its id: ours, or the sender's own")
        parser.add_argument("--name", default="", help="the run's name (default: the configuration's)")
        for name in FILTERS:
            parser.add_argument(
                f"--{name}", metavar="ID", help=f"only cases of this {name}: its id, or its {said(name)}"
            )
        parser.add_argument(
            "--evaluator", action="append", metavar="ID", help="instead of the configuration's: id or name, repeatable"
        )
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
        chosen = self.chosen(rows[0], options)
        try:
            run = launch(rows[0], by=None, via=TestRun.Via.API, **{name: options[name] for name in names}, **chosen)
        except CannotLaunch as reason:
            raise CommandError(str(reason)) from None
        self.stdout.write(f"Launched {run}: {run.planned_count:,} results. Its id is {run.pk}.")
        if wait:
            self.wait_for(run)

    def chosen(self, configuration: TestConfiguration, options: dict[str, Any]) -> dict[str, Any]:
        """The rows that filters and evaluators name."""
        found: dict[str, Any] = {
            name: self.row(model, configuration, options[name], said(name))
            for name, model in FILTERS.items()
            if options[name]
        }
        if options["evaluator"]:
            found["evaluators"] = [self.row(Evaluator, configuration, one, "name") for one in options["evaluator"]]
        return found

    def row(self, model: Any, configuration: TestConfiguration, ident: str, word: str) -> Any:
        rows = model.objects.filter(organization_id=configuration.organization_id)
        if model is Evaluator:
            rows = rows.filter(Q(project=configuration.project_id) | Q(project=None), deleted_at__isnull=True)
        matches = list(rows.with_id(ident)[:2]) or list(rows.filter(**{word: ident})[:2])
        if len(matches) != 1:
            raise CommandError(f"There is {'more than one' if matches else 'no'} {model._meta.verbose_name} {ident!r}.")
        return matches[0]

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
