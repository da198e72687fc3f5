from uuid import UUID, uuid4

import pytest
from django.db.models import F

from evalhub.database.prepared import Prepared
from runs.models import Case, Project
from tests.factories import make_case, make_project

pytestmark = pytest.mark.django_db


def test_the_sql_is_written_once_and_the_parameters_differ(django_assert_num_queries):
    built = []

    def build(project, name):
        built.append(name)
        return (
            Case.objects.filter(project=project, name=name).order_by("-number").values("number", of=F("project__name"))
        )

    cases = Prepared(build, UUID, str)
    project, other = make_project(name="A"), make_project(name="B")
    for name in ("x", "x", "y"):
        make_case(project, name=name)
    make_case(other, name="x")

    with django_assert_num_queries(3):
        answers = [cases(project.pk, "x"), cases(other.pk, "x"), cases(uuid4(), "x")]

    assert answers == [[{"number": 2, "of": "A"}, {"number": 1, "of": "A"}], [{"number": 1, "of": "B"}], []]
    assert len(built) == 1


def test_columns_are_converted_as_usual():
    project = make_project(metadata={"a": [1]}, tags=["x"])

    rows = Prepared(lambda pk: Project.objects.filter(pk=pk).values("metadata", "tags", "created_at"), UUID)(project.pk)

    assert rows == [{"metadata": {"a": [1]}, "tags": ["x"], "created_at": project.created_at}]


def test_a_query_that_changes_its_parameters_is_refused():
    searching = Prepared(lambda text: Project.objects.filter(name__contains=text).values("id"), str)

    with pytest.raises(AssertionError, match="do not reach the SQL"):
        searching("x")


def test_a_query_for_instances_gives_instances_and_leaves_out_what_it_defers(django_assert_num_queries):
    project = make_project(name="A", metadata={"a": 1})

    (found,) = Prepared(lambda pk: Project.objects.filter(pk=pk).defer("metadata"), UUID)(project.pk)

    assert (found, found.name, found.tags, found.created_at) == (project, "A", [], project.created_at)
    with django_assert_num_queries(1):
        assert found.metadata == {"a": 1}
