from datetime import timedelta

import pytest
from django.utils import timezone

from runs.filters import RunFilter
from runs.listing import count_by_status, rates_until, read_runs
from runs.models import TestRun
from tests.factories import (
    make_actor,
    make_configuration,
    make_endpoint,
    make_organization,
    make_project,
    make_results,
    make_run,
    make_test_set,
    make_user,
)

pytestmark = pytest.mark.django_db


def found(actor, **query):
    runs = RunFilter(query, TestRun.objects.visible_to(actor).listed(), actor=actor)
    assert runs.is_valid(), runs.errors
    return [row["name"] for row in read_runs(runs).rows]


def test_without_filters_the_newest_run_comes_first():
    actor = make_actor()
    project = make_project(actor.organization)
    for name in ("first", "second", "third"):
        make_run(project, name=name)

    assert found(actor) == ["third", "second", "first"]


def test_archived_runs_appear_only_where_they_are_asked_for():
    actor = make_actor()
    project = make_project(actor.organization)
    make_run(project, name="kept")
    make_run(project, name="put away").archive()

    assert found(actor) == ["kept"]
    assert found(actor, archived="true") == ["put away"]


def test_what_a_form_leaves_empty_asks_for_nothing():
    actor = make_actor()
    make_run(make_project(actor.organization), name="any")

    assert found(actor, **dict.fromkeys(RunFilter.base_filters, "")) == ["any"]
    assert found(actor, status=["", "failed"]) == []


def test_search_knows_name_number_branch_commit_tag_and_id():
    actor = make_actor()
    project = make_project(actor.organization)
    run = make_run(
        project, name="Nightly 100 %", branch="release/4.2", commit="9f3a2c1", tags=["weekly"], external_id="run-123"
    )
    make_run(project, name="Other", branch="main", commit="c81e07d")

    for text in (
        "nightly",
        "100 %",
        "RELEASE",
        "9f3a",
        "weekly",
        "run-123",
        f"#{run.number}",
        str(run.number),
        str(run.pk).upper(),
    ):
        assert found(actor, q=text) == ["Nightly 100 %"], text
    assert found(actor, q="100_%") == []


def test_in_progress_is_queued_or_running():
    actor = make_actor()
    project = make_project(actor.organization)
    for status in TestRun.Status.values:
        make_run(project, name=status, status=status)

    assert sorted(found(actor, status="active")) == ["queued", "running"]
    assert sorted(found(actor, status=["failed", "partial"])) == ["failed", "partial"]


def test_a_project_is_named_by_id_or_slug():
    actor = make_actor()
    project = make_project(actor.organization, slug="support-bot", external_id="p-1")
    make_run(project, name="mine")
    make_run(make_project(actor.organization), name="another's")

    for word in ("support-bot", "p-1", str(project.pk)):
        assert found(actor, project=word) == ["mine"], word


def test_what_another_organisation_has_finds_nothing_like_what_nobody_has():
    actor, stranger = make_actor(), make_actor()
    theirs = make_run(make_project(stranger.organization), name="theirs")
    make_run(make_project(actor.organization), name="mine")

    assert found(actor, project=str(theirs.project_id)) == []
    assert found(actor, project="no such thing") == []
    assert found(actor, q=str(theirs.pk)) == []


def test_runs_are_found_by_endpoint_and_test_set_of_their_configuration():
    actor = make_actor()
    project = make_project(actor.organization)
    endpoint, test_set = make_endpoint(project), make_test_set(project)
    configuration = make_configuration(project, endpoint=endpoint, test_set=test_set)
    make_run(project, name="configured", configuration=configuration)
    make_run(project, name="plain")

    for query in ({"endpoint": endpoint.pk}, {"test_set": test_set.pk}, {"configuration": configuration.pk}):
        assert found(actor, **query) == ["configured"], query


def test_people_are_named_by_id_address_or_me():
    actor = make_actor()
    other = make_user(actor.organization)
    project = make_project(actor.organization)
    make_run(project, name="mine", by=actor.user)
    make_run(project, name="hers", by=other, assignee=actor.user)

    assert found(actor, created_by="me") == ["mine"]
    assert found(actor, owner=str(other.pk)) == ["hers"]
    assert found(actor, assignee="me") == ["hers"]
    assert found(actor, owner="nobody") == []
    assert found(actor, owner=other.email.upper()) == ["hers"]
    assert found(actor, owner=make_user().email) == []


def test_the_pass_rate_has_bounds_and_an_order():
    actor = make_actor()
    project = make_project(actor.organization)
    for name, passed, failed in (("poor", 1, 3), ("good", 3, 1), ("empty", 0, 0)):
        make_results(make_run(project, name=name), passed, failed)

    assert found(actor, pass_rate_max="0.5") == ["poor"]
    assert found(actor, pass_rate_min="0.5") == ["good"]
    assert found(actor, sort="-pass_rate") == ["good", "poor", "empty"]
    assert found(actor, sort="pass_rate") == ["poor", "good", "empty"]


def test_names_sort_without_case():
    actor = make_actor()
    project = make_project(actor.organization)
    for name in ("banana", "Cherry", "apple"):
        make_run(project, name=name)

    assert found(actor, sort="name") == ["apple", "banana", "Cherry"]


def test_dates_are_days_or_times():
    actor = make_actor()
    project = make_project(actor.organization)
    old, new = make_run(project, name="old"), make_run(project, name="new")
    now = timezone.now()
    TestRun.objects.filter(pk=old.pk).update(created_at=now - timedelta(days=10))

    assert found(actor, created_after=(now - timedelta(days=2)).date().isoformat()) == [new.name]
    assert found(actor, created_before=(now - timedelta(days=2)).isoformat()) == [old.name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "done"),
        ("sort", "project__organization__name"),
        ("q", "a\0b"),
        ("tag", "a\0b"),
        ("pass_rate_min", "NaN"),
        ("created_after", "yesterday"),
    ],
)
def test_what_makes_no_sense_is_an_error_of_its_field(name, value):
    actor = make_actor()

    runs = RunFilter({name: value}, TestRun.objects.visible_to(actor), actor=actor)

    assert not runs.is_valid()
    assert list(runs.errors) == [name]
    assert list(runs.qs) == []


def test_chips_say_what_is_on_and_how_to_be_without_it():
    actor = make_actor()
    project = make_project(actor.organization, name="Support bot", slug="support-bot")
    query = RunFilter({"project": "support-bot", "status": ["failed", "partial"], "sort": "name"}, actor=actor)
    assert query.queryset.model is TestRun
    make_run(project)

    chips = query.chips(query.data)

    assert [(chip.key, chip.value, chip.remove_url) for chip in chips] == [
        ("Status", "Failed, Partial", "?project=support-bot&sort=name"),
        ("Project", "Support bot", "?status=failed&status=partial&sort=name&project="),
    ]


def test_chips_are_written_for_people():
    query = RunFilter({"created_after": "2025-01-05", "archived": "true"}, actor=make_actor())

    chips = query.chips(query.data)

    assert [(chip.key, chip.value) for chip in chips] == [("Created from", "5 Jan 2025"), ("Archived", "only")]


def test_segments_count_what_they_would_show():
    actor = make_actor()
    project = make_project(actor.organization)
    for status in ("running", "queued", "completed", "completed", "failed"):
        make_run(project, name=f"nightly {status}", status=status)
    make_run(project, name="other", status="completed")
    query = RunFilter({"status": "failed", "q": "nightly"}, TestRun.objects.visible_to(actor), actor=actor)

    counts = count_by_status(query)

    assert counts == {"running": 1, "queued": 1, "completed": 2, "failed": 1, "active": 2, "all": 5}


def test_sparklines_end_with_the_run_itself():
    organization = make_organization()
    project = make_project(organization)
    runs = []
    for passed in (1, 2, 3):
        run = make_run(project)
        make_results(run, passed, 4 - passed)
        runs.append(run)
    other = make_run(make_project(organization))
    make_results(other, 4)

    rates = rates_until([runs[1].pk, runs[2].pk, other.pk])

    assert rates == {runs[1].pk: [0.25, 0.5], runs[2].pk: [0.25, 0.5, 0.75], other.pk: [1.0]}


def test_sparklines_of_many_runs_are_one_query(django_assert_num_queries):
    project = make_project()
    runs = [make_run(project) for _ in range(3)]

    with django_assert_num_queries(1):
        rates_until([run.pk for run in runs])


def test_pages_go_on_where_the_last_one_ended():
    actor = make_actor()
    project = make_project(actor.organization)
    for n in range(5):
        make_run(project, name=f"run {n}")
    query = RunFilter({}, TestRun.objects.visible_to(actor), actor=actor)

    first = read_runs(query, size=2)
    second = read_runs(query, size=2, cursor=first.next)

    assert [row["name"] for row in first.rows + second.rows] == ["run 4", "run 3", "run 2", "run 1"]
    assert (second.first, second.last) == (3, 4)
