from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from results.models import Evaluation, Step, TestResult
from runs.models import Case, Evaluator, TestRun
from tests.api.conftest import Api, errors_of, problem
from tests.factories import (
    make_case,
    make_configuration,
    make_evaluator,
    make_organization,
    make_project,
    make_run,
    make_test_set,
)


@pytest.fixture
def run(project) -> TestRun:
    return make_run(project, external_id="run-1")


def send(api, *results, **more):
    return api.post("/api/runs/run-1/results/", {"results": list(results)}, **more)


FULL = {
    "id": "result-1",
    "case": {"id": "refund", "name": "Refund", "inputs": "Can I return it?", "expected": "Yes.", "tags": ["refunds"]},
    "repetition": 2,
    "output": {"output": "Sure, within 60 days."},
    "conversation": [
        {"turn": 1, "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
    ],
    "latency_ms": 812.5,
    "wall_ms": 900,
    "cost": 0.002,
    "usage": {"a-model": {"input": 211, "output": 24}},
    "started_at": "2026-06-18T08:00:00Z",
    "finished_at": "2026-06-18T08:00:01.25Z",
    "session_id": "s1",
    "render_html_key": "html",
    "tags": ["nightly"],
    "metadata": {"k": {"type": "string", "value": "v"}},
    "attributes": {"deep": [1, 2.5, None, "ü\u202e"]},
    "steps": [
        {"kind": "retrieval", "name": "search", "inputs": "refund", "outputs": {"documents": []}, "latency_ms": 30},
        {
            "kind": "llm",
            "provider": "p",
            "usage": {"a-model": {"input": 211, "output": 24}},
            "error": "slow",
            "turn": 1,
        },
    ],
    "evaluations": [
        {"evaluator": "tone", "value": 0.4, "explanation": "Curt."},
        {
            "evaluator": {"name": "policy", "who": "ai", "options": [{"label": "ok", "value": 1, "passes": True}]},
            "label": "ok",
        },
        {"evaluator": "broken", "error": "timeout"},
        {"evaluator": "turnwise", "value": 1, "passed": True, "turn": 1},
    ],
}


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"tokens": 10**12 + 1}, "tokens"),
        ({"usage": {"model": {"input": 10**12 + 1}}}, "usage.model.input"),
        ({"usage": {f"model {n}": {"input": 10**12} for n in range(2)}}, "tokens"),
    ],
)
def test_more_tokens_than_a_run_can_sum_up_are_refused(api, run, said, field):
    answer = send(api, {"id": "a", **said})

    assert (answer.status_code, TestResult.objects.count()) == (400, 0)
    assert [(error["index"], error["field"]) for error in answer.json()["errors"]] == [(0, field)]


def test_a_result_arrives_with_everything(api, project, run):
    tone = make_evaluator(project, name="tone", threshold=0.5)

    answer = send(api, FULL)

    result = TestResult.objects.get()
    assert answer.status_code == 201, answer.content
    assert answer.json() == {"items": [{"id": "result-1", "uuid": str(result.pk), "created": True}], "created": 1}
    shown = api.get("/api/results/result-1/?expand=steps,evaluations,reviews,case").json()
    case = Case.objects.get()
    assert shown["case"] == {"id": "refund", "number": 1, "name": "Refund"}
    assert {key: shown[key] for key in FULL.keys() & shown.keys() - {"case", "steps", "evaluations", "tags"}} == {
        **{key: FULL[key] for key in FULL.keys() & shown.keys() - {"case", "steps", "evaluations", "tags"}},
        "conversation": FULL["conversation"],
        "finished_at": "2026-06-18T08:00:01.250000Z",
    }
    assert (shown["inputs"], shown["expected"]) == ({"input": "Can I return it?"}, {"output": "Yes."})
    assert (shown["tokens"], shown["tags"], shown["outcome"]) == (235, ["nightly", "refunds"], "failed")
    assert shown["case_details"]["uuid"] == str(case.pk)
    assert [(step["position"], step["kind"], step["inputs"], step["error"]) for step in shown["steps"]] == [
        (1, "retrieval", {"input": "refund"}, ""),
        (2, "llm", {}, "slow"),
    ]
    assert [
        (one["evaluator"]["name"], one["state"], one["value"], one["label"], one["passed"], one["turn"])
        for one in shown["evaluations"]
    ] == [
        ("broken", "error", None, None, None, None),
        ("policy", "scored", 1.0, "ok", True, None),
        ("tone", "scored", 0.4, None, False, None),
        ("turnwise", "scored", 1.0, None, True, 1),
    ]
    assert shown["evaluations"][2]["evaluator"]["id"] == str(tone.pk)
    assert [score["evaluator"]["name"] for score in shown["scores"]] == ["broken", "policy", "tone"]
    assert shown["reviews"] == []


def test_the_same_batch_again_changes_nothing(api, run):
    first = send(api, FULL, {"case": {"id": "other"}}).json()
    counted = api.get("/api/runs/run-1/").json()

    again = send(api, FULL, {"case": {"id": "other"}}).json()

    assert [(one["id"], one["created"]) for one in again["items"]] == [
        ("result-1", False),
        (first["items"][1]["id"], False),
    ]
    assert again["created"] == 0
    assert api.get("/api/runs/run-1/").json() == counted


def test_cases_are_found_by_either_id(api, project, run):
    case = make_case(project, external_id="refund")

    send(api, {"case": "refund"}, {"case": str(case.pk), "repetition": 2}, {"case": {"id": "refund"}, "repetition": 3})

    assert set(TestResult.objects.values_list("case_id", flat=True)) == {case.pk}
    assert Case.objects.count() == 1


def test_an_evaluator_is_named_by_the_senders_own_uuid_in_any_case(api, project, run):
    ident = "FACB6642-4725-4FAE-9323-634E72533C89"
    tone = make_evaluator(project, name="tone", external_id=ident.lower())

    send(api, {"id": "result-1", "evaluations": [{"evaluator": ident, "value": 1.0}]})

    assert list(Evaluation.objects.values_list("evaluator")) == [(tone.pk,)]


def test_a_person_judges_by_a_human_evaluator(api, project, run):
    make_evaluator(project, name="taste", who="human")

    send(api, {"case": {"id": "a"}, "evaluations": [{"evaluator": "taste", "value": 0.9, "passed": True}]})

    judgement = Evaluation.objects.get()
    assert (judgement.source, judgement.author_id) == ("human", api.user.pk)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([], [(None, "results", "must not be empty")]),
        ("x", [(None, "results", "must be an array")]),
        ([{}, 5, {}], [(1, "", "must be an object")]),
        ([{}, {"outputs": 1}], [(1, "outputs", "is not known here")]),
        ([{}, {"case": "nothing"}], [(1, "case", "is not the id of anything that you can see")]),
        ([{"case": {"name": "x"}}], [(0, "case.id", "is required")]),
        ([{"case": 7}], [(0, "case", "must be a text or an object")]),
        ([{"repetition": 0}], [(0, "repetition", "must be from 1 to 100,000")]),
        ([{"variant": 3}], [(0, "variant", "The run has no variant at position 3.")]),
        ([{"outcome": "good"}], [(0, "outcome", "must be one of: passed, failed, error, unjudged")]),
        ([{"latency_ms": -1}], [(0, "latency_ms", "must be from 0 to 1e+12")]),
        ([{"usage": {"m": {"input": "7"}}}], [(0, "usage.m.input", "must be a number")]),
        ([{"evaluations": [{}]}], [(0, "evaluations[0].evaluator", "is required")]),
        (
            [{}, {"evaluations": [{"evaluator": "a"}, {"evaluator": "b", "value": "high"}]}],
            [(1, "evaluations[1].value", "must be a number")],
        ),
        (
            [{"evaluations": [{"evaluator": "a", "state": "pending", "value": 1}]}],
            [(0, "evaluations[0].value", "is for scored evaluations, and this one is pending")],
        ),
        (
            [{"evaluations": [{"evaluator": "00000000-0000-4000-8000-000000000000"}]}],
            [(0, "evaluations[0].evaluator", "is not the id of anything that you can see")],
        ),
        (
            [{}, {"evaluations": [{"evaluator": {"name": "a", "min_score": 1, "max_score": 0}, "value": 1}]}],
            [(1, "evaluations[0].evaluator.min_score", "must not be above max_score")],
        ),
        (
            [{"evaluations": [{"evaluator": {"name": "a", "options": [{"label": "ok"}, {"label": "OK"}]}}]}],
            [(0, "evaluations[0].evaluator.options[1].label", "is there twice")],
        ),
        (
            [{"conversation": [{"messages": [{"content": "x"}]}]}],
            [(0, "conversation[0].messages[0].role", "must be a text")],
        ),
        ([{"steps": [{"kind": "magic"}]}], [(0, "steps[0].kind", "must be one of: llm, tool, retrieval, other")]),
        ([{"tags": ["x"] * 51}], [(0, "tags", "has 51 items, and 50 are allowed")]),
        (
            [{"id": "x" * 256}, {"name": 1}],
            [(0, "id", "is longer than 255 characters"), (1, "name", "must be a text")],
        ),
    ],
)
def test_a_batch_with_a_misfit_leaves_nothing_behind(api, run, results, expected):
    response = api.post("/api/runs/run-1/results/", {"results": results})

    assert response.status_code == 400
    assert [(error.get("index"), error["field"], error["message"]) for error in problem(response)["errors"]] == expected
    assert (TestResult.objects.count(), Case.objects.count(), Evaluator.objects.count()) == (0, 0, 0)


def test_a_thousand_fit_and_one_more_does_not(api, run):
    fits = send(api, *[{"id": f"r{n}"} for n in range(1000)])
    too_many = send(api, *[{"id": f"s{n}"} for n in range(1001)])

    assert fits.json()["created"] == TestResult.objects.count() == 1000
    assert errors_of(too_many) == [("results", "has 1,001 items, and 1,000 are allowed")]


def test_a_misfit_at_the_end_keeps_nothing_of_the_batch(api, project, run):
    other = make_case(make_project(api.organization), external_id="elsewhere")

    response = send(api, {"case": {"id": "new"}, "evaluations": [{"evaluator": "new"}]}, {"case": str(other.pk)})

    assert [(e["index"], e["field"], e["message"]) for e in problem(response)["errors"]] == [
        (1, "case", "belongs to another project")
    ]
    assert (TestResult.objects.count(), Evaluator.objects.count(), Case.objects.count()) == (0, 0, 1)


def test_an_id_of_another_run_is_refused(api, project, run):
    make_run(project, external_id="run-2")
    send(api, {"id": "mine"})

    response = api.post("/api/runs/run-2/results/", {"results": [{"id": "other"}, {"id": "mine"}]})

    assert [(e["index"], e["field"]) for e in problem(response)["errors"]] == [(1, "id")]
    assert TestResult.objects.count() == 1


def test_what_belongs_to_strangers_cannot_be_named(api, stranger, run):
    theirs = make_project(stranger.organization)
    case, evaluator = make_case(theirs, external_id="c"), make_evaluator(theirs, external_id="e")

    refused = [
        send(api, {"case": str(case.pk)}),
        send(api, {"case": "c"}),
        send(api, {"evaluations": [{"evaluator": str(evaluator.pk)}]}),
    ]
    made = send(api, {"evaluations": [{"evaluator": "e", "value": 1}]})

    assert [problem(answer)["status"] for answer in refused] == [400] * 3
    assert made.status_code == 201
    assert Evaluation.objects.get().evaluator.organization == api.organization


def test_new_cases_join_the_configurations_test_set(api, project):
    test_set = make_test_set(project)
    make_run(project, external_id="run-1", configuration=make_configuration(project, test_set=test_set))

    send(api, {"case": {"id": "a", "inputs": "?"}})

    assert list(test_set.cases.values_list("external_id", flat=True)) == ["a"]


def test_the_number_of_queries_does_not_follow_the_batch(api, project, run):
    def batch(start: int, size: int) -> list[dict]:
        return [{**FULL, "id": f"r{n}", "case": {"id": f"c{n}"}, "repetition": 1} for n in range(start, start + size)]

    send(api, *batch(0, 1))
    with CaptureQueriesContext(connection) as one:
        send(api, *batch(10, 1))
    with CaptureQueriesContext(connection) as many:
        send(api, *batch(20, 50))

    assert len(many) == len(one)


@pytest.mark.django_db(transaction=True)
def test_many_senders_at_once_leave_exact_counts(transactional_db):
    api = Api(make_organization())
    make_run(make_project(api.organization), external_id="run-1")

    def push(worker: int) -> int:
        batch = [
            {"id": f"r{worker}-{n}", "evaluations": [{"evaluator": "tone", "passed": n % 2 == 0, "value": 1}]}
            for n in range(50)
        ]
        try:
            return send(api, *batch).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(push, [0, 1, 2, 3]))

    counts = api.get("/api/runs/run-1/").json()["counts"]
    assert statuses == [201] * 4
    assert (counts["results"], counts["passed"], counts["failed"]) == (200, 100, 100)
    assert TestResult.objects.count() == 200
    assert Step.objects.count() == 0
