"""What Gentrace's clients see of results that came in through other doors, and what a key may."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client, override_settings

from evalhub.accounts.models import Organization
from evalhub.accounts.rights import Role, Scope
from evalhub.api.authentication import PerToken
from results.models import Evaluation, TestResult
from results.recording import record_results
from results.records import Judgement, ResultRecord, StepRecord
from results.reviewing import Correction, submit_review
from runs.cases import add_to_test_set, golden_set
from runs.models import Evaluator, Project, TestRun, TestSet
from tests.factories import (
    make_case,
    make_evaluator,
    make_organization,
    make_project,
    make_result,
    make_run,
    make_token,
    make_user,
)

pytestmark = pytest.mark.django_db

Ask = Callable[..., Any]
NOWHERE, OWN = "11111111-2222-4333-8444-555555555555", "0b8f4c12-1d5e-4f60-8a7b-0c1d2e3f4051"


@pytest.fixture(autouse=True)
def full_allowance() -> None:
    PerToken.allowance.full_at.clear()


@pytest.fixture
def organization() -> Organization:
    return make_organization()


@pytest.fixture
def ask(organization: Organization) -> Ask:
    """ask(method, path, body): the status and the JSON that a key of a lead gets."""
    return asking(organization)


def asking(organization: Organization, role: str = Role.LEAD, scopes: list[str] | None = None) -> Ask:
    token = make_token(make_user(organization, role), organization, scopes or list(Scope.values))

    def ask(method: str, path: str, body: Any = None, agent: str = "") -> tuple[int, Any]:
        answer = Client().generic(
            method,
            f"/api/{path}",
            json.dumps(body or {}).encode(),
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}", "User-Agent": agent},
        )
        raw = b"".join(answer.streaming_content) if answer.streaming else answer.content
        return answer.status_code, json.loads(raw)

    return ask


def test_a_result_without_a_case_is_shown_as_a_case_of_its_own(organization: Organization, ask: Ask) -> None:
    run = make_run(make_project(organization))
    result = make_result(run, case=None, name="a chat", inputs={"q": 1}, expected={"a": 1})

    _, found = ask("GET", f"v1/test-result/{run.pk}")

    (shown,) = found["runs"]
    assert shown["caseId"] == shown["case"]["id"] == str(result.pk)
    assert shown["case"]["datasetId"] == found["pipeline"]["goldenDatasetId"]
    assert (shown["case"]["name"], shown["case"]["inputs"], shown["case"]["expectedOutputs"]) == (
        "a chat",
        {"q": 1},
        {"a": 1},
    )


def test_whatever_judged_is_among_the_evaluators(organization: Organization, ask: Ask) -> None:
    project = make_project(organization)
    template = Evaluator.objects.create(organization=organization, name="template", threshold=0.5)
    deleted, unused = make_evaluator(project), make_evaluator(project)
    run = make_run(project)
    make_result(run, evaluations=[Judgement(evaluator=template, value=1.0), Judgement(evaluator=deleted, value=0.5)])
    deleted.mark_deleted()

    _, found = ask("GET", f"v1/test-result/{run.pk}")

    listed = {one["id"]: one["pipelineId"] for one in found["pipeline"]["evaluators"]}
    assert listed == {str(one.pk): str(project.pk) for one in (template, deleted, unused)}
    assert {one["evaluatorId"] for one in found["runs"][0]["evaluations"]} <= listed.keys()


def test_stored_values_of_any_shape_are_objects_on_the_wire(organization: Organization, ask: Ask) -> None:
    run = make_run(make_project(organization))
    step = StepRecord(name="s", latency_ms=1e300)
    (recorded,) = record_results(run, [ResultRecord(output={"a": 1}, latency_ms=1e300, steps=[step])])
    result = TestResult.objects.get(pk=recorded.id)
    result.steps.update(inputs=["x"], outputs="y", parameters=7)
    TestResult.objects.filter(pk=result.pk).update(output=[1, 2])

    status, found = ask("GET", f"v1/test-result/{run.pk}")

    (shown,) = found["runs"][0]["steps"]
    assert status == 200
    assert (shown["inputs"], shown["outputs"], shown["modelParams"]) == ({"value": ["x"]}, {"value": "y"}, {"value": 7})
    assert ask("GET", f"v2/runs/{result.pk}")[0] == 200


def test_ids_that_nodes_client_would_refuse_are_said_as_ours(organization: Organization, ask: Ask) -> None:
    seventh = [f"018f0c1e-7b1a-7cc2-9f00-00000000000{n}" for n in range(3)]
    project = make_project(organization, external_id=seventh[0])
    case = make_case(project, external_id=seventh[1])
    add_to_test_set(golden_set(project), [case])
    run = make_run(project)
    make_result(run, case=case.pk, external_id=seventh[2])

    _, found = ask("GET", f"v1/test-result/{run.pk}")
    _, listed = ask("GET", f"v1/test-case?pipelineId={seventh[0]}")
    _, changed = ask("PATCH", "v1/test-case", {"id": seventh[1], "name": "new"})

    (shown,) = found["runs"]
    assert (found["pipelineId"], found["pipeline"]["id"]) == (str(project.pk), str(project.pk))
    assert (shown["id"], shown["caseId"], shown["case"]["id"]) == (seventh[2], str(case.pk), str(case.pk))
    assert [(one["id"], one["pipelineId"]) for one in listed["testCases"]] == [(str(case.pk), str(project.pk))]
    assert changed == {"caseId": str(case.pk)}


def test_metadata_without_a_type_is_said_as_strings(organization: Organization, ask: Ask) -> None:
    run = make_run(make_project(organization), metadata={"a": 1, "b": {"type": 7}, "c": {"type": "own", "value": [1]}})
    make_result(run, metadata={"d": "text"})

    told = [ask("GET", f"v1/test-result/{run.pk}", agent=agent)[1] for agent in ("", "OpenAPI-Generator/1.0")]

    strings = {"a": {"type": "string", "value": "1"}, "b": {"type": "string", "value": '{"type":7}'}}
    assert [one["metadata"] for one in told] == [
        {**strings, "c": {"type": "own", "value": [1]}},
        {**strings, "c": {"type": "string", "value": "[1]"}},
    ]
    assert [one["runs"][0]["full"]["metadata"] for one in told] == [{"d": {"type": "string", "value": "text"}}] * 2


def test_labels_without_a_value_count_by_their_verdict(organization: Organization, ask: Ask) -> None:
    project = make_project(organization)
    options = [{"label": "Yes", "passes": True}, {"label": "So so", "value": None}, {"label": "No", "passes": False}]
    evaluator = make_evaluator(project, value_type="label", options=options)
    run = make_run(project)
    for option in options:
        make_result(run, evaluations=[Judgement(evaluator=evaluator, label=option["label"])])

    _, found = ask("GET", f"v1/test-result/{run.pk}")
    _, second = ask("GET", f"v2/evaluations?resultId={run.pk}")

    assert found["pipeline"]["evaluators"][0]["options"] == [["Yes", 1], ["So so", 0.5], ["No", 0]]
    told = [(one["evalLabel"], one["evalValue"]) for shown in found["runs"] for one in shown["evaluations"]]
    assert told == [("Yes", "1"), ("So so", "0.5"), ("No", "0")]
    assert [one["evalValue"] for one in second["data"]] == [1, 0.5, 0]


def test_a_person_who_only_passes_or_fails_gives_a_whole_share(organization: Organization, ask: Ask) -> None:
    project = make_project(organization)
    person = make_evaluator(project, who="human", value_type="percentage", threshold=None)
    run = make_run(project)
    waiting = Judgement(evaluator=person, source="human", state="pending")
    for verdict in ("passed", "failed"):
        result = make_result(run, evaluations=[waiting])
        answer = Correction(evaluator=person, passed=verdict == "passed")
        submit_review(result, by=make_user(organization, Role.REVIEWER), verdict=verdict, corrections=[answer])

    _, found = ask("GET", f"v1/test-result/{run.pk}")

    told = [(one["isPending"], one["evalValue"]) for shown in found["runs"] for one in shown["evaluations"]]
    assert told == [(False, "1"), (False, "0")]


def test_tokens_of_judges_are_billed_by_their_family(organization: Organization, ask: Ask) -> None:
    project = make_project(organization)
    usage = {
        "gpt-4o": {"input": 10, "output": 1},
        "gpt-4-turbo": {"input": 5, "output": 2},
        "gpt-3.5-turbo": {"input": 7},
        "other": {"input": 100},
        "gpt-4-odd": "text",
    }
    run = make_run(project)
    make_result(run, evaluations=[Judgement(evaluator=make_evaluator(project), value=0.1, usage=usage)])

    _, found = ask("GET", f"v1/test-result/{run.pk}")

    (shown,) = found["runs"][0]["evaluations"]
    billed = {key: value for key, value in shown.items() if key.startswith("billing")}
    assert billed == {
        "billingGpt4InputTokens": 15,
        "billingGpt4OutputTokens": 3,
        "billingGpt35InputTokens": 7,
        "billingGpt35OutputTokens": 0,
    }


@pytest.mark.parametrize(
    ("value", "said"), [(0.0, "0"), (1.0, "1"), (0.1 + 0.2, "0.30000000000000004"), (-2.5, "-2.5"), (1e300, "1e+300")]
)
def test_values_are_texts_that_lose_nothing(organization: Organization, ask: Ask, value: float, said: str) -> None:
    run = make_run(make_project(organization))
    make_result(run, evaluations=[Judgement(evaluator=make_evaluator(run.project, value_type="number"), value=value)])

    _, for_node = ask("GET", f"v1/test-result/{run.pk}")
    _, for_python = ask("GET", f"v1/test-result/{run.pk}", agent="OpenAPI-Generator/1.0.0/python")

    assert for_node["runs"][0]["evaluations"][0]["evalValue"] == said
    assert for_python["runs"][0]["evaluations"][0]["evalValue"] == value


def test_a_pipeline_id_is_never_passed_over_for_a_slug(organization: Organization, ask: Ask) -> None:
    project = make_project(organization)
    named = {"pipelineId": NOWHERE, "pipelineSlug": project.slug}

    answers = [
        ask("GET", f"v1/test-case?pipelineId={NOWHERE}&pipelineSlug={project.slug}")[0],
        ask("GET", f"v2/evaluators?pipelineId={NOWHERE}&pipelineSlug={project.slug}")[0],
        ask("POST", "v1/test-result-simple", {**named, "testRuns": []})[0],
        ask("POST", "v2/datasets", {**named, "name": "x"})[0],
    ]

    assert answers == [404, 404, 400, 400]


def test_a_project_that_was_made_without_a_golden_set_gets_one(organization: Organization, ask: Ask) -> None:
    project = Project.objects.create(organization=organization, name="By hand", slug="by-hand")

    told = [ask("GET", f"v{n}/pipelines?slug=by-hand")[1] for n in (1, 2)]

    (golden,) = TestSet.objects.filter(project=project)
    assert told[0]["pipelines"][0]["goldenDatasetId"] == told[1]["data"][0]["goldenDatasetId"] == str(golden.pk)


def test_two_runs_with_one_id_are_refused(organization: Organization, ask: Ask) -> None:
    project = make_project(organization)
    items = [{"id": ident, "name": "x", "inputs": {}} for ident in (OWN, OWN.upper())]

    answer = ask("POST", "v1/test-result-simple", {"pipelineSlug": project.slug, "testRuns": items})

    assert answer == (400, {"message": "testRuns[1].id is the id of two items.", "errors": []})
    assert not TestRun.objects.exists()


def test_a_production_call_with_the_id_of_a_test_is_refused(organization: Organization, ask: Ask) -> None:
    project = make_project(organization)
    item = {"id": OWN, "name": "x", "inputs": {}}
    ask("POST", "v1/test-result-simple", {"pipelineSlug": project.slug, "testRuns": [item]})

    answer = ask("POST", "v1/run", {"id": OWN, "slug": project.slug, "stepRuns": []})

    assert answer == (400, {"message": "id: This id belongs to a result of another run.", "errors": []})


def test_hidden_runs_are_no_test_results(organization: Organization, ask: Ask) -> None:
    run = make_run(make_project(organization), kind=TestRun.Kind.PRODUCTION, status="completed")

    for method, path in (
        ("GET", f"v1/test-result/{run.pk}"),
        ("POST", f"v1/test-result/{run.pk}"),
        ("GET", f"v1/test-result/status?id={run.pk}"),
        ("GET", f"v2/evaluations?resultId={run.pk}"),
    ):
        assert ask(method, path, {"testRuns": []})[0] == 404


def test_withdrawn_judgements_are_not_told(organization: Organization, ask: Ask) -> None:
    run = make_run(make_project(organization))
    make_result(run, evaluations=[Judgement(evaluator=make_evaluator(run.project), value=0.1)])
    Evaluation.objects.update(withdrawn_at="2026-01-01T00:00:00Z", is_current=False)

    assert ask("GET", f"v1/test-result/{run.pk}")[1]["runs"][0]["evaluations"] == []
    assert ask("GET", f"v1/test-result/status?id={run.pk}")[1]["total"] == 0


@pytest.mark.parametrize(
    ("role", "scopes"), [(Role.VIEWER, None), (Role.REVIEWER, None), (Role.ADMIN, ["read"]), (Role.ADMIN, ["review"])]
)
def test_who_may_not_record_changes_nothing(organization: Organization, role: str, scopes: list[str] | None) -> None:
    project = make_project(organization)
    ask = asking(organization, role, scopes)
    body = {"pipelineSlug": project.slug, "name": "x", "inputs": {}, "testRuns": [], "data": []}

    statuses = {
        path: ask("POST", path, body)[0]
        for path in ("v1/test-case", "v1/test-result", "v1/test-result-simple", "v1/run", "v2/datasets",
                     "v2/evaluations/bulk", "v1/feedback", "v2/feedback", "v1/files/upload")
    }  # fmt: skip

    assert set(statuses.values()) == {403}
    assert ask("GET", "v1/pipelines")[0] == 200
    assert TestRun.objects.count() == 0


def test_a_key_that_asks_too_often_has_to_wait(organization: Organization, ask: Ask) -> None:
    with override_settings(API_REQUESTS_PER_MINUTE=2):
        statuses = [ask("GET", "v1/pipelines")[0] for _ in range(3)]

    assert statuses == [200, 200, 429]
