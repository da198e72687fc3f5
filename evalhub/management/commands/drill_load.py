"""manage.py drill_load: fifty reviewers at work while files are imported, on a database of its own."""

from __future__ import annotations

import json
import shutil
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from evalhub.benchmark.drilling import ROWS_PER_IMPORT, SUBMIT_EVERY, Person, as_facts, drill, p95, prepare
from evalhub.benchmark.loading import Loaded
from evalhub.benchmark.serving import Site
from results.models import Review

PAGE_LIMIT, SUBMIT_LIMIT = 500, 1000  # milliseconds, 95th percentile


class Command(BaseCommand):
    help = "Reviewers read and submit while files are imported: times, errors, and whether every counter is exact."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reviewers", type=int, default=50)
        parser.add_argument("--seconds", type=float, default=120)
        parser.add_argument("--imports", type=int, default=3)
        parser.add_argument("--size", type=int, default=20_000, help="results there at the start")
        parser.add_argument("--count", action="store_true", help="(used by the command itself)")
        parser.add_argument("--prepare", nargs=2, type=int, help="(used by the command itself)")

    def handle(self, **options: Any) -> None:
        if options["count"]:
            self.stdout.write(str(Review.objects.filter(is_current=True).count()))
            return
        if options["prepare"]:
            self.stdout.write(json.dumps(as_facts(prepare(*options["prepare"]))))
            return
        site = Site("drill", settings.VAR_DIR / "drill")
        try:
            self.run_drill(site, **options)
        finally:
            site.stop()
            shutil.rmtree(site.folder, ignore_errors=True)

    def run_drill(self, site: Site, *, reviewers: int, seconds: float, imports: int, size: int, **_: Any) -> None:
        self.stderr.write(f"loading {size:,} results")
        facts = json.loads(site.manage("benchmark", "--load", str(size)).strip().splitlines()[-1])
        site.loaded = Loaded(**{**facts, "evaluators": tuple(facts["evaluators"])})
        submits = int(seconds / SUBMIT_EVERY) + 1
        told = json.loads(site.manage("drill_load", "--prepare", str(reviewers), str(submits)).splitlines()[-1])
        people = [Person(one["token"], one["session"], [tuple(pair) for pair in one["assignments"]]) for one in told]
        site.start()
        self.stderr.write(f"{reviewers} reviewers and {imports} imports for {seconds:.0f} s")
        log = drill(site, people, seconds, imports)
        for name, taken, limit in (("pages", log.pages, PAGE_LIMIT), ("submits", log.submits, SUBMIT_LIMIT)):
            word = "" if p95(taken) < limit else "  MISSED"
            self.stdout.write(f"{len(taken):,} {name}, 95 % within {p95(taken):.0f} ms (goal {limit}){word}")
        self.stdout.write(f"{len(log.imported):,} files of {ROWS_PER_IMPORT:,} results imported meanwhile")
        self.stdout.write(site.manage("recount", "--check").strip().splitlines()[-1])
        kept = int(site.manage("drill_load", "--count").splitlines()[-1])
        if kept != len(log.submits) and not log.errors:
            log.errors.append(f"{kept} reviews were kept of {len(log.submits)}")
        self.stdout.write(f"{kept:,} reviews kept, {len(log.errors)} errors")
        if log.errors:
            raise CommandError("; ".join(log.errors[:5]))
