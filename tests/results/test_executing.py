"""Launched runs, worked on in this process."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.models import QuerySet
from procrastinate.contrib.django.models import ProcrastinateJob

from results import executing
from results.models import Evaluation, TestResult
from results.recounting import recount
from runs import asking
from runs.cases import CaseSpec, add_to_test_set, change_case, ensure_cases
from runs.conversing import Answer
from runs.launching import CannotLaunch, cancel_run, launch, launch_again, plan_judging, tend_runs
from runs.models import (
    Category,
    ConfigurationEvaluator,
    Requirement,
    Shard,
    TestConfiguration,
    TestRun,
    TestSetEvaluator,
)
from tests.factories import (
    make_actor,
    make_case,
    make_configuration,
    make_endpoint,
    make_evaluator,
    make_project,
    make_test_set,
)
from tests.runs.bot import echo, endpoint_in_a_thread
from tests.runs.stub import answer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def quick(settings, monkeypatch):
    settings.ALLOWED_NETWORKS = ["127.0.0.0/8"]
    monkeypatch.setattr(asking, "FIRST_PAUSE", 0.01)


def set_up(url: str, *, cases: int = 3, evaluators: list[dict[str, Any]] | None = None, **endpoint: Any):
    project = make_project()
    values = {
        "url": url, "request_mapping": {"message": "{{ input }}", "session_id": "{{ session_id }}"},
        "response_mapping": {"output": "$.output", "session_id": "$.session_id"}, **endpoint,
    }  # fmt: skip
    configuration = make_configuration(
        project, endpoint=make_endpoint(project, **values), test_set=make_test_set(project, cases=cases),
        parameters={"retry_count": 5},
    )  # fmt: skip
    for position, fields in enumerate(evaluators if evaluators is not None else [SAYS]):
        evaluator = make_evaluator(project, who="heuristic", **fields)
        ConfigurationEvaluator.objects.create(configuration=configuration, evaluator=evaluator, position=position)
    return configuration


SAYS = {
    "name": "says",
    "threshold": None,
    "definition": {"heuristic": "contains", "settings": {"values": ["You said"]}},
}
SHORT = {
    "name": "short", "value_type": "number", "operator": "<=", "threshold": 10, "definition": {"heuristic": "length"},
}  # fmt: skip


def work() -> None:
    call_command("work", once=True, concurrency=2)


def done(run: TestRun) -> TestRun:
    """The run as it is now, with counters that its rows confirm."""
    run.refresh_from_db()
    assert recount(run.pk, repair=False) == []
    return run


def test_a_launched_run_asks_judges_and_ends_by_itself():
    with endpoint_in_a_thread(echo()) as bot:
        configuration = set_up(bot.url, cases=3, evaluators=[SAYS, SHORT])
        run = launch(configuration, by=make_actor(configuration.organization))

        before = (run.status, run.planned_count)
        work()

    run = done(run)
    results = TestResult.objects.filter(run=run).order_by("case__number")
    assert before == ("queued", 3)
    assert (run.status, run.result_count, run.passed, run.failed) == ("completed", 3, 0, 3)
    assert [r.output for r in results] == [{"output": f"You said: Question {n}?"} for n in (1, 2, 3)]
    assert set(Evaluation.objects.filter(run=run).values_list("evaluator__name", "value", "passed", "nth")) == {
        ("says", 1.0, True, 0), ("short", 21.0, False, 0),
    }  # fmt: skip
    assert Shard.objects.filter(run=run, done_at__isnull=True).count() == 0


def test_each_case_is_asked_as_often_as_it_is_repeated():
    with endpoint_in_a_thread(echo()) as bot:
        configuration = set_up(bot.url, cases=2)
        run = launch(configuration, by=None, repetitions=3)
        work()

    rows = TestResult.objects.filter(run=run).values_list("case__number", "repetition")
    assert sorted(rows) == [(case, repetition) for case in (1, 2) for repetition in (1, 2, 3)]
    assert (done(run).status, run.case_count, len(bot.seen)) == ("completed", 2, 6)


def test_a_case_that_fails_is_a_result_with_a_code_and_nobody_passes_it():
    async def sometimes(request, writer):
        broken = request.json["message"] == "Question 2?"
        writer.write(answer({"error": "no"}, 404) if broken else answer({"output": "You said something"}))

    with endpoint_in_a_thread(sometimes) as bot:
        run = launch(set_up(bot.url, cases=3), by=None)
        work()

    failed = TestResult.objects.get(run=run, case__number=2)
    assert (done(run).status, run.passed, run.errors) == ("partial", 2, 1)
    assert (failed.error_code, failed.outcome) == ("http_404", "error")
    assert [(e.state, e.error) for e in failed.evaluations.all()] == [("error", "There is no answer to judge.")]


def test_a_flaky_endpoint_is_asked_again():
    with endpoint_in_a_thread(echo(flaky=0.4)) as bot:
        run = launch(set_up(bot.url, cases=12), by=None, retry_count=15)
        work()

    assert (done(run).status, run.result_count, run.errors) == ("completed", 12, 0)
    assert len(bot.seen) > 12


def test_a_conversation_keeps_its_session():
    async def counting(request, writer):
        asked = request.json
        writer.write(answer({"output": f"{asked['message']}!", "session_id": asked["session_id"] or "made"}))

    with endpoint_in_a_thread(counting) as bot:
        configuration = set_up(bot.url, cases=0, evaluators=[])
        make_case(configuration.project, configuration.test_set, inputs={"input": "c", "messages": ["a", "b", "c"]})
        run = launch(configuration, by=None)
        work()

    result = TestResult.objects.get(run=run)
    assert [r.json for r in bot.seen] == [
        {"message": "a", "session_id": None}, {"message": "b", "session_id": "made"},
        {"message": "c", "session_id": "made"},
    ]  # fmt: skip
    assert (result.output, result.session_id, result.attributes) == ({"output": "c!"}, "made", {})
    assert [[m["content"] for m in turn["messages"]] for turn in result.conversation] == [
        ["a", "a!"], ["b", "b!"], ["c", "c!"],
    ]  # fmt: skip


def test_a_case_with_a_goal_says_that_nobody_can_play_the_user():
    with endpoint_in_a_thread(echo()) as bot:
        configuration = set_up(bot.url, cases=0, evaluators=[])
        make_case(configuration.project, configuration.test_set, inputs={}, plan={"goal": "get a refund"})
        run = launch(configuration, by=None)
        assert run.warnings == ["1 case has a goal and needs a simulated user, and no model is set up to play one."]
        assert launch(configuration, by=None, simulator=make_endpoint(configuration.project)).warnings == []
        cancel_run(TestRun.objects.exclude(pk=run.pk).get(), by=None)
        work()

    assert TestResult.objects.get(run=run).error_code == "no_simulator"
    assert (done(run).status, bot.seen) == ("failed", [])


def test_the_plan_stays_as_it_was_launched():
    with endpoint_in_a_thread(echo()) as bot:
        configuration = set_up(bot.url, cases=2)
        first, second = configuration.test_set.cases.order_by("number")
        run = launch(configuration, by=None)
        change_case(first, inputs={"input": "Changed?"})
        make_case(configuration.project, configuration.test_set)
        evaluator = configuration.evaluators.get()
        evaluator.definition = {"heuristic": "contains", "settings": {"values": ["Nobody says this"]}}
        evaluator.version = 2
        evaluator.save()
        work()

    results = list(TestResult.objects.filter(run=run).order_by("case__number"))
    assert [(r.case_id, r.case_revision, r.input_text) for r in results] == [
        (first.pk, 1, "Question 1?"), (second.pk, 1, "Question 2?"),
    ]  # fmt: skip
    assert done(run).passed == 2
    assert set(Evaluation.objects.filter(run=run).values_list("evaluator_version", flat=True)) == {1}


def test_working_twice_on_a_share_records_nothing_twice():
    with endpoint_in_a_thread(echo()) as bot:
        run = launch(set_up(bot.url, cases=3), by=None)
        work()
        Shard.objects.filter(run=run).update(done_at=None)
        TestRun.objects.filter(pk=run.pk).update(status="running", finished_at=None)
        tend_runs()
        work()

    assert (done(run).status, run.result_count, Evaluation.objects.filter(run=run).count()) == ("completed", 3, 3)
    assert len(bot.seen) == 3


def test_what_a_killed_worker_left_is_done_by_the_next():
    with endpoint_in_a_thread(echo()) as bot:
        run = launch(set_up(bot.url, cases=3), by=None)
        app_jobs().update(status="doing")  # as a killed worker leaves it
        work()

    assert (done(run).status, run.result_count) == ("completed", 3)


def test_a_share_that_kills_whoever_works_on_it_is_given_up():
    with endpoint_in_a_thread(echo()) as bot:
        run = launch(set_up(bot.url, cases=2), by=None)
        Shard.objects.filter(run=run).update(starts=executing.MOST_STARTS)
        work()

    assert (done(run).status, run.errors, bot.seen) == ("failed", 2, [])
    assert set(TestResult.objects.filter(run=run).values_list("error_code", flat=True)) == {"gave_up"}


def test_a_cancelled_run_asks_nothing_more():
    with endpoint_in_a_thread(echo()) as bot:
        run = launch(set_up(bot.url, cases=3), by=None)
        cancelled = cancel_run(run, by=None)
        work()

    assert (cancelled, done(run).status, run.result_count, bot.seen) == (True, "cancelled", 0, [])


def test_what_waits_for_its_turn_is_not_asked_once_the_run_is_cancelled():
    seen_when_cancelled: list[int] = []

    def cancel(run_id):
        cancel_run(TestRun.objects.get(pk=run_id), by=None)
        connection.close()
        seen_when_cancelled.append(len(bot.seen))

    async def slow(request, writer):
        if len(bot.seen) == 20:
            await asyncio.to_thread(cancel, run.pk)
        await asyncio.sleep(0.5)
        writer.write(answer({"output": "You said"}))

    with endpoint_in_a_thread(slow) as bot:
        run = launch(set_up(bot.url, cases=200, max_concurrency=8), by=None)
        call_command("work", once=True, concurrency=4)

    asked_later = len(bot.seen) - seen_when_cancelled[0]
    assert (done(run).status, run.result_count) == ("cancelled", len(bot.seen))
    assert asked_later <= 12  # those of the moment in which nobody knows it yet


def test_answers_are_kept_when_only_the_locks_are_lost():
    """One connection of the worker dies: what it protected ends, what was answered is recorded."""

    def cut():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'evalhub locks' AND datname = current_database()"
            )
        connection.close()

    async def slow(request, writer):
        if len(bot.seen) == 10:
            await asyncio.to_thread(cut)
        await asyncio.sleep(0.1)
        writer.write(answer({"output": "You said"}))

    with endpoint_in_a_thread(slow) as bot:
        run = launch(set_up(bot.url, cases=80, max_concurrency=4), by=None)
        work()
        asked, recorded = len(bot.seen), done(run).result_count
        tend_runs()
        work()

    assert (done(run).status, run.result_count, run.errors) == ("completed", 80, 0)
    assert (asked - recorded, len(bot.seen)) == (0, 80)


def test_a_run_is_launched_again_and_only_what_failed():
    broken = {"Question 2?"}

    async def sometimes(request, writer):
        message = request.json["message"]
        writer.write(answer({}, 404) if message in broken else answer({"output": f"You said {message}"}))

    with endpoint_in_a_thread(sometimes) as bot:
        run = launch(set_up(bot.url, cases=3), by=None, concurrency=2)
        work()
        broken.clear()
        failed = TestResult.objects.filter(run=run).exclude(outcome="passed").values_list("case_id", flat=True)
        again = launch_again(run, by=None, cases=failed)
        whole = launch_again(run, by=None)
        work()

    assert (done(run).status, done(again).status, done(whole).status) == ("partial", "completed", "completed")
    assert (again.result_count, again.passed, whole.result_count) == (1, 1, 3)
    assert (again.reference_id, again.snapshot["parameters"]["concurrency"]) == (run.pk, 2)


def test_a_run_that_is_run_again_asks_what_it_asked():
    with endpoint_in_a_thread(echo()) as bot:
        configuration = set_up(bot.url, cases=2)
        safety = Category.objects.create(organization=configuration.organization, name="Safety")
        case = make_case(configuration.project, configuration.test_set, category=safety)
        whole = launch(configuration, by=None)
        some = launch(configuration, by=None, cases=[case.pk], repetitions=2)
        configuration.category = safety
        configuration.save()

        again = [launch_again(run, by=None) for run in (whole, some, launch_again(some, by=None))]
        work()

    assert [done(run).result_count for run in again] == [3, 2, 2]
    assert {row.case_id for row in TestResult.objects.filter(run=again[2])} == {case.pk}


def test_a_filter_that_is_gone_is_said_before_everything_is_asked():
    configuration = set_up("https://bot.example.com", cases=2)
    safety = Category.objects.create(organization=configuration.organization, name="Safety")
    make_case(configuration.project, configuration.test_set, category=safety)
    run = launch(configuration, by=None, category=safety)
    safety.delete()

    with pytest.raises(CannotLaunch, match="kept to the category “Safety”, which is gone"):
        launch_again(run, by=None)


def test_results_are_judged_again_without_asking():
    with endpoint_in_a_thread(echo()) as bot:
        configuration = set_up(bot.url, cases=2)
        run = launch(configuration, by=None)
        work()
        exact = {"name": "strict", "threshold": None, "definition": {"heuristic": "exact"}}
        strict = make_evaluator(configuration.project, who="heuristic", **exact)
        says = configuration.evaluators.get()
        ids = list(TestResult.objects.filter(run=run).values_list("pk", flat=True))
        before = done(run).passed
        plan_judging(run, ids, [strict, says], by=None)
        work()
        Shard.objects.filter(run=run).update(done_at=None)
        tend_runs()
        work()

    rows = Evaluation.objects.filter(run=run).values_list("evaluator__name", "nth", "is_current", "state", "passed")
    assert sorted(rows) == [
        *[("says", 0, False, "scored", True)] * 2, *[("says", 1, True, "scored", True)] * 2,
        *[("strict", 0, True, "unscored", None)] * 2,
    ]  # fmt: skip
    assert (before, done(run).passed, run.status, len(bot.seen)) == (2, 2, "completed", 2)


def test_model_judges_are_asked_and_their_errors_are_errors():
    verdicts = ['{"reason": "Fine.", "score": 0.9}', "I like it!"]

    async def judge(request, writer):
        text = verdicts[0] if "Question 1" in request.json["messages"][1]["content"] else verdicts[1]
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        writer.write(answer({"model": "j", "choices": [{"message": {"content": text}}], "usage": usage}))

    with endpoint_in_a_thread(echo()) as bot, endpoint_in_a_thread(judge) as model:
        configuration = set_up(bot.url, cases=2, evaluators=[SAYS])
        endpoint = make_endpoint(configuration.project, url=model.url)
        judging = {"prompt": "Is {{ output }} kind?", "endpoint": str(endpoint.pk), "model": "j"}
        evaluator = make_evaluator(configuration.project, name="kind", who="ai", threshold=0.5, definition=judging)
        ConfigurationEvaluator.objects.create(configuration=configuration, evaluator=evaluator, position=9)
        run = launch(configuration, by=None)
        work()

    rows = Evaluation.objects.filter(run=run, evaluator=evaluator).order_by("result__case__number")
    used = {"j": {"input": 10, "output": 5}}
    assert [(row.state, row.value, row.passed, row.usage) for row in rows] == [
        ("scored", 0.9, True, used),
        ("error", None, None, used),
    ]
    results = TestResult.objects.filter(run=run).order_by("case__number").values_list("outcome", flat=True)
    assert (list(results), done(run).judged_share) == (["passed", "error"], 0.5)


def test_a_person_is_asked_about_each_result():
    human = {"name": "would you send it", "value_type": "label", "options": [{"label": "yes", "passes": True}]}
    with endpoint_in_a_thread(echo()) as bot:
        configuration = set_up(bot.url, cases=2, evaluators=[SAYS])
        person = make_evaluator(configuration.project, who="human", **human)
        ConfigurationEvaluator.objects.create(configuration=configuration, evaluator=person, position=5)
        run = launch(configuration, by=None)
        work()

    assert list(TestResult.objects.filter(run=run).values_list("review_state", "outcome")) == [("open", "passed")] * 2


def test_evaluators_come_from_the_test_set_or_the_requirements_of_its_cases():
    with endpoint_in_a_thread(echo()) as bot:
        configuration = set_up(bot.url, cases=2, evaluators=[])
        first, second = configuration.test_set.cases.order_by("number")
        requirement = Requirement.objects.create(organization=configuration.organization, name="Polite")
        demanded = make_evaluator(configuration.project, who="heuristic", **{**SAYS, "name": "demanded"})
        demanded.requirements.add(requirement)
        first.requirement = requirement
        first.save()
        by_requirement = launch(configuration, by=None)
        brought = make_evaluator(configuration.project, who="heuristic", **{**SAYS, "name": "brought"})
        TestSetEvaluator.objects.create(test_set=configuration.test_set, evaluator=brought)
        by_set = launch(configuration, by=None)
        work()

    judged = Evaluation.objects.values_list("run_id", "evaluator__name", "result__case_id")
    assert set(judged) == {
        (by_requirement.pk, "demanded", first.pk), (by_set.pk, "brought", first.pk), (by_set.pk, "brought", second.pk),
    }  # fmt: skip


def test_one_worker_keeps_organisations_apart():
    """Both at the same address, interleaved in one process, with a token and a judge each."""
    seen: list[tuple[str, str]] = []

    async def bot(request, writer):
        seen.append((request.headers["authorization"], request.body.decode()))
        asked = request.json
        if "message" in asked:
            said = {"output": f"You said: {asked['message']}", "session_id": f"{asked['session_id']}+"}
        else:
            said = {"choices": [{"message": {"content": '{"reason": "' + asked["model"] + '", "score": 1}'}}]}
        writer.write(answer(said))

    canaries = ("amber", "violet")
    with endpoint_in_a_thread(bot) as stub:
        runs = [launch(organization_with(canary, stub.url, cases=500), by=None) for canary in canaries]
        work()

    assert [(done(run).status, run.result_count, run.errors) for run in runs] == [("completed", 500, 0)] * 2
    assert len(seen) == 2 * 2 * 500
    alternating = sum(one[0] != other[0] for one, other in pairwise(seen))
    assert alternating > 10
    for canary, other, run in zip(canaries, reversed(canaries), runs, strict=True):
        mine = [body for authorization, body in seen if authorization == f"Bearer {canary}-token"]
        assert len(mine) == 1000
        assert not any(other in body for body in mine)
        rows = [
            *TestResult.objects.filter(organization=run.organization_id).values(),
            *Evaluation.objects.filter(organization=run.organization_id).values(),
            *Shard.objects.filter(organization=run.organization_id).values(),
        ]
        assert len(rows) == 500 + 1000 + run.shards.count()
        assert not any(other in str(row) for row in rows)
        assert sum(canary in str(row) for row in rows) == 500 + 500


def organization_with(canary: str, url: str, *, cases: int) -> TestConfiguration:
    judge = {"name": "judge", "who": "ai", "threshold": 0.5, "definition": {"prompt": "Is {{ output }} right?"}}
    configuration = set_up(url, cases=0, evaluators=[SAYS], auth_type="bearer_token", max_concurrency=16)
    endpoint = configuration.endpoint
    assert endpoint is not None and configuration.test_set is not None
    endpoint.keep_secrets(auth_token=f"{canary}-token")
    endpoint.save()
    model = make_endpoint(
        configuration.project, url=url, auth_type="bearer_token", request_mapping={"model": f"{canary}-model"}
    )
    model.keep_secrets(auth_token=f"{canary}-token")
    model.save()
    judge["definition"]["endpoint"] = str(model.pk)  # type: ignore[index]
    ConfigurationEvaluator.objects.create(
        configuration=configuration, evaluator=make_evaluator(configuration.project, **judge), position=1
    )
    specs = [CaseSpec(external_id=f"{canary}-{n}", inputs={"input": f"{canary} {n}"}) for n in range(cases)]
    add_to_test_set(configuration.test_set, list(ensure_cases(configuration.project, specs).values()))
    return configuration


def test_never_more_calls_at_once_than_the_endpoint_takes():
    now, most = 0, 0

    async def counting(request, writer):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        writer.write(answer({"output": "You said"}))

    with endpoint_in_a_thread(counting) as bot:
        configuration = set_up(bot.url, cases=40, max_concurrency=3)
        runs = [launch(configuration, by=None), launch(configuration, by=None, concurrency=1)]
        work()

    assert [done(run).result_count for run in runs] == [40, 40]
    assert most == 3


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda c: c.__dict__.update(endpoint_id=None), "has no endpoint"),
        (lambda c: c.__dict__.update(test_set_id=None), "has no test set"),
        (lambda c: c.test_set.memberships.all().delete(), "has no cases"),
        (lambda c: setattr(c.endpoint, "connection_type", "WebSocket"), "cannot call them"),
        (lambda c: setattr(c.endpoint, "url", ""), "has no address"),
        (lambda c: c.parameters.update(concurrency="many"), "“concurrency” is 'many'"),
        (lambda c: c.parameters.update(repetitions=1000), "“repetitions” is 1000"),
    ],
)
def test_what_cannot_be_launched_is_said_in_a_sentence(spoil, sentence):
    configuration = set_up("https://bot.example.com/")
    configuration.endpoint, configuration.test_set  # noqa: B018
    configuration = TestConfiguration.objects.get(pk=configuration.pk)
    spoil(configuration)

    with pytest.raises(CannotLaunch, match=sentence):
        launch(configuration, by=None)
    assert TestRun.objects.count() == 0


def app_jobs() -> QuerySet[ProcrastinateJob]:
    return QuerySet(ProcrastinateJob).filter(task_name="work_on_shard")  # its own manager is read-only


def test_whichever_statement_fails_a_batch_is_recorded_whole_or_not_at_all():
    configuration = set_up("https://bot.example.com/", cases=2, evaluators=[SAYS, SHORT])
    run = launch(configuration, by=None)
    work_ = executing.take_up(Shard.objects.get(run=run).pk)
    assert work_ is not None
    batch = [(asked, Answer(output={"output": "You said"}, latency_ms=5.0), []) for asked in work_.asked]
    failures = 0

    for n in range(1, 200):
        breaker = Breaker(n)
        try:
            with connection.execute_wrapper(breaker):
                executing._record(work_, batch)
            break
        except OperationalError:
            failures += 1
            rows = (TestResult.objects.filter(run=run).count(), Evaluation.objects.filter(run=run).count())
            assert rows in ((0, 0), (2, 4))
            assert (done(run).result_count,) == rows[:1]

    assert failures > 10
    assert (done(run).result_count, Evaluation.objects.filter(run=run).count()) == (2, 4)


class Breaker:
    """Fails the n-th statement."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self, execute, sql, params, many, context):
        self.left -= 1
        if self.left == 0:
            raise OperationalError("the connection broke")
        return execute(sql, params, many, context)
