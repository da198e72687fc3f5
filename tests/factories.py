"""Rows for tests: every maker fills in what a test does not care about."""

from __future__ import annotations

from itertools import count
from typing import Any

from evalhub.accounts.actor import Actor
from evalhub.accounts.models import ApiToken, Membership, Organization, User
from evalhub.accounts.rights import Role, Scope
from results.models import TestResult
from results.recording import record_results
from results.records import Judgement, ResultRecord
from runs.cases import add_to_test_set
from runs.launching import open_run
from runs.models import Case, Endpoint, Evaluator, Project, TestConfiguration, TestRun, TestSet

PASSWORD = "correct horse battery"
_numbers = count(1)


def make_organization(**fields: Any) -> Organization:
    n = next(_numbers)
    return Organization.objects.create(**{"name": f"Organisation {n}", "slug": f"organisation-{n}", **fields})


def make_user(organization: Organization | None = None, role: str = Role.LEAD, **fields: Any) -> User:
    """A person with the password ``PASSWORD``; a member where an organisation is given."""
    n = next(_numbers)
    user = User.objects.create_user(**{"email": f"person{n}@example.com", "name": f"Person {n}", **fields})
    user.set_password(PASSWORD)
    user.save(update_fields=["password"])
    if organization is not None:
        Membership.objects.create(organization=organization, user=user, role=role)
    return user


def make_actor(organization: Organization | None = None, role: str = Role.LEAD, **fields: Any) -> Actor:
    """A member as pages see them."""
    organization = organization or make_organization()
    return Actor(make_user(organization, role, **fields), organization, Role(role))


def make_token(user: User, organization: Organization, scopes: list[str] | None = None, **fields: Any) -> str:
    """A new API token's secret."""
    _, secret = ApiToken.issue(
        user=user, organization=organization, name="test", scopes=scopes or list(Scope.values), **fields
    )
    return secret


def make_project(organization: Organization | None = None, **fields: Any) -> Project:
    n = next(_numbers)
    organization = organization or make_organization()
    return Project.objects.create(
        organization=organization, **{"name": f"Project {n}", "slug": f"project-{n}", **fields}
    )


def make_endpoint(project: Project, **fields: Any) -> Endpoint:
    values = {"name": f"Endpoint {next(_numbers)}", "url": "https://bot.example.com/chat", **fields}
    return Endpoint.objects.create(organization=project.organization, project=project, **values)


def make_evaluator(project: Project, **fields: Any) -> Evaluator:
    values = {"name": f"evaluator {next(_numbers)}", "threshold": 0.5, **fields}
    return Evaluator.objects.create(organization=project.organization, project=project, **values)


def make_case(project: Project, test_set: TestSet | None = None, **fields: Any) -> Case:
    (number,) = project.take_numbers("last_case_number", 1)
    values = {"name": f"Case {number}", "inputs": {"input": f"Question {number}?"}, **fields}
    case = Case.objects.create(organization=project.organization, project=project, number=number, **values)
    if test_set is not None:
        add_to_test_set(test_set, [case])
    return case


def make_test_set(project: Project, cases: int = 0, **fields: Any) -> TestSet:
    values = {"name": f"Test set {next(_numbers)}", **fields}
    test_set = TestSet.objects.create(organization=project.organization, project=project, **values)
    for _ in range(cases):
        make_case(project, test_set)
    return test_set


def make_configuration(project: Project, **fields: Any) -> TestConfiguration:
    values = {"name": f"Configuration {next(_numbers)}", **fields}
    return TestConfiguration.objects.create(organization=project.organization, project=project, **values)


def make_run(project: Project | None = None, **fields: Any) -> TestRun:
    return open_run(project or make_project(), **{"name": f"Run {next(_numbers)}", **fields})


def make_result(run: TestRun | None = None, *, passed: bool | None = True, **fields: Any) -> TestResult:
    """A recorded result with its own case and one evaluation by ``correct``, or none where ``passed`` is None."""
    run = run or make_run()
    fields.setdefault("case", make_case(run.project).pk)
    if passed is not None and "evaluations" not in fields:
        fields["evaluations"] = [Judgement(evaluator="correct", value=float(passed), passed=passed)]
    fields.setdefault("output", {"output": "An answer."})
    (recorded,) = record_results(run, [ResultRecord(**fields)])
    run.refresh_from_db()
    return TestResult.objects.get(pk=recorded.id)


def make_results(run: TestRun, passed: int = 0, failed: int = 0) -> list[TestResult]:
    """So many passed, then so many failed results, in one batch."""
    verdicts = [True] * passed + [False] * failed
    records = [
        ResultRecord(
            case=make_case(run.project).pk,
            output={"output": f"Answer {n}"},
            evaluations=[Judgement(evaluator="correct", value=float(verdict), passed=verdict)],
        )
        for n, verdict in enumerate(verdicts, 1)
    ]
    recorded = record_results(run, records)
    run.refresh_from_db()
    by_id = TestResult.objects.in_bulk([one.id for one in recorded])
    return [by_id[one.id] for one in recorded]
