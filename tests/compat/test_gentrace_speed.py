"""Expanding a large test result: a fixed number of queries, sent in pieces, near what hand-written SQL takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from evalhub.accounts.models import Organization
from evalhub.accounts.rights import Role
from evalhub.benchmark.expanding import EVALUATORS_EACH, STEPS_EACH, by_hand, load_expanded
from runs.models import TestRun
from tests.factories import make_evaluator, make_organization, make_project, make_token, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization() -> Organization:
    return make_organization()


@pytest.fixture
def ask(organization: Organization) -> Callable[[TestRun], Any]:
    user = make_user(organization, Role.LEAD)
    headers = {"Authorization": f"Bearer {make_token(user, organization)}"}
    client = Client()
    return lambda run: client.get(f"/api/v1/test-result/{run.pk}", headers=headers)


def document(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def test_the_number_of_queries_does_not_grow(organization: Organization, ask: Callable[[TestRun], Any]) -> None:
    counts = []
    for size in (1, 30):
        run = load_expanded(organization, size)
        ask(run)
        with CaptureQueriesContext(connection) as asked:
            assert document(ask(run)).count(b'"renderHTMLKey"') == size
        counts.append(len(asked))

    assert counts[0] == counts[1] <= 16


def test_a_large_result_is_sent_in_pieces(organization: Organization, ask: Callable[[TestRun], Any]) -> None:
    pieces = list(ask(load_expanded(organization, 100)).streaming_content)

    assert len(pieces) > 5
    assert max(map(len, pieces)) < 200_000


@pytest.mark.slow
def test_expanding_is_near_what_hand_written_sql_takes(
    organization: Organization, ask: Callable[[TestRun], Any], capsys: Any
) -> None:
    run = load_expanded(organization)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    assert orjson.loads(document(ask(run))) == orjson.loads(by_hand(run.pk))

    ours, floor = [], []
    for _ in range(9):  # turn by turn, so that a busy machine is busy for both
        ours.append(seconds(lambda: document(ask(run))))
        floor.append(seconds(lambda: by_hand(UUID(str(run.pk)))))

    measured, limit = statistics.median(ours) * 1000, statistics.median(floor) * 1000
    with capsys.disabled():
        print(
            f"\nexpanding 1,000 runs, {STEPS_EACH} steps and {EVALUATORS_EACH} evaluations each: p50 "
            f"{measured:.0f} ms, hand-written SQL and orjson {limit:.0f} ms, ratio {measured / limit:.2f}"
        )
    assert measured / limit <= 3


@pytest.mark.slow
def test_many_evaluations_at_once_take_time_in_proportion(organization: Organization) -> None:
    project = make_project(organization)
    options = [{"label": "Good", "value": 1, "passes": True}]
    people = [make_evaluator(project, who="human", value_type="label", options=options) for _ in range(3)]
    token = make_token(make_user(organization, Role.LEAD), organization)

    def send(path: str, body: dict[str, Any]) -> None:
        answer = Client().post(f"/api/{path}", body, "application/json", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.content

    taken = []
    for size in (400, 1600):
        items = [{"id": str(uuid4()), "name": f"case {n}", "inputs": {"n": n}} for n in range(size)]
        send("v1/test-result-simple", {"pipelineSlug": project.slug, "testRuns": items})
        said = [
            {"runId": item["id"], "evaluatorId": str(person.pk), "evalLabel": "Good"}
            for item in items
            for person in people[:2]
        ]
        taken.append(seconds(lambda said=said: send("v2/evaluations/bulk", {"data": said})))

    assert taken[1] < 4 * taken[0] * 2


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
