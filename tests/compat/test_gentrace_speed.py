"""Expanding a large test result: a fixed number of queries, sent in pieces, near what hand-written SQL takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from evalhub.accounts.models import Organization
from evalhub.accounts.rights import Role
from evalhub.benchmark.expanding import by_hand
from results.recording import record_results
from results.records import Judgement, ResultRecord, StepRecord
from runs.cases import add_to_test_set, golden_set
from runs.models import TestRun
from tests.factories import make_case, make_evaluator, make_organization, make_project, make_run, make_token, make_user

pytestmark = pytest.mark.django_db

STEPS, EVALUATORS = 5, 4
TEXT = "The parcel left our warehouse on Monday and should be with you within two working days. " * 3


@pytest.fixture
def organization() -> Organization:
    return make_organization()


@pytest.fixture
def ask(organization: Organization) -> Callable[[TestRun], Any]:
    user = make_user(organization, Role.LEAD)
    headers = {"Authorization": f"Bearer {make_token(user, organization)}", "User-Agent": "OpenAPI-Generator/1.0"}
    client = Client()
    return lambda run: client.get(f"/api/v1/test-result/{run.pk}", headers=headers)


def make_large_run(organization: Organization, results: int) -> TestRun:
    project = make_project(organization, labels=["support"])
    evaluators = [make_evaluator(project, value_type="percentage") for _ in range(EVALUATORS)]
    cases = [make_case(project, inputs={"q": f"{n} {TEXT}"}, expected={"value": TEXT}) for n in range(results)]
    add_to_test_set(golden_set(project), cases)
    run = make_run(project, via="gentrace", branch="main", metadata={"a": {"type": "string", "value": "b"}})
    began = timezone.now() - timedelta(hours=1)
    records = [
        ResultRecord(
            case=case.pk,
            inputs=case.inputs,
            output={"value": TEXT},
            latency_ms=5.0,
            cost=0.01,
            started_at=began,
            finished_at=began + timedelta(seconds=1),
            metadata={"seed": {"type": "string", "value": "1"}},
            steps=[
                StepRecord(
                    name=f"step {n}", provider="acme", parameters={"temperature": 0}, inputs={"q": TEXT},
                    outputs={"value": TEXT}, started_at=began, finished_at=began + timedelta(milliseconds=n),
                )
                for n in range(STEPS)
            ],
            evaluations=[Judgement(evaluator=one, value=0.25 * n) for n, one in enumerate(evaluators, 1)],
        )
        for case in cases
    ]  # fmt: skip
    record_results(run, records, via="gentrace")
    return run


def document(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def test_the_number_of_queries_does_not_grow(organization: Organization, ask: Callable[[TestRun], Any]) -> None:
    counts = []
    for size in (1, 30):
        run = make_large_run(organization, size)
        ask(run)
        with CaptureQueriesContext(connection) as asked:
            assert document(ask(run)).count(b'"renderHTMLKey"') == size
        counts.append(len(asked))

    assert counts[0] == counts[1] <= 16


def test_a_large_result_is_sent_in_pieces(organization: Organization, ask: Callable[[TestRun], Any]) -> None:
    pieces = list(ask(make_large_run(organization, 100)).streaming_content)

    assert len(pieces) > 5
    assert max(map(len, pieces)) < 200_000


@pytest.mark.slow
def test_expanding_is_near_what_hand_written_sql_takes(
    organization: Organization, ask: Callable[[TestRun], Any], capsys: Any
) -> None:
    run = make_large_run(organization, 1000)
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
            f"\nexpanding 1,000 runs, {STEPS} steps and {EVALUATORS} evaluations each: p50 {measured:.0f} ms, "
            f"hand-written SQL and orjson {limit:.0f} ms, ratio {measured / limit:.2f}"
        )
    assert measured / limit <= 3


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
