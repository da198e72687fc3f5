import pytest
from django.core.management import CommandError, call_command

from runs.models import Category, Prompt, TestRun
from tests.factories import (
    make_case,
    make_configuration,
    make_endpoint,
    make_evaluator,
    make_project,
    make_test_set,
)

pytestmark = pytest.mark.django_db


def test_a_run_is_launched_from_the_command_line(capsys):
    project = make_project()
    make_configuration(
        project, name="Nightly", external_id="nightly", endpoint=make_endpoint(project),
        test_set=make_test_set(project, cases=2),
    )  # fmt: skip

    call_command("launch", "nightly", "--repetitions", "2", "--branch", "main")

    run = TestRun.objects.get()
    assert (run.name, run.branch, run.planned_count, run.created_by) == ("Nightly", "main", 4, None)
    assert capsys.readouterr().out == f"Launched Nightly #1: 4 results. Its id is {run.pk}.\n"


def test_the_command_line_chooses_cases_and_evaluators():
    project = make_project()
    test_set = make_test_set(project, cases=2)
    configuration = make_configuration(
        project, external_id="nightly", endpoint=make_endpoint(project), test_set=test_set
    )
    make_configuration(make_project(), external_id="other")
    safety = Category.objects.create(organization=project.organization, name="Safety")
    prompt = Prompt.objects.create(organization=project.organization, content="How?")
    make_case(project, test_set, category=safety, prompt=prompt)
    make_case(project, test_set, category=safety)
    exact = make_evaluator(project, name="Exact", who="heuristic", definition={"heuristic": "exact"})
    length = make_evaluator(project, name="Length", who="heuristic", definition={"heuristic": "length"})

    call_command("launch", "nightly", "--category", "Safety", "--prompt", str(prompt.pk))
    call_command(
        "launch", "nightly", "--category", str(safety.pk), "--evaluator", "Exact", "--evaluator", str(length.pk)
    )

    one, two = TestRun.objects.filter(configuration=configuration).order_by("number")
    assert (one.planned_count, one.snapshot["filters"]["prompt"]["id"], one.snapshot["evaluators"]) == (
        1, str(prompt.pk), [],
    )  # fmt: skip
    assert (two.planned_count, [shot["name"] for shot in two.snapshot["evaluators"]]) == (2, [exact.name, length.name])


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--category", "Nothing", "There is no category 'Nothing'"),
        ("--evaluator", "Theirs", "There is no evaluator 'Theirs'"),
    ],
)
def test_the_command_line_says_what_it_cannot_find(option, value, said):
    project = make_project()
    make_configuration(
        project, external_id="nightly", endpoint=make_endpoint(project), test_set=make_test_set(project, cases=1)
    )
    make_evaluator(make_project(), name="Theirs")

    with pytest.raises(CommandError, match=said):
        call_command("launch", "nightly", option, value)
    assert TestRun.objects.count() == 0


@pytest.mark.parametrize(("ident", "said"), [("nobody", "no configuration with the id"), ("empty", "has no endpoint")])
def test_what_cannot_be_launched_is_said(ident, said):
    make_configuration(make_project(), external_id="empty")

    with pytest.raises(CommandError, match=said):
        call_command("launch", ident)
