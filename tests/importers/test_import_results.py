"""`manage.py import_results`."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from runs.models import Import, TestRun
from tests.factories import make_organization, make_project, make_user
from tests.importers.building import make_header, make_sample, make_score, write_eval, write_text

pytestmark = pytest.mark.django_db


def run_command(*arguments):
    out, err = StringIO(), StringIO()
    try:
        call_command("import_results", *map(str, arguments), stdout=out, stderr=err, no_color=True)
    except CommandError as error:
        return out.getvalue(), err.getvalue(), str(error)
    return out.getvalue(), err.getvalue(), ""


def test_files_go_into_the_project_and_their_totals_are_said(tmp_path):
    project = make_project(slug="bot")
    header = make_header([make_score(accuracy=1.0)], total=1)
    log = write_eval(tmp_path, [make_sample(1)], header)
    table = write_text(tmp_path, "input,output,tone\na,b,0.5\n")

    out, err, failure = run_command(log, table, "--project", "bot")

    assert out == (
        "log.eval: run #1, 1 sample, 1 scorer, match accuracy 1.000 as in the log.\n"
        "table.csv: run #2, 1 result, 1 evaluator.\n"
    )
    assert (err, failure) == ("", "")
    assert TestRun.objects.filter(project=project).count() == 2


def test_warnings_are_shown_below_their_file(tmp_path):
    make_project(slug="bot")
    header = make_header([make_score(accuracy=0.5)])

    out, _, _ = run_command(write_eval(tmp_path, [make_sample(1)], header), "--project", "bot")

    assert out.splitlines()[1] == "  match accuracy: the file says 0.5, and holds 1."


def test_a_file_that_cannot_be_imported_does_not_stop_the_others(tmp_path):
    make_project(slug="bot")
    bad = write_text(tmp_path, "<testsuites></testsuites>", "bad.xml")
    good = write_eval(tmp_path, [make_sample(1)])

    out, err, failure = run_command(bad, tmp_path / "gone.eval", good, "--project", "bot")

    assert err == "bad.xml: This is a JUnit file: not importable yet.\ngone.eval: there is no such file\n"
    assert out.startswith("log.eval: run #1")
    assert failure == "2 of 3 files could not be imported."


def test_a_table_is_read_by_the_mapping_that_is_given(tmp_path):
    make_project(slug="bot")
    table = write_text(tmp_path, "a,b\nx,0.5\n")
    mapping = write_text(tmp_path, json.dumps({"columns": {"a": "output", "b": "metadata"}}), "mapping.json")

    out, _, _ = run_command(table, "--project", "bot", "--mapping", mapping)

    assert out == "table.csv: run #1, 1 result, 0 evaluators.\n"


def test_the_guess_for_a_table_can_be_shown_and_nothing_is_imported(tmp_path):
    make_project(slug="bot")

    out, _, _ = run_command(write_text(tmp_path, "input,tone\na,0.5\n"), "--project", "bot", "--show-mapping")

    assert json.loads(out) == {
        "layout": "wide",
        "columns": {"input": {"role": "input"}, "tone": {"role": "score", "evaluator": "tone"}},
    }
    assert Import.objects.count() == 0


def test_a_project_of_several_organisations_needs_the_organisation(tmp_path):
    one, other = make_organization(slug="one"), make_organization(slug="other")
    make_project(one, slug="bot"), make_project(other, slug="bot")
    log = write_eval(tmp_path, [make_sample(1)])

    _, _, failure = run_command(log, "--project", "bot")
    run_command(log, "--project", "bot", "--organization", "other")

    assert failure == "Several organisations have a project bot: say --organization, one of one, other."
    assert TestRun.objects.get().organization == other


def test_what_does_not_exist_is_said(tmp_path):
    project = make_project(slug="bot")
    make_user(email="ann@example.com")
    log = write_eval(tmp_path, [make_sample(1)])

    said = [
        run_command(log, "--project", "nothing")[2],
        run_command(log, "--project", "bot", "--organization", "nobody")[2],
        run_command(log, "--project", "bot", "--by", "ann@example.com")[2],
        run_command(log, "--project", "bot", "--mapping", tmp_path / "gone.json")[2][:27],
    ]

    assert said == [
        "There is no project nothing. Projects are named by their slug.",
        "There is no organisation nobody.",
        f"ann@example.com is no member of {project.organization}.",
        "The mapping cannot be read:",
    ]


def test_the_member_who_imports_can_be_named(tmp_path):
    project = make_project(slug="bot")
    ann = make_user(project.organization, email="ann@example.com")

    run_command(write_eval(tmp_path, [make_sample(1)]), "--project", "bot", "--by", "Ann@example.com")

    assert TestRun.objects.get().created_by == ann
