"""The lists of projects, test sets, cases, evaluators, endpoints, configurations and saved views."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape

from evalhub.accounts.rights import Role
from runs.models import SavedView
from tests.factories import (
    make_actor,
    make_case,
    make_configuration,
    make_endpoint,
    make_evaluator,
    make_project,
    make_result,
    make_run,
    make_test_set,
)
from tests.runs.conftest import signed_in

pytestmark = pytest.mark.django_db

NOUNS = ("project", "test-set", "case", "evaluator", "endpoint", "configuration")


def make_rows(noun, organization, count, **fields):
    """So many rows, each with what its list counts and shows."""
    project = make_project(organization) if noun != "project" else None
    rows = []
    for _ in range(count):
        if noun == "project":
            row = make_project(organization, **fields)
            make_test_set(row)
            make_result(make_run(row))
        elif noun == "test-set":
            row = make_test_set(project, cases=2, **fields)
            make_configuration(project, test_set=row)
        elif noun == "case":
            row = make_case(project, make_test_set(project), **fields)
        elif noun == "evaluator":
            row = make_evaluator(project, **fields)
        elif noun == "endpoint":
            row = make_endpoint(project, **fields)
            make_configuration(project, endpoint=row)
        else:
            row = make_configuration(
                project, test_set=make_test_set(project), endpoint=make_endpoint(project), **fields
            )
            make_result(make_run(project, configuration=row))
        rows.append(row)
    return rows


def rows_in(response):
    return re.findall(r'data-row-id="([^"]+)"', response.content.decode())


def queries_for(client, url):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get(url).status_code == 200
    return len(queries)


@pytest.mark.parametrize("noun", NOUNS)
def test_a_list_asks_as_often_for_three_rows_as_for_one(as_lead, lead, noun):
    url = reverse(f"runs:{noun}-list")
    make_rows(noun, lead.organization, 1)
    as_lead.get(url)
    for_one = queries_for(as_lead, url)

    make_rows(noun, lead.organization, 2)

    assert queries_for(as_lead, url) == for_one


def test_saved_views_are_asked_for_at_once(as_lead, lead):
    url = reverse("runs:view-list")
    make_view(lead, name="One")
    for_one = queries_for(as_lead, url)

    make_view(lead, name="Two")
    make_view(make_actor(lead.organization), name="Three", shared=True)

    assert queries_for(as_lead, url) == for_one


def test_a_test_set_asks_as_often_for_three_cases_as_for_one(as_lead, lead):
    one, three = (make_test_set(make_project(lead.organization), cases=n) for n in (1, 3))

    counts = {queries_for(as_lead, reverse("runs:test-set-detail", args=[test_set.pk])) for test_set in (one, three)}

    assert len(counts) == 1


def test_a_project_asks_as_often_for_three_of_everything_as_for_one(as_lead, lead):
    counts = set()
    for number in (1, 3):
        project = make_project(lead.organization)
        for _ in range(number):
            make_test_set(project, cases=1)
            make_evaluator(project)
            make_endpoint(project)
            make_result(make_run(project, configuration=make_configuration(project)))
        counts.add(queries_for(as_lead, reverse("runs:project-detail", args=[project.pk])))

    assert len(counts) == 1


@pytest.mark.parametrize("noun", NOUNS)
def test_a_list_shows_its_organisation_only(as_lead, lead, noun):
    mine = make_rows(noun, lead.organization, 2, name="Canary mine")
    make_rows(noun, make_actor().organization, 1, name="Canary theirs")

    response = as_lead.get(reverse(f"runs:{noun}-list"), {"q": "canary"})

    assert sorted(rows_in(response)) == sorted(str(row.pk) for row in mine)


@pytest.mark.parametrize("noun", NOUNS)
def test_an_empty_list_says_what_belongs_into_it(as_lead, noun):
    response = as_lead.get(reverse(f"runs:{noun}-list"))

    assert (response.status_code, rows_in(response)) == (200, [])
    assert "yet</h2>" in response.content.decode()


@pytest.mark.parametrize("noun", NOUNS)
def test_archived_rows_have_a_list_of_their_own(as_lead, lead, noun):
    kept, gone = make_rows(noun, lead.organization, 2)
    gone.archive()
    url = reverse(f"runs:{noun}-list")

    lists = [rows_in(as_lead.get(url, {"q": "", **query})) for query in ({}, {"archived": "true"})]

    assert str(gone.pk) not in lists[0]
    assert str(kept.pk) in lists[0]
    assert lists[1] == [str(gone.pk)]


def test_a_list_is_read_in_pages(as_lead, lead):
    project = make_project(lead.organization)
    for n in range(55):
        make_endpoint(project, name=f"Endpoint {n:02}")
    url = reverse("runs:endpoint-list")

    first = as_lead.get(url)
    cursor = re.search(r'href="(\?cursor=[^"]+)" rel="next"', first.content.decode()).group(1)
    second = as_lead.get(f"{url}{cursor}")

    assert (len(rows_in(first)), len(rows_in(second))) == (50, 5)
    assert not {*rows_in(first)} & {*rows_in(second)}


def test_a_damaged_cursor_is_refused(as_lead, lead):
    assert as_lead.get(reverse("runs:endpoint-list"), {"cursor": "nonsense"}).status_code == 400


@pytest.mark.parametrize("sort", ["name", "-name", "changed", "-changed", "nonsense", "owner__password"])
def test_a_list_is_sorted_by_what_it_offers_only(as_lead, lead, sort):
    make_rows("evaluator", lead.organization, 3)

    response = as_lead.get(reverse("runs:evaluator-list"), {"sort": sort})

    assert (response.status_code, len(rows_in(response))) == (200, 3)


@pytest.mark.parametrize("noun", NOUNS)
@pytest.mark.parametrize("word", ["\0", "%", "_", "\\", "'", "\ud7ff\U0001f600", "x" * 5000])
def test_a_search_for_odd_characters_finds_nothing_and_breaks_nothing(as_lead, lead, noun, word):
    make_rows(noun, lead.organization, 1)

    assert as_lead.get(reverse(f"runs:{noun}-list"), {"q": word}).status_code == 200


def test_a_search_takes_no_sign_as_a_wildcard(as_lead, lead):
    project = make_project(lead.organization)
    wanted = make_endpoint(project, name="100 % bot")
    make_endpoint(project, name="1000 bots")

    assert rows_in(as_lead.get(reverse("runs:endpoint-list"), {"q": "0 %"})) == [str(wanted.pk)]


def test_cases_are_found_by_what_they_ask_and_expect(as_lead, lead):
    project = make_project(lead.organization)
    refund = make_case(project, name="A", inputs={"question": "Where is my refund?", "tier": "gold"})
    parcel = make_case(project, name="B", inputs={"input": "Hi"}, expected={"facts": ["asks for the parcel number"]})
    url = reverse("runs:case-list")

    found = [rows_in(as_lead.get(url, {"q": q})) for q in ("REFUND", "gold", "parcel number", "#2", "question", "tier")]

    assert found == [[str(refund.pk)], [str(refund.pk)], [str(parcel.pk)], [str(parcel.pk)], [], []]


def test_a_list_is_narrowed_to_a_project(as_lead, lead):
    here, there = make_project(lead.organization), make_project(lead.organization)
    wanted = make_test_set(here)
    make_test_set(there)
    url = reverse("runs:test-set-list")

    by_slug, by_id = (rows_in(as_lead.get(url, {"project": name})) for name in (here.slug, here.pk))

    assert by_slug == by_id == [str(wanted.pk)]


def test_the_session_remembers_the_project_until_told_otherwise(as_lead, lead):
    here, there = make_project(lead.organization), make_project(lead.organization)
    mine, other = make_endpoint(here), make_endpoint(there)
    endpoints, test_sets = reverse("runs:endpoint-list"), reverse("runs:test-set-list")

    as_lead.get(test_sets, {"project": here.slug})
    remembered = rows_in(as_lead.get(endpoints))
    everything = rows_in(as_lead.get(endpoints, {"project": ""}))
    afterwards = rows_in(as_lead.get(endpoints))

    assert remembered == [str(mine.pk)]
    assert sorted(everything) == sorted(afterwards) == sorted([str(mine.pk), str(other.pk)])


def test_a_project_of_strangers_is_neither_shown_nor_remembered(as_lead, lead):
    theirs = make_project(name="Canary")
    make_endpoint(theirs)
    mine = make_endpoint(make_project(lead.organization))
    url = reverse("runs:endpoint-list")

    asked = as_lead.get(url, {"project": theirs.slug})

    assert rows_in(asked) == []
    assert "Canary" not in asked.content.decode()
    assert rows_in(as_lead.get(url)) == [str(mine.pk)]


def test_the_rail_offers_the_projects_in_use(as_lead, lead):
    shown = make_project(lead.organization, name="Shown")
    make_project(lead.organization, name="Hidden").archive()
    make_project(name="Theirs")

    page = as_lead.get(reverse("runs:evaluator-list")).content.decode()

    assert f"/evaluators/?project={shown.slug}" in page
    assert not re.search("Hidden|Theirs", page)


def test_evaluators_are_narrowed_by_who_judges(as_lead, lead):
    project = make_project(lead.organization)
    human, ai = make_evaluator(project, who="human"), make_evaluator(project, who="ai")
    make_evaluator(project, who="heuristic")

    found = rows_in(as_lead.get(reverse("runs:evaluator-list"), {"who": ["human", "ai"]}))

    assert sorted(found) == sorted([str(human.pk), str(ai.pk)])


def test_a_viewer_reads_lists_without_ways_to_change_them(lead):
    viewer = signed_in(make_actor(lead.organization, Role.VIEWER))
    for noun in NOUNS:
        make_rows(noun, lead.organization, 1)

        page = viewer.get(reverse(f"runs:{noun}-list")).content.decode()

        assert "data-row-id" in page
        assert not re.search(r'href="[^"]*/new/|data-bulkbar', page), noun


@pytest.mark.parametrize("noun", NOUNS)
def test_names_are_text_and_nothing_else(as_lead, lead, noun):
    hostile = "<img src=x onerror=alert(1)>{{ 7|add:7 }}"
    (row,) = make_rows(noun, lead.organization, 1, name=hostile)

    pages = [as_lead.get(reverse(f"runs:{noun}-list")), as_lead.get(reverse(f"runs:{noun}-detail", args=[row.pk]))]

    for page in pages:
        assert escape(hostile) in page.content.decode()
        assert "<img" not in page.content.decode()


def make_view(actor, **fields):
    values = {"page": "runs", "name": "Nightly", "query": "status=failed", **fields}
    return SavedView.objects.create(organization=actor.organization, user=actor.user, **values)
