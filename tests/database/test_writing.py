import pytest
from django.db import IntegrityError, transaction

from evalhub.database.writing import change, insert_row, insertion, update_rows, write
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


def test_writes_are_made_together(django_assert_num_queries):
    changed, unchanged = make_project(name="A"), make_project(name="B")
    new = Project(organization=changed.organization, name="100 % new", slug="new", metadata={"%s": "%"})
    counted = change(Project, [changed.pk], {"name": "C"}, {"last_run_number": 2})

    with django_assert_num_queries(1):
        write(insertion(new), counted)

    rows = Project.objects.order_by("name").values_list("name", "last_run_number", "metadata")
    assert list(rows) == [("100 % new", 0, {"%s": "%"}), (unchanged.name, 0, {}), ("C", 2, {})]


def test_of_writes_that_are_made_together_all_fail_where_one_does():
    project = make_project(name="A")
    again = Project(organization=project.organization, name="B", slug=project.slug)

    with pytest.raises(IntegrityError), transaction.atomic():
        write(change(Project, [project.pk], {"name": "C"}), insertion(again))

    assert list(Project.objects.values_list("name", flat=True)) == ["A"]
