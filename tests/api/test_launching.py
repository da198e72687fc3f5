"""Launching through the API; what workers then do is in tests/results/test_executing.py."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from evalhub.audit.models import AuditEvent
from runs.models import Category, Shard, TestRun
from tests.api.conftest import Api
from tests.factories import (
    make_case,
    make_configuration,
    make_endpoint,
    make_evaluator,
    make_project,
    make_results,
    make_run,
    make_test_set,
)


@pytest.fixture
def configuration(project):
    return make_configuration(
        project, external_id="nightly", name="Nightly", endpoint=make_endpoint(project),
        test_set=make_test_set(project, cases=25), parameters={"retry_count": 1, "model": "m-1"},
    )  # fmt: skip


def test_a_configuration_is_launched(api, configuration):
    body = {"name": "Tonight", "repetitions": 2, "concurrency": 4, "branch": "main", "tags": ["ci"]}

    launched = api.post("/api/configurations/nightly/runs/", body)

    run = TestRun.objects.get()
    said = launched.json()
    assert launched.status_code == 201, launched.content
    assert (said["name"], said["status"], said["counts"]["planned"], said["branch"], said["model"], said["tags"]) == (
        "Tonight", "queued", 50, "main", "m-1", ["ci"],
    )  # fmt: skip
    assert said["snapshot"]["parameters"] == {
        "retry_count": 1, "model": "m-1", "repetitions": 2, "concurrency": 4,
    }  # fmt: skip
    assert list(Shard.objects.filter(run=run).values_list("number", "size")) == [
        (1, 10), (2, 10), (3, 10), (4, 10), (5, 10),
    ]  # fmt: skip
    assert ProcrastinateJob.objects.filter(task_name="work_on_shard").count() == 5
    assert AuditEvent.objects.filter(action="run.launched", entity_id=run.pk, user=api.user).count() == 1


def test_a_launch_keeps_to_a_category(api, configuration, organization):
    category = Category.objects.create(organization=organization, name="Safety")
    make_case(configuration.project, configuration.test_set, category=category)

    launched = api.post("/api/configurations/nightly/runs/", {"category": "Safety"})

    assert launched.json()["counts"]["planned"] == 1
    assert launched.json()["snapshot"]["filters"] == {"category": {"id": str(category.pk), "name": "Safety"}}


def test_a_launch_names_the_models_that_judge_and_play(api, configuration):
    model = make_endpoint(configuration.project, name="m-1", external_id="model-1")

    launched = api.post("/api/configurations/nightly/runs/", {"judge": "model-1", "simulator": str(model.pk)})
    run = TestRun.objects.get()
    make_results(run, passed=1)
    evaluator = make_evaluator(configuration.project, who="ai", definition={"prompt": "?"})
    again = api.post(f"/api/runs/{run.pk}/scorings/", {"evaluators": [str(evaluator.pk)], "judge": "model-1"})

    named = {"id": str(model.pk), "name": "m-1"}
    assert (launched.status_code, again.status_code) == (201, 202)
    assert (launched.json()["snapshot"]["judge"], launched.json()["snapshot"]["simulator"]) == (named, named)
    assert run.shards.get(kind=Shard.Kind.JUDGE).work["judge"] == named


def test_what_cannot_be_launched_is_a_400_with_a_sentence(api, project):
    make_configuration(project, external_id="empty", name="Empty")

    refused = api.post("/api/configurations/empty/runs/", {})

    assert (refused.status_code, refused.json()["detail"]) == (
        400, "“Empty” has no endpoint, so there is nothing to ask. Choose one first.",
    )  # fmt: skip
    assert TestRun.objects.count() == 0


def test_a_launch_with_a_key_happens_once(api, configuration):
    headers = {"Idempotency-Key": "night-1"}
    first, second = (api.post("/api/configurations/nightly/runs/", {}, headers=headers) for _ in range(2))

    assert first.json()["id"] == second.json()["id"]
    assert TestRun.objects.count() == 1


def test_rows_of_other_projects_are_refused(api, configuration, organization):
    other = make_project(organization)
    bodies = [
        {"endpoint": str(make_endpoint(other).pk)},
        {"test_set": str(make_test_set(other, cases=1).pk)},
        {"evaluators": [str(make_evaluator(other).pk)]},
    ]

    assert [api.post("/api/configurations/nightly/runs/", body).status_code for body in bodies] == [400, 400, 400]


def test_a_reviewer_and_a_stranger_cannot_launch(api, configuration, organization):
    from tests.factories import make_organization

    reviewer, stranger = Api(organization, "reviewer"), Api(make_organization())

    assert reviewer.post("/api/configurations/nightly/runs/", {}).status_code == 403
    assert stranger.post("/api/configurations/nightly/runs/", {}).status_code == 404
    assert stranger.post(f"/api/configurations/{configuration.pk}/runs/", {}).status_code == 404


def test_only_failed_cases_are_run_again(api, configuration):
    run = make_run(configuration.project, configuration=configuration)
    failed = [result for result in make_results(run, passed=2, failed=2) if result.outcome == "failed"]
    for result in failed:
        configuration.test_set.cases.add(result.case)

    again = api.post(f"/api/runs/{run.pk}/repetitions/", {"cases": "failed"})
    whole = api.post(f"/api/runs/{run.pk}/repetitions/", {})

    assert again.status_code == 201, again.content
    assert (again.json()["counts"]["planned"], again.json()["reference"]["id"]) == (2, str(run.pk))
    assert whole.json()["counts"]["planned"] == 27
    asked = [
        pk
        for shard in Shard.objects.filter(run__external_id=None, run=again.json()["uuid"])
        for pk, _ in shard.work["cases"]
    ]
    assert set(asked) == {str(result.case_id) for result in failed}


def test_where_nothing_failed_nothing_is_run_again(api, configuration):
    run = make_run(configuration.project, configuration=configuration)
    make_results(run, passed=1)

    assert api.post(f"/api/runs/{run.pk}/repetitions/", {"cases": "failed"}).json()["detail"] == (
        "Nothing failed in this run, so there is nothing to run again."
    )


def test_a_run_is_judged_again(api, configuration):
    run = make_run(configuration.project, configuration=configuration)
    make_results(run, passed=2)
    evaluator = make_evaluator(configuration.project, who="heuristic")

    scored = api.post(f"/api/runs/{run.pk}/scorings/", {"evaluators": [str(evaluator.pk)]})
    by_people = api.post(
        f"/api/runs/{run.pk}/scorings/", {"evaluators": [str(make_evaluator(configuration.project, who="human").pk)]}
    )

    shard = Shard.objects.get(run=run)
    assert (scored.status_code, scored.json()) == (202, {"id": shard.work["scoring"], "results": 2})
    assert (shard.kind, shard.size, [one["name"] for one in shard.work["evaluators"]]) == ("judge", 2, [evaluator.name])
    assert by_people.status_code == 400


# --- how often --------------------------------------------------------------------------------------------------------


def test_a_person_launches_so_often_in_a_minute(api, api_of, configuration, settings):
    settings.LAUNCHES_PER_MINUTE = 2
    another = api_of("lead")

    statuses = [api.post("/api/configurations/nightly/runs/", {}).status_code for _ in range(3)]
    refused = api.post(f"/api/runs/{TestRun.objects.first().pk}/repetitions/", {})

    assert statuses == [201, 201, 429]
    assert refused.status_code == 429
    assert refused.json()["detail"] == (
        f"You launched as often as a minute allows (2). Try again in {refused['Retry-After']} s."
    )
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert another.post("/api/configurations/nightly/runs/", {}).status_code == 201
    assert TestRun.objects.count() == 3


def test_judging_again_counts_as_launching(api, project, settings):
    settings.LAUNCHES_PER_MINUTE = 1
    run = make_run(project)
    make_results(run, passed=1)
    body = {"evaluators": [str(make_evaluator(project, name="says", who="heuristic").pk)]}

    statuses = [api.post(f"/api/runs/{run.pk}/scorings/", body).status_code for _ in range(2)]

    assert statuses == [202, 429]


def test_an_organisation_launches_four_times_as_often(api_of, configuration, settings):
    settings.LAUNCHES_PER_MINUTE = 1
    people = [api_of("lead") for _ in range(5)]

    answers = [one.post("/api/configurations/nightly/runs/", {}) for one in people]

    assert [answer.status_code for answer in answers] == [201, 201, 201, 201, 429]
    assert answers[-1].json()["detail"].startswith("Your organisation launched as often as a minute allows (4).")


def test_a_minute_later_a_person_may_launch_again(api, configuration, settings):
    settings.LAUNCHES_PER_MINUTE = 1
    first = api.post("/api/configurations/nightly/runs/", {}).status_code
    age_of_launches(seconds=61)

    second = api.post("/api/configurations/nightly/runs/", {}).status_code

    assert (first, second) == (201, 201)


def age_of_launches(*, seconds):
    AuditEvent.objects.filter(action="run.launched").update(at=timezone.now() - timedelta(seconds=seconds))
