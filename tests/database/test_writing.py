import pytest

from evalhub.database.writing import insert_row, update_rows
from runs.models import Project
from tests.factories import make_organization, make_project

pytestmark = pytest.mark.django_db


def test_an_inserted_row_is_the_one_that_save_would_have_kept(django_assert_num_queries):
    project = Project(organization=make_organization(), name="A", slug="a", tags=["x"], metadata={"a": [1]})

    with django_assert_num_queries(1):
        insert_row(project)

    kept = Project.objects.get(pk=project.pk)
    assert (kept.name, kept.tags, kept.metadata, kept.created_at) == ("A", ["x"], {"a": [1]}, project.created_at)
    project.save()  # an update, for the row is known to be there
    assert Project.objects.count() == 1


def test_updated_rows_are_those_that_were_named_and_only_their_named_columns(django_assert_num_queries):
    first, second, other = (make_project(name=name) for name in "ABC")

    with django_assert_num_queries(1):
        update_rows(Project, [first.pk, second.pk], {"name": "New", "metadata": {"a": [1]}})

    named = Project.objects.order_by("created_at").values_list("name", "slug", "metadata")
    assert list(named) == [
        ("New", first.slug, {"a": [1]}),
        ("New", second.slug, {"a": [1]}),
        ("C", other.slug, {}),
    ]
