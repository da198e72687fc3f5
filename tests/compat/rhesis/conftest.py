"""The door as a program sees it, and a small world behind it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.test import Client

from evalhub.accounts.models import Organization, User
from evalhub.accounts.rights import Role, Scope
from results.models import TestResult
from results.recording import record_results
from results.records import Judgement, ResultRecord
from runs.models import Endpoint, Evaluator, Project, TestConfiguration, TestRun, TestSet
from tests.factories import (
    make_case,
    make_configuration,
    make_endpoint,
    make_evaluator,
    make_organization,
    make_project,
    make_run,
    make_test_set,
    make_token,
    make_user,
)


@dataclass
class Door:
    """Calls with one token; what comes back is the JSON, and the last answer is kept."""

    token: str
    headers: dict[str, str] = field(default_factory=dict)
    answer: Any = None

    def ask(self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None, **more: str) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", **self.headers, **more}
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answer = Client().generic(
            method, f"/rhesis/{path}", text, content_type="application/json", headers=headers, query_params=query
        )
        raw = b"".join(self.answer.streaming_content) if self.answer.streaming else self.answer.content
        return json.loads(raw) if self.answer["Content-Type"] == "application/json" else raw.decode()

    def get(self, path: str, **query: Any) -> Any:
        return self.ask("GET", path, query={key.replace("odata_", "$"): value for key, value in query.items()})

    def post(self, path: str, body: Any = None) -> Any:
        return self.ask("POST", path, body)

    def put(self, path: str, body: Any) -> Any:
        return self.ask("PUT", path, body)

    def delete(self, path: str) -> Any:
        return self.ask("DELETE", path)

    def filtered(self, path: str, text: str) -> list[str]:
        """The names (else ids) that a filter finds."""
        rows = self.get(path, odata_filter=text)
        assert self.answer.status_code == 200, rows
        return [row.get("name") or row["id"] for row in rows]

    def refused(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        said = self.ask(method, path, body, query={key.replace("odata_", "$"): value for key, value in query.items()})
        return self.answer.status_code, said["detail"] if isinstance(said, dict) else said


@dataclass
class World:
    organization: Organization
    user: User
    project: Project
    endpoint: Endpoint
    test_set: TestSet
    configuration: TestConfiguration
    relevancy: Evaluator
    refusal: Evaluator
    run: TestRun
    results: list[TestResult]


@pytest.fixture
def organization(db: None) -> Organization:
    return make_organization()


@pytest.fixture
def lead(organization: Organization) -> User:
    return make_user(organization, Role.LEAD, name="Ada", email="ada@example.com")


@pytest.fixture
def door(organization: Organization, lead: User) -> Door:
    return Door(make_token(lead, organization, list(Scope.values)))


@pytest.fixture
def world(organization: Organization, lead: User) -> World:
    """A run of two cases: the first passes both metrics, the second fails one."""
    project = make_project(organization, name="Shop")
    endpoint = make_endpoint(project, name="Production Chatbot", external_id="endpoint-123")
    test_set = make_test_set(project, name="Safety Evaluation", external_id="test-set-456", slug="safety-evaluation")
    cases = [make_case(project, test_set, name=f"Case {n}", external_id=f"case-{n}") for n in (1, 2)]
    configuration = make_configuration(
        project, name="Nightly", endpoint=endpoint, test_set=test_set, external_id="config-123"
    )
    relevancy = make_evaluator(project, name="Answer Relevancy", threshold=0.7)
    refusal = make_evaluator(project, name="Refusal", value_type="label", threshold=None)
    run = make_run(
        project, name="Safety Evaluation - run 1", configuration=configuration, by=lead, external_id="run-123"
    )
    records = [
        ResultRecord(
            external_id=f"result-{n}",
            case=case.pk,
            output={"output": f"Answer {n}"},
            session_id=f"s-{n}",
            latency_ms=100.0 * n,
            evaluations=[
                Judgement(evaluator=relevancy, value=0.9, explanation="On topic."),
                Judgement(evaluator=refusal, label="refused" if n == 1 else "complied", passed=n == 1),
            ],
        )
        for n, case in enumerate(cases, 1)
    ]
    record_results(run, records)
    run.finish()
    results = list(TestResult.objects.filter(run=run).order_by("position"))
    return World(organization, lead, project, endpoint, test_set, configuration, relevancy, refusal, run, results)
