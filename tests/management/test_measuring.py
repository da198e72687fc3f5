"""The benchmark and the load drill, small: that they run, check what they time, and clean up after themselves."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from evalhub.benchmark.drilling import Person, drill
from evalhub.benchmark.serving import Site


@pytest.fixture
def folder(settings, tmp_path):
    settings.VAR_DIR = tmp_path
    return tmp_path


def test_the_benchmark_measures_every_row_and_leaves_nothing_but_its_figures(folder):
    said = StringIO()

    call_command("benchmark", size=4_000, rounds=1, stdout=said, stderr=StringIO())

    measured = json.loads((folder / "benchmark.json").read_text())
    assert (measured["size"], [path.name for path in folder.iterdir()]) == (4_000, ["benchmark.json"])
    assert {figure["name"] for figure in measured["figures"]} == {
        "start to 200 on /runs/",
        "idle memory, 2 workers",
        "runs list, API",
        "runs list, page",
        "results by score, API",
        "results by score, deep page",
        "results by score, page",
        "one result, expanded",
        "numbers per evaluator",
        "test result for Gentrace",
        "admin, results",
        "admin, evaluations",
        "admin, cases",
        "batch ingest, 1 client",
        "memory after ingest",
        "import, peak memory",
        "reviews, 1 client",
        "reviews, 8 clients",
        "installation",
        "first view, gzip",
        "drawer, click to paint",
        "j held, last press to paint",
        "layout shift",
    }
    assert "results by score, deep page" in said.getvalue()


def test_reviewers_at_work_while_files_come_in_lose_nothing(folder):
    said = StringIO()

    call_command("drill_load", reviewers=6, seconds=12, imports=1, size=400, stdout=said, stderr=StringIO())

    lines = said.getvalue().splitlines()
    assert lines[-2].endswith("stored = counted.")
    assert lines[-1].endswith("reviews kept, 0 errors")
    assert not lines[-1].startswith("0 ")
    assert list(folder.iterdir()) == []


def test_a_row_that_does_not_exist_is_told_before_anything_is_loaded(folder):
    with pytest.raises(CommandError, match=r"No row is named nonsense\. There are: start to 200"):
        call_command("benchmark", only=["nonsense"], stdout=StringIO(), stderr=StringIO())

    assert list(folder.iterdir()) == []


def test_a_drill_tells_of_a_server_that_does_not_answer_and_of_files_that_do_not_come_in(tmp_path):
    site = Site("nothing there", tmp_path, port=1)
    site.environment["DATABASE_URL"] = "postgres://nobody@127.0.0.1:1/nothing"
    person = Person("token", "session", [("assignment", "result")])

    log = drill(site, [person], seconds=6, imports=1)

    assert {error.split(":")[0] for error in log.errors} == {"read_page", "import"}
    assert (log.pages, log.submits, log.imported) == ([], [], [])
