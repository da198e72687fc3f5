"""Launching from the pages: the form, and what the run's page offers afterwards."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from results.recording import record_results
from results.records import Judgement, ResultRecord
from runs.models import Category, Prompt, Shard, TestRun
from tests.factories import (
    PASSWORD,
    make_case,
    make_configuration,
    make_endpoint,
    make_evaluator,
    make_organization,
    make_project,
    make_results,
    make_run,
    make_test_set,
    make_user,
)
from tests.runs.bot import echo, endpoint_in_a_thread

pytestmark = pytest.mark.django_db


@pytest.fixture
def configuration():
    project = make_project(make_organization())
    made = make_configuration(
        project, name="Nightly", endpoint=make_endpoint(project), test_set=make_test_set(project, cases=3),
        parameters={"repetitions": 2},
    )  # fmt: skip
    made.evaluators.add(make_evaluator(project, name="says", who="heuristic", definition={"heuristic": "exact"}))
    return made


def sign_in(client, configuration, role="lead"):
    user = make_user(configuration.organization, role)
    client.login(username=user.email, password=PASSWORD)
    return client


def form_of(configuration, **changes):
    return {
        "name": "Tonight", "endpoint": configuration.endpoint_id, "test_set": configuration.test_set_id,
        "evaluators": [one.pk for one in configuration.evaluators.all()], "repetitions": "2", **changes,
    }  # fmt: skip


def test_the_configuration_offers_to_launch_and_the_form_knows_it(client, configuration):
    make_evaluator(configuration.project, name="Judge", who="ai", definition={"prompt": "?"})
    sign_in(client, configuration)
    url = reverse("runs:run-launch", args=[configuration.pk])

    page = client.get(reverse("runs:configuration-detail", args=[configuration.pk])).content.decode()
    form = client.get(url).content.decode()

    assert url in page
    assert 'value="Nightly"' in form and "No judge model is set up" in form


def test_a_run_is_launched_from_the_form(client, configuration):
    sign_in(client, configuration)

    answer = client.post(reverse("runs:run-launch", args=[configuration.pk]), form_of(configuration, concurrency="4"))

    run = TestRun.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, reverse("results:run-detail", args=[run.pk]))
    assert (run.name, run.planned_count, run.via, run.snapshot["parameters"], run.snapshot["evaluators_from"]) == (
        "Tonight", 6, "page", {"repetitions": 2, "concurrency": 4, "retry_count": 2}, "configuration",
    )  # fmt: skip
    assert "0 of 6" in client.get(answer["Location"]).content.decode()


def test_what_is_cleared_in_the_form_does_not_hold_for_this_run(client, configuration):
    configuration.category = Category.objects.create(organization=configuration.organization, name="Safety")
    configuration.parameters = {"repetitions": 2, "concurrency": 3, "timeout": 9, "note": "kept"}
    configuration.save()
    make_case(configuration.project, configuration.test_set, category=configuration.category)
    sign_in(client, configuration)
    url = reverse("runs:run-launch", args=[configuration.pk])

    client.post(url, form_of(configuration, category=configuration.category_id, concurrency="3"))
    client.post(url, form_of(configuration, category="", repetitions=""))

    narrow, whole = TestRun.objects.order_by("number")
    assert (narrow.planned_count, narrow.snapshot["filters"]["category"]["name"]) == (2, "Safety")
    assert (whole.planned_count, whole.snapshot["filters"]) == (4, {})
    assert narrow.snapshot["parameters"] == {"repetitions": 2, "concurrency": 3, "retry_count": 2, "note": "kept"}
    assert whole.snapshot["parameters"] == {"repetitions": 1, "retry_count": 2, "note": "kept"}


def test_a_prompt_that_the_configuration_names_is_offered_however_old(client, configuration, monkeypatch):
    monkeypatch.setattr("runs.forms_launching.MOST_PROMPTS", 1)
    prompts = [Prompt.objects.create(organization=configuration.organization, content=f"Prompt {n}") for n in (1, 2)]
    for prompt in prompts:
        make_case(configuration.project, configuration.test_set, prompt=prompt)
    configuration.prompt = prompts[0]
    configuration.save()
    sign_in(client, configuration)

    form = client.get(reverse("runs:run-launch", args=[configuration.pk])).content.decode()

    assert f'<option value="{prompts[0].pk}" selected>' in form


def test_models_that_judge_and_play_are_chosen_in_the_form_where_there_are_any(client, configuration):
    sign_in(client, configuration)
    url = reverse("runs:run-launch", args=[configuration.pk])
    without = client.get(url).content.decode()
    model = make_endpoint(configuration.project, name="m-1 model", request_mapping={"model": "m-1"})

    form = client.get(url).content.decode()
    client.post(url, form_of(configuration, judge=model.pk, simulator=model.pk))
    refused = client.post(url, form_of(configuration, judge=configuration.endpoint_id))

    run = TestRun.objects.get()
    named = {"id": str(model.pk), "name": "m-1 model"}
    assert "Judge model" not in without
    assert "Judge model" in form and "Simulated user" in form
    assert (run.snapshot["judge"], run.snapshot["simulator"], refused.status_code) == (named, named, 422)


def test_a_configuration_over_two_projects_is_launched_and_judged_again(client, configuration):
    """As an SDK's execution makes it: the test set and its evaluators are somewhere else."""
    other = make_project(configuration.organization)
    judge = make_evaluator(other, name="theirs", who="heuristic", definition={"heuristic": "exact"})
    configuration.test_set = make_test_set(other, name="Their set", cases=2)
    configuration.save()
    run = make_run(configuration.project, configuration=configuration)
    record_results(run, [ResultRecord(output={"output": "x"}, evaluations=[Judgement(evaluator=judge, value=1.0)])])
    run.finish()
    sign_in(client, configuration)
    url = reverse("runs:run-launch", args=[configuration.pk])
    rescore = reverse("results:run-rescore", args=[run.pk])

    form, again = client.get(url).content.decode(), client.get(rescore).content.decode()
    launched = client.post(url, form_of(configuration))
    judged = client.post(rescore, {"evaluators": [judge.pk]})

    assert f'<option value="{configuration.test_set_id}" selected>' in form and "theirs" in again
    assert (launched.status_code, judged.status_code) == (302, 302)
    assert TestRun.objects.exclude(pk=run.pk).get().planned_count == 4


def test_what_is_wrong_is_said_in_the_form(client, configuration):
    sign_in(client, configuration)
    empty = make_test_set(configuration.project)
    url = reverse("runs:run-launch", args=[configuration.pk])

    nothing = client.post(url, form_of(configuration, test_set=empty.pk))
    many = client.post(url, form_of(configuration, repetitions="1000"))
    foreign = client.post(url, form_of(configuration, endpoint=make_endpoint(make_project()).pk))

    assert [page.status_code for page in (nothing, many, foreign)] == [422, 422, 422]
    assert "has no cases" in nothing.content.decode()
    assert TestRun.objects.count() == 0


def test_launching_too_often_is_said_in_the_form_and_on_a_page_of_its_own(client, configuration, settings):
    settings.LAUNCHES_PER_MINUTE = 1
    sign_in(client, configuration)
    client.post(reverse("runs:run-launch", args=[configuration.pk]), form_of(configuration))
    run = TestRun.objects.get()
    run.cancel()

    form = client.post(reverse("runs:run-launch", args=[configuration.pk]), form_of(configuration))
    page = client.post(reverse("results:run-repeat", args=[run.pk]))

    for answer in (form, page):
        assert (answer.status_code, 1 <= int(answer["Retry-After"]) <= 60) == (429, True)
        assert "You launched as often as a minute allows (1)." in answer.content.decode()
    assert 'value="Tonight"' in form.content.decode()
    assert TestRun.objects.count() == 1


def test_reviewers_cannot_launch_and_strangers_see_nothing(client, configuration):
    url = reverse("runs:run-launch", args=[configuration.pk])
    sign_in(client, configuration, "reviewer")
    forbidden = client.get(url).status_code
    client.logout()
    sign_in(client, make_configuration(make_project()))

    assert (forbidden, client.get(url).status_code) == (403, 404)


def test_a_runs_page_offers_to_go_over_it_again(client, configuration):
    run = make_run(configuration.project, configuration=configuration)
    results = make_results(run, passed=1, failed=1)
    for result in results:
        configuration.test_set.cases.add(result.case)
    run.finish()
    sign_in(client, configuration)
    repeat, rescore = reverse("results:run-repeat", args=[run.pk]), reverse("results:run-rescore", args=[run.pk])

    page = client.get(reverse("results:run-detail", args=[run.pk])).content.decode()
    client.post(repeat, {"cases": "failed"})
    client.post(repeat, {"cases": "all"})
    asked = client.get(rescore).content.decode()
    none = client.post(rescore, {})
    again = client.post(rescore, {"evaluators": [one.pk for one in configuration.evaluators.all()]})

    assert repeat in page and rescore in page
    launched = TestRun.objects.exclude(pk=run.pk).order_by("number").values_list("planned_count", "reference_id")
    assert list(launched) == [(2, run.pk), (10, run.pk)]
    assert "says" in asked and none.status_code == 422 and again.status_code == 302
    assert list(Shard.objects.filter(run=run).values_list("kind", "size")) == [("judge", 2)]


def test_judging_again_is_followed_until_it_is_done(client, configuration):
    run = make_run(configuration.project, configuration=configuration)
    make_results(run, passed=2)
    run.finish()
    sign_in(client, configuration)
    client.post(reverse("results:run-rescore", args=[run.pk]), {"evaluators": configuration.evaluators.all()[0].pk})
    here = reverse("results:run-detail", args=[run.pk])
    poll = {"HX-Request": "true", "HX-Target": "div#run-figures"}

    pages = [client.get(here), client.get(here, headers=poll)]
    Shard.objects.filter(run=run).update(done_at=timezone.now())
    pages += [client.get(here, headers=poll), client.get(here)]

    told = [
        ("Workers judge 2 of its results again." in text, "every 5s" in text, "Everything has arrived." in text)
        for text in (page.content.decode() for page in pages)
    ]
    assert told == [(True, True, False), (True, True, False), (False, False, True), (False, False, False)]


def test_an_endpoint_is_tried_from_its_page(client, configuration, settings):
    settings.ALLOWED_NETWORKS = ["127.0.0.0/8"]
    sign_in(client, configuration)
    endpoint = configuration.endpoint
    with endpoint_in_a_thread(echo()) as bot:
        endpoint.url, endpoint.request_mapping = bot.url, {"message": "{{ input }}"}
        endpoint.response_mapping = {"output": "$.output"}
        endpoint.save()
        answered = client.post(reverse("runs:endpoint-try", args=[endpoint.pk]), {"message": "<b>Hi</b>"})
    settings.ALLOWED_NETWORKS = []
    refused = client.post(reverse("runs:endpoint-try", args=[endpoint.pk]), {"message": "Hi"})

    assert "You said: &lt;b&gt;Hi&lt;/b&gt;" in answered.content.decode()
    assert "address_refused" in refused.content.decode()
    assert TestRun.objects.count() == 0


def test_the_preset_fills_in_a_chat_endpoint(client, configuration):
    page = sign_in(client, configuration).get(reverse("runs:endpoint-create") + "?preset=openai").content.decode()

    assert "$.choices[0].message.content" in page and "/v1/chat/completions" in page


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://[::1]/", "http://169.254.169.254/", "http://localhost/",
                                 "http://2130706433/", "http://10.1.2.3/x", "http://[::ffff:10.0.0.1]/"])  # fmt: skip
def test_private_addresses_are_refused_when_an_endpoint_is_saved(client, configuration, url):
    sign_in(client, configuration)
    form = {
        "name": "bot", "project": configuration.project_id, "connection_type": "REST", "method": "POST", "url": url,
        "environment": "local", "response_format": "json", "timeout_seconds": "30", "max_concurrency": "8",
    }  # fmt: skip

    answer = client.post(reverse("runs:endpoint-create"), form)

    assert answer.status_code == 422
    assert "not a public address" in answer.content.decode() or "spells its number" in answer.content.decode()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"who": "heuristic", "heuristic": "regex", "settings": '{"pattern": "("}'}, "The pattern cannot be read"),
        ({"who": "heuristic", "heuristic": "length", "settings": '{"longest": 3}'}, "is no setting of this check"),
        ({"who": "ai", "prompt": "{{ output.upper() }}"}, "which is not allowed here"),
    ],
)
def test_an_evaluator_that_could_not_judge_is_not_saved(client, configuration, fields, said):
    sign_in(client, configuration)
    form = {
        "name": "new", "project": configuration.project_id, "value_type": "percentage", "direction": "higher",
        "operator": ">=", "weight": "1", "form-TOTAL_FORMS": "0", "form-INITIAL_FORMS": "0", **fields,
    }  # fmt: skip

    answer = client.post(reverse("runs:evaluator-create"), form)

    assert (answer.status_code, said in answer.content.decode()) == (422, True)
