"""The list of a project's production calls."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from evalhub.accounts.rights import Role
from results.feedback import give_feedback
from results.models import TestResult
from results.recording import record_results
from results.records import ResultRecord
from runs.models import Project
from tests.factories import make_actor, make_project, make_result, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def lead() -> Any:
    return make_actor()


@pytest.fixture
def client(lead: Any) -> Client:
    client = Client()
    client.force_login(lead.user)
    return client


def make_calls(project: Project, *asks: str, error: str = "") -> list[TestResult]:
    now = timezone.now()
    run = project.runs.filter(kind="production").first() or make_run(
        project, kind="production", day=now.date(), status="completed"
    )
    records = [ResultRecord(inputs={"input": ask}, output={"output": f"To {ask}"}, error=error) for ask in asks]
    recorded = record_results(run, records, via="gentrace")
    return list(TestResult.objects.filter(pk__in=[one.id for one in recorded]).order_by("position"))


def page_of(client: Client, project: Project, query: str = "") -> str:
    answer = client.get(reverse("results:production-list", args=[project.pk]) + query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_calls_are_listed_with_what_users_said(client: Client, lead: Any) -> None:
    project = make_project(lead.organization)
    first, _ = make_calls(project, "where is my order", "who are you")
    give_feedback(first, by=lead, score=0.25, recorded_at=timezone.now(), details="That <b>was</b> no answer.")

    page = page_of(client, project)

    assert page.index("who are you") < page.index("where is my order")
    assert "That &lt;b&gt;was&lt;/b&gt; no answer." in page
    assert reverse("results:result-detail", args=[first.pk]) in page
    assert "0.25" in client.get(reverse("results:result-detail", args=[first.pk])).content.decode()


def test_calls_can_be_narrowed_to_feedback_and_errors(client: Client, lead: Any) -> None:
    project = make_project(lead.organization)
    said, _ = make_calls(project, "alpha", "beta")
    make_calls(project, "gamma", error="It broke.")
    give_feedback(said, by=lead, score=1, recorded_at=timezone.now())

    with_feedback, errors = page_of(client, project, "?show=feedback"), page_of(client, project, "?show=errors")

    assert [ask for ask in ("alpha", "beta", "gamma") if ask in with_feedback] == ["alpha"]
    assert [ask for ask in ("alpha", "beta", "gamma") if ask in errors] == ["gamma"]
    assert "It broke." in errors


def test_the_project_leads_there_and_its_lists_and_rates_stay_without_them(client: Client, lead: Any) -> None:
    project = make_project(lead.organization)
    make_calls(project, "delta")
    make_result(make_run(project), passed=True)

    detail = client.get(reverse("runs:project-detail", args=[project.pk])).content.decode()
    runs = client.get(reverse("runs:run-list")).content.decode()
    results = client.get(reverse("results:result-list")).content.decode()

    assert reverse("results:production-list", args=[project.pk]) in detail
    assert "1 call, with their feedback" in detail
    assert "Production calls" not in runs
    assert "delta" not in results


def test_a_project_without_calls_says_where_they_come_from(client: Client, lead: Any) -> None:
    project = make_project(lead.organization)

    assert "No production call yet" in page_of(client, project)
    assert "Production calls" not in client.get(reverse("runs:project-detail", args=[project.pk])).content.decode()


def test_the_number_of_queries_stays_the_same(client: Client, lead: Any) -> None:
    project = make_project(lead.organization)
    counts = []
    for n in (1, 2):
        for call in make_calls(project, *(f"ask {n}.{m}" for m in range(n))):
            give_feedback(call, by=lead, score=0.5, recorded_at=timezone.now())
        with CaptureQueriesContext(connection) as asked:
            page_of(client, project)
        counts.append(len(asked))

    assert counts[0] == counts[1]


def test_strangers_find_nothing(lead: Any) -> None:
    project = make_project(lead.organization)
    stranger = make_actor(role=Role.ADMIN)
    client = Client()
    client.force_login(stranger.user)

    assert client.get(reverse("results:production-list", args=[project.pk])).status_code == 404
