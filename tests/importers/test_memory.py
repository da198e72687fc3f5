"""The memory of an import does not grow with its file."""

import csv
import gc
import tracemalloc
from functools import partial

import pytest

from evalhub.importers import storing
from evalhub.importers.detect import detect
from evalhub.importers.importing import import_file
from evalhub.importers.mapping import guess
from evalhub.importers.tables import Table
from tests.factories import make_project
from tests.importers.building import (
    make_export,
    make_header,
    make_row,
    make_sample,
    make_score,
    write_eval,
    write_json,
    write_log,
)

FEW, MANY = 400, 3_000
FLAT = 230  # bytes a result: psycopg's memory of the last hundred statements fills in the meantime
FLAT_WITH_DIRECTORY = 800  # zipfile keeps a member's entry of the directory


def table_rows(count):
    return [
        {"id": f"case {n // 2}", "input": f"What is {n // 2}?", "output": "That. " * 20, "accuracy": n % 2}
        for n in range(count)
    ]


def write_csv(folder, rows):
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return folder / "table.csv"


def judgements(count):
    """One row a judgement, and the two of a result as far from each other as can be."""
    return [
        {"id": f"case {n}", "output": "That. " * 20, "evaluator": evaluator, "score": n % 2}
        for evaluator in ("tone", "truth")
        for n in range(count // 2)
    ]


def promptfoo(folder, count):
    rows = [make_row(n) for n in reversed(range(count))]
    return write_json(folder, {**make_export(rows), "evalId": f"eval-{count}"})


def inspect(write, folder, count):
    header = make_header([make_score(scored=count, unscored=0, accuracy=1.0)], spec={"eval_id": f"eval-{count}"})
    return write(folder, [make_sample(n, messages=[]) for n in range(count)], header)


MAKERS = {
    "CSV": lambda folder, count: write_csv(folder, table_rows(count)),
    "a judgement a row": lambda folder, count: write_csv(folder, judgements(2 * count)),
    "a list": lambda folder, count: write_json(folder, table_rows(count)),
    "promptfoo": promptfoo,
    "Inspect": partial(inspect, write_log),
    "Inspect's zip": partial(inspect, write_eval),
}


def memory_of(path, project):
    """(bytes that Python holds when the last results are in, bytes more that it takes to count them)."""
    found = detect(path)
    columns = guess(Table(path, found).columns).as_json() if found.is_generic else None
    held = 0

    def progress(done, total):
        nonlocal held
        gc.collect()
        tracemalloc.reset_peak()
        held, _ = tracemalloc.get_traced_memory()

    tracemalloc.start()
    try:
        import_file(path, project, by=None, filename=path.name, mapping=columns, progress=progress)
        return held, tracemalloc.get_traced_memory()[1] - held
    finally:
        tracemalloc.stop()


@pytest.mark.django_db
@pytest.mark.parametrize("kind", MAKERS)
def test_the_memory_of_an_import_does_not_grow_with_its_file(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(storing, "BATCH", 200)
    project = make_project()
    memory_of(MAKERS[kind](tmp_path, 10), project)  # what is loaded once

    few = memory_of(MAKERS[kind](tmp_path, FEW), project)
    many = memory_of(MAKERS[kind](tmp_path, MANY), project)

    grown = [(more - less) / (MANY - FEW) for less, more in zip(few, many, strict=True)]
    allowed = FLAT_WITH_DIRECTORY if kind == "Inspect's zip" else FLAT
    assert max(grown) < allowed, f"a result more takes {grown} bytes more (until all are in, to count them)"
