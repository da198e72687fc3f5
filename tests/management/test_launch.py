import pytest
from django.core.management import CommandError, call_command

from runs.models import TestRun
from tests.factories import make_configuration, make_endpoint, make_project, make_test_set

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


@pytest.mark.parametrize(("ident", "said"), [("nobody", "no configuration with the id"), ("empty", "has no endpoint")])
def test_what_cannot_be_launched_is_said(ident, said):
    make_configuration(make_project(), external_id="empty")

    with pytest.raises(CommandError, match=said):
        call_command("launch", ident)
