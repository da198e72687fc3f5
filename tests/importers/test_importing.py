"""What holds for files of every format: once, whole or not at all, and told as it goes."""

import threading

import pytest
from django.db import connection

from evalhub.importers import progress as progress_module
from evalhub.importers import storing
from evalhub.importers.importing import begin, import_file
from evalhub.importers.problems import ImportProblem
from results.models import Evaluation, TestResult
from results.recounting import recount
from results.reviewing import submit_review
from runs.models import Case, Evaluator, Import, TestConfiguration, TestRun, TestSet
from tests.factories import make_organization, make_project, make_user
from tests.importers.building import (
    bring_in,
    make_component,
    make_export,
    make_header,
    make_row,
    make_sample,
    write_eval,
    write_json,
    write_log,
    write_text,
)

pytestmark = pytest.mark.django_db


def outcomes(run):
    return list(TestResult.objects.filter(run=run).order_by("case__name").values_list("name", "outcome"))


# --- once -------------------------------------------------------------------------------------------------------------


def test_the_same_file_twice_changes_nothing(tmp_path):
    project, path = make_project(), write_eval(tmp_path, [make_sample(1)])
    first = bring_in(path, project)
    before = TestRun.objects.values().get()

    second = bring_in(path, project)

    assert (second.what, second.message) == ("unchanged", "Imported before as run #1: nothing changed.")
    assert TestRun.objects.values().get() == before
    assert (second.run, project.cases.count(), TestResult.objects.count()) == (first.run, 1, 1)


def test_a_later_state_of_a_run_updates_it(tmp_path):
    project = make_project()
    first = bring_in(write_eval(tmp_path, [make_sample(1)], killed=True), project)
    header = make_header(total=3)

    second = bring_in(write_eval(tmp_path, [make_sample(1), make_sample(2), make_sample(3)], header), project)

    assert (second.run, second.what, second.run.status) == (first.run, "updated", "completed")
    assert second.message == "Run #1 brought up to date: 3 samples, 1 scorer, all 2 totals as in the file."
    assert (second.run.result_count, second.run.warnings) == (3, [])
    assert recount(second.run.pk, repair=False) == []


def test_an_earlier_state_of_a_run_changes_nothing(tmp_path):
    project = make_project()
    bring_in(write_eval(tmp_path, [make_sample(1), make_sample(2)]), project)

    late = bring_in(write_eval(tmp_path, [make_sample(1)], killed=True), project)

    assert late.message == "An earlier state of run #1, which holds more already: nothing changed."
    assert (late.run.status, late.run.result_count) == ("completed", 2)


def test_results_that_a_later_state_tells_otherwise_are_replaced(tmp_path):
    project = make_project()
    failed = make_row(1, success=False, failureReason=2, gradingResult=None, error="timeout")
    bring_in(write_json(tmp_path, make_export([make_row(0), failed])), project)

    later = bring_in(write_json(tmp_path, make_export([make_row(0), make_row(1)])), project)

    assert outcomes(later.run) == [("Ann 0", "passed"), ("Ann 1", "passed")]
    assert (later.run.passed, later.run.errors, later.run.status) == (2, 0, "completed")
    assert recount(later.run.pk, repair=False) == []


def test_a_later_state_of_repeated_tests_finds_each_repetition_again(tmp_path):
    project = make_project()
    rows = [make_row(n, variables={"name": "Ann"}, response={"output": str(n)}) for n in range(450)]
    first = bring_in(write_json(tmp_path, make_export(rows)), project)
    kept = set(TestResult.objects.filter(run=first.run).exclude(repetition__in=(2, 401)).values_list("pk", flat=True))
    for n in (1, 400):
        rows[n] = make_row(n, variables={"name": "Ann"}, response={"output": "new"})

    later = bring_in(write_json(tmp_path, make_export([*rows, make_row(450, variables={"name": "Ann"})])), project)

    results = TestResult.objects.filter(run=later.run, deleted_at__isnull=True)
    assert list(results.order_by("repetition").values_list("repetition", flat=True)) == list(range(1, 452))
    assert list(results.exclude(pk__in=kept).order_by("repetition").values_list("repetition", "output__output")) == [
        (2, "new"),
        (401, "new"),
        (451, "Hello"),
    ]
    assert recount(later.run.pk, repair=False) == []


def test_results_that_people_work_on_are_not_replaced(tmp_path):
    project = make_project()
    wrong = make_row(0, success=False, components=[make_component("contains", 0)])
    first = bring_in(write_json(tmp_path, make_export([wrong])), project)
    (result,) = TestResult.objects.filter(run=first.run)
    submit_review(result, by=make_user(project.organization), verdict="passed")

    later = bring_in(write_json(tmp_path, make_export([make_row(0), make_row(1)])), project)

    assert outcomes(later.run) == [("Ann 0", "passed"), ("Ann 1", "passed")]
    assert (TestResult.objects.get(pk=result.pk).machine_outcome, later.run.result_count) == ("failed", 2)
    assert "1 result differs in the file now, and stays as it is: people work on it." in later.run.warnings


def test_edits_made_since_the_first_import_arrive_with_the_second(tmp_path):
    project = make_project()
    bring_in(write_log(tmp_path, [make_sample(1, scores={"match": {"value": "I"}})]), project)
    history = [{"value": "I"}, {"value": "C", "provenance": {"author": "ann", "timestamp": "2026-05-02T09:00:00Z"}}]

    later = bring_in(
        write_log(tmp_path, [make_sample(1, scores={"match": {"value": "C", "history": history}})]), project
    )

    assert outcomes(later.run) == [("arithmetic #1", "passed")]
    assert later.run.corrected == 1


def test_a_run_of_another_project_is_not_taken(tmp_path):
    organization = make_organization()
    path = write_eval(tmp_path, [make_sample(1)])
    bring_in(path, make_project(organization, name="First"))

    with pytest.raises(ImportProblem, match=r"This run is in another project already: First, run #1\."):
        bring_in(path, make_project(organization))


def test_two_organisations_import_the_same_file_each_for_itself(tmp_path):
    path = write_eval(tmp_path, [make_sample(1)])

    one, other = bring_in(path), bring_in(path)

    assert one.run != other.run
    assert (one.what, other.what) == ("new", "new")
    assert [project.cases.count() for project in (one.run.project, other.run.project)] == [1, 1]


def test_a_deleted_run_comes_in_anew(tmp_path):
    project, path = make_project(), write_eval(tmp_path, [make_sample(1)])
    bring_in(path, project).run.mark_deleted()

    again = bring_in(path, project)

    assert (again.what, again.run.number) == ("new", 2)


# --- whole or not at all ----------------------------------------------------------------------------------------------


def broken_files(folder):
    deep = "x"
    for _ in range(150):
        deep = [deep]
    good = [make_sample(n) for n in range(300)]
    cut = write_eval(folder, good, name="cut.eval")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    half = write_json(folder, {**make_header(), "samples": good}, "half.json")
    half.write_text(half.read_text()[:-500])
    return {
        "cut.eval": (cut, "The zip file is cut off: its directory, which is at its end, is missing."),
        "half.json": (half, "The file is cut off in sample 300: its list does not end."),
        "no_id.eval": (
            write_log_of(folder, [*good, {"input": "?"}], "no_id.json"),
            "Sample 301 is not a sample (it has no id)",
        ),
        "deep.json": (
            write_log_of(folder, [*good, make_sample(300, metadata={"x": deep})], "deep.json"),
            "Result 301 (arithmetic #300) is nested too deeply",
        ),
        "no_task.json": (
            write_json(folder, {"version": 2, "status": "success", "eval": {}, "samples": good}, "no_task.json"),
            "The log does not say which task it is about (eval.task is missing).",
        ),
        "rows.json": (
            write_json(folder, make_export([make_row(0), "row"]), "rows.json"),
            "Result 2 is not an object",
        ),
        "page.html": (write_text(folder, "<html></html>", "page.html"), "This is an XML or HTML file (html)"),
    }


def write_log_of(folder, samples, name):
    return write_json(folder, {**make_header(), "samples": samples}, name)


def test_of_a_broken_file_nothing_is_imported_and_the_place_is_said(tmp_path):
    project = make_project()
    said = {}

    for name, (path, _) in broken_files(tmp_path).items():
        with pytest.raises(ImportProblem) as caught:
            import_file(path, project, by=None, filename=name)
        said[name] = str(caught.value)

    expected = {name: message for name, (_, message) in broken_files(tmp_path).items()}
    assert {name: message[: len(expected[name])] for name, message in said.items()} == expected
    rows = [model.objects.count() for model in (TestRun, TestResult, Case, Evaluator, TestSet, TestConfiguration)]
    assert rows == [0] * 6
    assert project.last_run_number == 0
    entry = Import.objects.get(filename="no_id.eval")
    assert (entry.state, entry.message, entry.run) == (
        "failed",
        "Sample 301 is not a sample (it has no id). Nothing was imported.",
        None,
    )


def test_a_fault_of_our_own_leaves_nothing_behind_either(tmp_path, monkeypatch):
    def fails(*args, **options):
        raise ZeroDivisionError

    monkeypatch.setattr("evalhub.importers.storing.count_imported", fails)

    with pytest.raises(ZeroDivisionError):
        bring_in(write_eval(tmp_path, [make_sample(1)]))

    assert (TestRun.objects.count(), TestResult.objects.count()) == (0, 0)
    assert Import.objects.get().message == "EvalHub failed while it read this file. Nothing was imported."


# --- told -------------------------------------------------------------------------------------------------------------


def test_the_import_row_says_what_came_of_it(tmp_path):
    project = make_project()
    ann = make_user(project.organization)
    path = write_eval(tmp_path, [make_sample(1)], make_header(total=1))

    report = import_file(path, project, by=ann, filename="log.eval")

    entry = Import.objects.get()
    (one,) = report.runs
    assert (entry.state, entry.format, entry.created_by, entry.run, entry.size) == (
        "done",
        "inspect-eval",
        ann,
        one.run,
        path.stat().st_size,
    )
    assert (entry.done, entry.total, entry.message) == (1, 1, "1 sample, 1 scorer, all 2 totals as in the file.")
    assert entry.report["runs"][0]["checks"][0] == {"name": "samples", "declared": 1.0, "imported": 1, "agrees": True}
    assert (one.run.created_by, one.run.external_id) == (ann, "inspect-eval-1")
    assert entry.finished_at >= entry.started_at


def test_progress_is_told_batch_by_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(storing, "BATCH", 200)
    told = []

    bring_in(write_eval(tmp_path, [make_sample(n) for n in range(450)]), progress=lambda *at: told.append(at))

    assert told == [(200, 450), (400, 450), (450, 450)]


def test_heavy_records_come_in_small_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(storing, "HEAVIEST", 6_000)
    told = []
    log = write_eval(tmp_path, [make_sample(n, input="why " * 150) for n in range(5)])

    bring_in(log, progress=lambda *at: told.append(at))

    assert told == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.django_db(transaction=True)
def test_others_see_the_progress_while_the_import_is_open(tmp_path, monkeypatch):
    monkeypatch.setattr(progress_module, "EVERY", 0)
    monkeypatch.setattr(storing, "BATCH", 200)
    project = make_project()
    entry = begin(project, by=None, filename="log.eval")
    seen = []

    def look(done, total):
        if done < total:  # the first batch is written when the second is told
            return
        watcher = threading.Thread(target=lambda: (seen.append(watched(entry)), connection.close()))
        watcher.start()
        watcher.join()

    import_file(
        write_eval(tmp_path, [make_sample(n) for n in range(300)]),
        project,
        by=None,
        filename="log.eval",
        entry=entry,
        progress=look,
    )

    assert seen == [("running", 200, 300, 0)]
    assert watched(entry) == ("done", 300, 300, 300)


def watched(entry):
    row = Import.objects.get(pk=entry.pk)
    return (row.state, row.done, row.total, TestResult.objects.count())


@pytest.mark.django_db(transaction=True)
def test_two_imports_of_one_file_at_once_make_one_run(tmp_path):
    project, path = make_project(), write_eval(tmp_path, [make_sample(n) for n in range(20)])
    said, start = [], threading.Barrier(2)

    def import_it():
        start.wait()
        try:
            said.append(import_file(path, project, by=None, filename="log.eval").runs[0].what)
        finally:
            connection.close()

    threads = [threading.Thread(target=import_it) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(said) == ["new", "unchanged"]
    assert TestResult.objects.count() == 20


# --- limits of names --------------------------------------------------------------------------------------------------


def test_names_longer_than_their_columns_are_cut_and_stay_apart(tmp_path):
    long = "s" * 250
    scores = {f"{long}1": {"value": 1}, f"{long}2": {"value": 0}, "": {"value": 1}}
    header = make_header(tags=["t" * 100], spec={"model": "m" * 400, "task": "k" * 400})

    one = bring_in(write_log(tmp_path, [make_sample(1, scores=scores)], header))

    names = sorted(Evaluation.objects.filter(run=one.run).values_list("evaluator__name", flat=True))
    assert (len(names), names[2], {len(name) for name in names[:2]}) == (3, "unnamed", {200})
    assert (len(one.run.name), len(one.run.model), one.run.tags) == (300, 300, ["t" * 80])


def test_a_run_id_of_any_length_finds_its_run_again(tmp_path):
    project, header = make_project(), make_header(spec={"eval_id": "e" * 5000})
    first = bring_in(write_log(tmp_path, [make_sample(1)], header), project)

    second = bring_in(write_log(tmp_path, [make_sample(1), make_sample(2)], header), project)

    assert second.run == first.run
    assert len(first.run.external_id) < 100
