"""The rows of the benchmark: what is asked, what must be true of the answer, and how long it took."""

from __future__ import annotations

import gzip
import json
import random
import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from itertools import batched
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from evalhub.benchmark.expanding import EVALUATORS_EACH, RESULTS_EXPANDED, STEPS_EACH
from evalhub.benchmark.loading import BATCH, body, text
from evalhub.benchmark.serving import Answer, Site

WARM_UP, REPEATS = 5, 40
DEEP = 0.8  # how far down the deep page lies
INGEST_BATCHES = 40
LONGEST_IMPORT = 100_000  # lines
FLAT = 1.1  # times the floor
WARM_UP_REVIEWS, REVIEW_ROUNDS = 20, 3


class Wrong(Exception):
    """An answer that is fast and not right."""


@dataclass
class Figure:
    """One measured number. ``goal`` is a limit on the value, or on its ratio to the floor."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    times_floor: float | None = None
    note: str = ""
    smaller: float | None = None  # the same at a tenth of the size

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.floor else None

    @property
    def reached(self) -> bool:
        checks = [
            self.at_most is None or self.value <= self.at_most,
            self.at_least is None or self.value >= self.at_least,
            self.times_floor is None or self.ratio is None or self.ratio <= self.times_floor,
            self.growth_allowed,
        ]
        return all(checks)

    @property
    def growth_allowed(self) -> bool:
        """From a tenth of the size no time grows by more than 1.3 times or 1 ms."""
        if self.smaller is None or self.unit != "ms":
            return True
        return self.value <= max(self.smaller * 1.3, self.smaller + 1)

    @property
    def goal(self) -> str:
        words = []
        if self.at_least is not None:
            words.append(f">= {self.at_least:,.0f} {self.unit}")
        if self.at_most is not None:
            words.append(f"<= {self.at_most:,.0f} {self.unit}")
        if self.times_floor is not None:
            words.append(f"<= {self.times_floor:g} x floor")
        return ", ".join(words)


@dataclass
class Asked:
    """A request with its floor and what must hold."""

    name: str
    path: Callable[[Site], str]
    check: Callable[[Site, Answer], None]
    floor: Callable[[Site], str] | None = None
    at_most: float | None = None
    times_floor: float | None = None
    largest: int | None = None  # bytes
    repeats: int = REPEATS
    notes: list[str] = field(default_factory=list)


def median_ms(site: Site, path: str, repeats: int = REPEATS) -> float:
    taken = []
    for n in range(WARM_UP + repeats):
        began = time.perf_counter()
        answer = site.get(path)
        took = (time.perf_counter() - began) * 1000
        if answer.status != 200:
            raise Wrong(f"{path} answered {answer.status}: {answer.body[:200]!r}")
        if n >= WARM_UP:
            taken.append(took)
    return statistics.median(taken)


def of(site: Site) -> Any:
    assert site.loaded is not None
    return site.loaded


def sorted_results(site: Site) -> str:
    return f"run={of(site).run}&outcome=failed&evaluator={of(site).evaluators[0]}&sort=-score"


def deep_path(site: Site) -> str:
    """The list's page at ``DEEP``, by following its links as a reader would."""
    path = results_path(site)
    for _ in range(pages_before_deep(site)):
        following = site.get(path).json()["next"]
        if not following:
            break
        path = re.sub(r"^https?://[^/]+", "", following)
    return path


def pages_before_deep(site: Site) -> int:
    return int(of_run(site)["counts"]["failed"] * DEEP) // 50


def of_run(site: Site) -> Any:
    return site.get(f"/api/runs/{of(site).run}/").json()


def some_result(site: Site) -> str:
    path = f"/api/results/?run={of(site).run}&limit=1"
    return str(site.get(path).json()["items"][0]["uuid"])


# --- checks -----------------------------------------------------------------------------------------------------------


def must(condition: bool, why: str) -> None:
    if not condition:
        raise Wrong(why)


def check_runs(site: Site, answer: Answer) -> None:
    items = answer.json()["items"]
    total = sum(item["counts"]["results"] for item in items)
    must(len(items) >= 20, f"the runs list has {len(items)} runs")
    must(total == of(site).results, f"the runs hold {total:,} results, and {of(site).results:,} were loaded")


def results_path(site: Site) -> str:
    return f"/api/results/?{sorted_results(site)}&limit=50"


def check_results(site: Site, answer: Answer) -> None:
    items = answer.json()["items"]
    expected = min(50, of_run(site)["counts"]["failed"])
    must(len(items) == expected, f"{len(items)} rows instead of {expected}")
    check_order(site, items)


def check_deep(site: Site, answer: Answer) -> None:
    items, evaluator = answer.json()["items"], of(site).evaluators[0]
    before = pages_before_deep(site)
    expected = min(50, of_run(site)["counts"]["failed"] - 50 * before)
    must(len(items) == expected, f"{len(items)} rows instead of {expected}")
    check_order(site, items)
    first = site.get(results_path(site)).json()["items"]
    must(not before or score_of(items[0], evaluator) <= score_of(first[-1], evaluator), "the deep page is not deep")


def check_order(site: Site, items: list[dict[str, Any]]) -> None:
    must({item["outcome"] for item in items} <= {"failed"}, "a row that did not fail is in the list")
    marks = [score_of(item, of(site).evaluators[0]) for item in items]
    must(marks == sorted(marks, reverse=True), "the rows are not in the order of the score")


def score_of(item: dict[str, Any], evaluator: str) -> float:
    for mark in item.get("evaluations") or item.get("scores") or ():
        named = mark.get("evaluator")
        if (named.get("id") if isinstance(named, dict) else named) == evaluator:
            return float(mark["value"])
    return 0.0


def check_page(site: Site, answer: Answer) -> None:
    text = answer.body.decode()
    shown = re.findall(r'<tr id="result-([0-9a-f-]{36})"', text)
    expected = [item["uuid"] for item in site.get(results_path(site)).json()["items"]]
    must(shown == expected, f"the page shows {len(shown)} rows, and not the API's {len(expected)} in their order")
    must("</html>" in text, "the page is not whole")


def check_runs_page(site: Site, answer: Answer) -> None:
    text = answer.body.decode()
    must(text.count(" data-row>") >= 20 and "</html>" in text, "the page does not show the runs")


def check_result(site: Site, answer: Answer) -> None:
    item = answer.json()
    must(
        len([one for one in item["evaluations"] if one["source"] == "machine"]) == 4,
        "the result does not have its four evaluations",
    )
    must(bool(item["case_details"]["inputs"]), "the result does not have its case")


def check_numbers(site: Site, answer: Answer) -> None:
    items = answer.json()["items"]
    counted = of_run(site)["counts"]["results"]
    must(len(items) == 4, f"{len(items)} evaluators instead of 4")
    must({item["scored"] for item in items} == {counted}, "the evaluators' totals are not the run's")


def check_expanded(site: Site, answer: Answer) -> None:
    document = answer.json()
    runs = document["runs"]
    found = {(len(run["steps"]), len(run["evaluations"])) for run in runs}
    must(len(runs) == RESULTS_EXPANDED, f"the test result has {len(runs):,} runs instead of {RESULTS_EXPANDED:,}")
    must(found == {(STEPS_EACH, EVALUATORS_EACH)}, f"the runs have steps and evaluations {sorted(found)}")
    must(document == site.get(floor_of_expanded(site)).json(), "the floor's document is another one")


def floor_of_expanded(site: Site) -> str:
    return f"/floor/expanded?run={of(site).expanded}"


ROWS = (
    Asked(
        "runs list, API",
        lambda site: "/api/runs/?limit=50",
        check_runs,
        floor=lambda site: f"/floor/runs?organization={of(site).organization}",
        times_floor=6,
    ),
    Asked("runs list, page", lambda site: "/runs/", check_runs_page, at_most=20),
    Asked(
        "results by score, API",
        lambda site: results_path(site),
        check_results,
        floor=lambda site: f"/floor/results?run={of(site).run}&evaluator={of(site).evaluators[0]}",
        times_floor=2.5,
    ),
    Asked("results by score, deep page", deep_path, check_deep),
    Asked(
        "results by score, page",
        lambda site: f"/runs/{of(site).run}/?{sorted_results(site).split('&', 1)[1]}",
        check_page,
        at_most=25,
        largest=60_000,
    ),
    Asked(
        "one result, expanded",
        lambda site: f"/api/results/{some_result(site)}/?expand=steps,evaluations,reviews,case",
        check_result,
        floor=lambda site: f"/floor/result?result={some_result(site)}",
        times_floor=5,
    ),
    Asked(
        "numbers per evaluator",
        lambda site: f"/api/runs/{of(site).run}/evaluators/",
        check_numbers,
        floor=lambda site: f"/floor/numbers?run={of(site).run}",
        times_floor=5,
    ),
    Asked(
        "test result for Gentrace",
        lambda site: f"/api/v1/test-result/{of(site).expanded}",
        check_expanded,
        floor=floor_of_expanded,
        times_floor=3,
        repeats=9,
    ),
)


ADMIN: Final = tuple(
    Asked(
        f"admin, {label}",
        lambda site, model=model: f"/admin/{model}/",  # type: ignore[misc]
        lambda site, answer: must(answer.body.count(b"<tr") >= 50, "the list has no rows"),
        at_most=300,
    )
    for label, model in (
        ("results", "results/testresult"),
        ("evaluations", "results/evaluation"),
        ("cases", "runs/case"),
    )
)


def measure_row(row: Asked, sites: list[Site], rounds: int) -> Figure:
    """Best median of interleaved rounds on the small and the full site, floor between them."""
    paths = {site.name: row.path(site) for site in sites}
    floors = {site.name: row.floor(site) for site in sites} if row.floor else {}
    best: dict[str, float] = {}
    lowest: float | None = None
    for site in sites:
        answer = site.get(paths[site.name])
        must(answer.status == 200, f"{row.name}: {answer.status} {answer.body[:300]!r}")
        row.check(site, answer)
    for _ in range(rounds):
        for site in sites:
            took = median_ms(site, paths[site.name], row.repeats)
            best[site.name] = min(best.get(site.name, took), took)
            if floors and site is sites[-1]:
                bare = median_ms(site, floors[site.name], row.repeats)
                lowest = bare if lowest is None else min(lowest, bare)
    full = sites[-1]
    size = len(full.get(paths[full.name]).body)
    figure = Figure(
        row.name, best[full.name], "ms", floor=lowest, at_most=row.at_most, times_floor=row.times_floor,
        smaller=best[sites[0].name] if len(sites) > 1 else None, note=f"{size / 1000:.0f} kB",
    )  # fmt: skip
    if row.largest is not None and size > row.largest:
        figure.note += f", goal <= {row.largest / 1000:.0f} kB MISSED"
    return figure


# --- writing ----------------------------------------------------------------------------------------------------------


def measure_ingest(site: Site) -> list[Figure]:
    """How fast results come in, and whether the web server grows with them."""
    loaded = of(site)
    count = min(INGEST_BATCHES, loaded.results // BATCH)
    warm_up = max(count // 2, 1)  # each web worker keeps some memory for the next batch once it has had a dozen
    dice = random.Random(9)  # noqa: S311
    batches = [
        json.dumps(body(BATCH, loaded.evaluators, dice, f"ingest-{time.time_ns()}-{n}")).encode()
        for n in range(count + 1)
    ]
    run = site.ask("POST", "/api/runs/", json.dumps({"project": loaded.project, "name": "ingest"}).encode()).json()
    path = f"/api/runs/{run['id']}/results/"
    with site.worker():  # it brings the texts into the search's index meanwhile
        for batch in batches[:warm_up]:
            send(site, path, batch)
        before = site.memory_mib()
        began = time.perf_counter()
        for batch in batches[warm_up:]:
            send(site, path, batch)
        took = time.perf_counter() - began
        after = site.memory_mib()
    counts = site.get(f"/api/runs/{run['id']}/").json()["counts"]
    must(counts["results"] == BATCH * len(batches), f"{counts['results']} results were counted")
    floor = floor_of_ingest(site, batches)
    site.ask("DELETE", f"/api/runs/{run['id']}/", None)
    timed = BATCH * (len(batches) - warm_up)
    return [
        Figure(
            "batch ingest, 1 client", timed / took, "results/s", floor=floor, at_least=3000,
            note="batches of 500, a worker indexes them meanwhile",
        ),
        Figure(
            "memory after ingest", after, "MiB", floor=before, times_floor=FLAT,
            note=f"of {timed:,}; floor: of {warm_up * BATCH:,}",
        ),
    ]  # fmt: skip


def measure_import(site: Site) -> Figure:
    """The peak memory of an import, and of one a tenth as long."""
    longer = min(of(site).results, LONGEST_IMPORT)
    shorter, peak = (import_of(site, lines) for lines in (longer // 10, longer))
    return Figure(
        "import, peak memory", peak, "MiB", floor=shorter, times_floor=FLAT,
        note=f"{longer:,} lines; floor: {longer // 10:,}",
    )  # fmt: skip


def import_of(site: Site, lines: int) -> float:
    """MiB that ``manage.py import_results`` takes for a file of so many lines."""
    dice = random.Random(lines)  # noqa: S311
    file = site.folder / f"import-{time.time_ns()}.jsonl"
    with file.open("w") as out:
        for n in range(lines):
            said = {"input": text(dice, 20), "output": text(dice, 60), "accuracy": dice.random()}
            out.write(json.dumps({"id": f"{file.stem}-{n}", **said}) + "\n")
    peak = site.peak_mib("import_results", str(file), "--project", "support-bot")
    file.unlink()
    for run in site.get(f"/api/runs/?q={file.stem}").json()["items"]:
        site.ask("DELETE", f"/api/runs/{run['id']}/", None)
    return peak


def send(site: Site, path: str, batch: bytes) -> None:
    answer = site.ask("POST", path, batch)
    must(answer.status == 201, f"ingest answered {answer.status}: {answer.body[:300]!r}")


def floor_of_ingest(site: Site, batches: list[bytes]) -> float:
    loaded = of(site)
    run = site.ask("POST", "/api/runs/", json.dumps({"project": loaded.project, "name": "floor"}).encode()).json()
    path = (
        f"/floor/ingest?organization={loaded.organization}&run={run['uuid']}&evaluators={','.join(loaded.evaluators)}"
    )
    site.ask("POST", path, batches[0])
    began = time.perf_counter()
    for batch in batches[1:]:
        answer = site.ask("POST", path, batch)
        must(answer.status == 200, f"the ingest floor answered {answer.status}: {answer.body[:300]!r}")
    rate = BATCH * (len(batches) - 1) / (time.perf_counter() - began)
    site.ask("DELETE", f"/api/runs/{run['id']}/", None)  # its counters say nothing of these rows
    return rate


def measure_reviews(site: Site, clients: int, goal: float, count: int = 620) -> Figure:
    """Reviews of one run by one token's user: permission check, audit event and settled counters included.

    The best of three rounds, as of other rows.
    """
    path = f"/api/results/?run={of(site).run}&review=none&limit=200"
    ids: list[str] = []
    while path and len(ids) < 2 * count:
        page = site.get(path).json()
        ids += [item["uuid"] for item in page["items"]]
        path = re.sub(r"^https?://[^/]+", "", page["next"] or "")
    count = min(count, len(ids) // 2)  # the rest is for the next
    must(count >= 2 * WARM_UP_REVIEWS, "too few results are left to review: measure a larger size, on new data")
    before = of_run(site)["reviews"]["reviewed"]

    verdict = json.dumps({"verdict": "failed", "comment": "benchmark"}).encode()
    requests = [site.written("POST", f"/api/results/{ident}/reviews/", verdict) for ident in ids[:count]]

    a_round = (count - WARM_UP_REVIEWS) // REVIEW_ROUNDS
    statuses, rates = set[int](), []
    with ThreadPoolExecutor(clients) as pool:
        statuses.update(pool.map(site.put, requests[:WARM_UP_REVIEWS]))
        for some in batched(requests[WARM_UP_REVIEWS:], a_round):
            began = time.perf_counter()
            statuses.update(pool.map(site.put, some))
            if len(some) == a_round:
                rates.append(a_round / (time.perf_counter() - began))
    must(statuses == {201}, f"reviews answered {statuses}")
    after = of_run(site)["reviews"]["reviewed"]
    must(after - before == len(ids[:count]), f"{after - before} reviews were counted of {len(ids[:count])}")
    return Figure(
        f"reviews, {clients} client{'s' * (clients > 1)}",
        max(rates),
        "per s",
        at_least=goal,
    )


# --- size -------------------------------------------------------------------------------------------------------------


def installed_mb() -> Figure:
    """What the runtime lock installs, in MB."""
    names = re.findall(r"^([A-Za-z0-9_.-]+)==", (settings.BASE_DIR / "requirements" / "base.txt").read_text(), re.M)
    total = 0
    for name in names:
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:  # for another system
            continue
        total += sum(path.stat().st_size for file in files if (path := Path(str(file.locate()))).is_file())
    return Figure("installation", total / 1e6, "MB", at_most=150, note="without test tools")


def first_view(site: Site) -> Figure:
    """The runs list with everything it needs, as it travels with gzip, in kB."""
    page = site.get("/runs/", **{"Accept-Encoding": "gzip"})
    size = len(gzip.compress(page.body)) if page.headers.get("content-encoding") != "gzip" else len(page.body)
    html = site.get("/runs/").body.decode()
    assets = set(re.findall(r'(?:href|src)="(/static/[^"#]+)', html))
    for asset in assets:
        answer = site.get(asset, **{"Accept-Encoding": "gzip"})
        must(answer.status == 200, f"{asset} answered {answer.status}")
        size += len(answer.body)
    return Figure("first view, gzip", size / 1000, "kB", at_most=100, note=f"{len(assets) + 1} requests")
