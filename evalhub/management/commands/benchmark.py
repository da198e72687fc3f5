"""manage.py benchmark: how fast EvalHub is on this machine, against what the machine can do."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from evalhub.benchmark.browsing import measure_browser
from evalhub.benchmark.loading import Loaded, load
from evalhub.benchmark.measuring import (
    ADMIN,
    ROWS,
    Figure,
    Wrong,
    first_view,
    installed_mb,
    measure_import,
    measure_ingest,
    measure_reviews,
    measure_row,
)
from evalhub.benchmark.serving import Site
from results.searching import index_texts

START_LIMIT, MEMORY_LIMIT = 3, 220
START, IDLE = "start to 200 on /runs/", "idle memory, 2 workers"
INGEST = ("batch ingest, 1 client", "memory after ingest")
IMPORT = "import, peak memory"
REVIEWS = {"reviews, 1 client": (1, 350), "reviews, 8 clients": (8, 600)}
BROWSER = ("drawer, click to paint", "j held, last press to paint", "layout shift")
INSTALLATION, FIRST_VIEW = "installation", "first view, gzip"
LISTS = tuple(row.name for row in (*ROWS, *ADMIN))
NAMES = (START, IDLE, *LISTS, *INGEST, IMPORT, *REVIEWS, *BROWSER, INSTALLATION, FIRST_VIEW)


class Command(BaseCommand):
    help = "Loads results into a database of its own, measures lists, pages, ingest and reviews, and cleans up."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--size", type=int, default=100_000, help="results (default: 100,000)")
        parser.add_argument("--only", action="append", metavar="NAME", help="only rows whose name holds this")
        parser.add_argument("--rounds", type=int, default=3)
        parser.add_argument(
            "--json", type=Path, metavar="FILE", help="where the figures go (default: var/benchmark.json)"
        )
        parser.add_argument("--keep", action="store_true", help="keep the data for the next time")
        parser.add_argument("--load", type=int, help="(used by the command itself)")

    def handle(self, **options: Any) -> None:
        if options["load"]:
            self.load_here(options["load"])
            return
        for word in options["only"] or []:
            if not any(word in name for name in NAMES):
                raise CommandError(f"No row is named {word}. There are: {'; '.join(NAMES)}.")
        base = settings.VAR_DIR / "benchmark"
        sizes = [options["size"] // 10, options["size"]]
        sites = [Site(f"{size:,} results", base / str(size)) for size in sizes]
        try:
            figures = self.measure(sites, sizes, options["only"] or [], options["rounds"])
        except Wrong as wrong:
            raise CommandError(f"Wrong answer: {wrong}") from None
        finally:
            for site in sites:
                site.stop()
            if not options["keep"]:
                shutil.rmtree(base, ignore_errors=True)
        self.report(figures, options["size"], options["json"] or settings.VAR_DIR / "benchmark.json")

    def load_here(self, size: int) -> None:
        """Runs in a process of its own, whose settings are the site's."""
        call_command("migrate", verbosity=0, interactive=False)
        call_command("collectstatic", verbosity=0, interactive=False)
        loaded = load(size, lambda text: print(text, file=sys.stderr, flush=True), giant=size >= 1_000_000)
        from django.db import connection

        index_texts(rest=0)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        print(json.dumps(asdict(loaded)))

    def measure(self, sites: list[Site], sizes: list[int], only: list[str], rounds: int) -> list[Figure]:
        chosen = {name for name in NAMES if not only or any(word in name for word in only)}
        figures: list[Figure] = []
        for site, size in zip(sites, sizes, strict=True):
            self.fill(site, size)
            took = site.start()
            if site is sites[-1] and START in chosen:
                figures.append(Figure(START, took, "s", at_most=START_LIMIT))
        full = sites[-1]
        time.sleep(1)
        if IDLE in chosen:
            for _ in range(5):
                full.get("/runs/")
            figures.append(Figure(IDLE, full.memory_mib(), "MiB", at_most=MEMORY_LIMIT))
        for row in (*ROWS, *ADMIN):
            if row.name in chosen:
                self.stderr.write(f"measuring {row.name}")
                figures.append(measure_row(row, sites, rounds))
        deep = next((figure for figure in figures if "deep" in figure.name), None)
        first = next((figure for figure in figures if figure.name == "results by score, API"), None)
        if deep and first:
            deep.floor, deep.times_floor, deep.note = first.value, 1.2, "floor: the first page"
        if chosen.intersection(INGEST):
            figures += measure_ingest(full)
        if IMPORT in chosen:
            figures.append(measure_import(full))
        for name, (clients, goal) in REVIEWS.items():
            if name in chosen:
                figures.append(measure_reviews(full, clients, goal))
        if chosen.intersection(BROWSER):
            seen = measure_browser(full)
            if not seen:
                self.stderr.write("no browser to measure in: manage.py test brings one")
            figures += seen
        if INSTALLATION in chosen:
            figures.append(installed_mb())
        if FIRST_VIEW in chosen:
            figures.append(first_view(full))
        return [figure for figure in figures if figure.name in chosen]

    def fill(self, site: Site, size: int) -> None:
        known = site.folder / f"loaded-{size}.json"
        if not known.exists():
            began = time.perf_counter()
            self.stderr.write(f"loading {size:,} results")
            told = site.manage("benchmark", "--load", str(size))
            known.write_text(told.strip().splitlines()[-1])
            self.stderr.write(f"loaded {size:,} results in {time.perf_counter() - began:.0f} s")
        facts = json.loads(known.read_text())
        site.loaded = Loaded(**{**facts, "evaluators": tuple(facts["evaluators"])})

    def report(self, figures: list[Figure], size: int, file: Path) -> None:
        self.stdout.write(f"\n{size:,} results · {os.cpu_count()} cores · Python {platform.python_version()}\n")
        self.stdout.write(f"{'':<30}{'measured':>18}{'floor':>10}{'ratio':>8}{'at 1/10':>10}   goal")
        for figure in figures:
            floor = f"{figure.floor:,.1f}" if figure.floor else ""
            ratio = f"{figure.ratio:.1f} x" if figure.ratio else ""
            smaller = f"{figure.smaller:,.1f}" if figure.smaller else ""
            word = "" if figure.reached else "  MISSED" + ("" if figure.growth_allowed else " (grows)")
            self.stdout.write(
                f"{figure.name:<30}{figure.value:>10,.1f} {figure.unit:<9}{floor:>8}{ratio:>8}{smaller:>10}   "
                f"{figure.goal}{word}  {figure.note}"
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = [{**asdict(figure), "ratio": figure.ratio, "reached": figure.reached} for figure in figures]
        file.write_text(json.dumps({"size": size, "cores": os.cpu_count(), "figures": rows}, indent=2) + "\n")
        self.stdout.write(f"\nThe figures are in {file}.")
