"""What lets one schema serve every door: the decisions of the domain that no room's own tests hold."""

import pytest
from django.db import IntegrityError, transaction

from evalhub.accounts.rights import Role
from evalhub.database.ids import new_id
from results.models import Evaluation, Rollup, TestResult
from results.recording import record_results
from results.records import Judgement, ResultRecord
from results.recounting import recount
from results.reviewing import Correction, submit_review
from runs.models import Case, Evaluator, TestSet, Variant
from tests.api.conftest import Api
from tests.factories import (
    make_case,
    make_evaluator,
    make_organization,
    make_project,
    make_result,
    make_run,
    make_test_set,
)

pytestmark = pytest.mark.django_db

OURS, THEIRS = "ABCDEF01-2345-4678-9ABC-DEF012345678", "BBCDEF01-2345-4678-9ABC-DEF012345678"


def copied(row, **fields):
    """The same row once more, with an id of its own."""
    row.pk, row._state.adding = new_id(), True
    for name, value in fields.items():
        setattr(row, name, value)
    return row


# --- identity ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def api():
    return Api(make_organization(), Role.ADMIN)


def push(api):
    """A project, what is asked in it, and a run with one result: each under an id of the sender's."""
    made = [
        api.post("/api/projects/", {"name": "Bot", "external_id": OURS}),
        api.post("/api/configurations/", {"name": "Nightly", "project": OURS, "external_id": "conf-1"}),
        api.post("/api/evaluators/", {"name": "Tone", "project": OURS.lower(), "external_id": "tone-1"}),
        api.post("/api/cases/", {"name": "Refund", "project": OURS, "external_id": "case-1", "inputs": "Money?"}),
        api.post("/api/runs/", {"project": OURS, "external_id": THEIRS, "configuration": "conf-1"}),
        api.post(
            f"/api/runs/{THEIRS}/results/",
            {"results": [{"id": "result-1", "case": "case-1", "output": "Yes",
                          "evaluations": [{"evaluator": "tone-1", "value": 1.0}]}]},
        ),
    ]  # fmt: skip
    assert [answer.status_code for answer in made] == [201] * len(made)


@pytest.mark.parametrize(
    "path",
    [
        f"/api/runs/?project={OURS}",
        "/api/runs/?configuration=conf-1",
        f"/api/results/?run={THEIRS}",
        f"/api/results/?project={OURS}",
        "/api/results/?case=case-1",
        f"/api/results/?run={THEIRS}&evaluator=tone-1&sort=-score",
        f"/api/cases/?project={OURS}",
        f"/api/evaluators/?project={OURS}",
    ],
)
def test_the_senders_ids_are_taken_in_bodies_paths_and_filters_and_uuids_in_any_case(api, path):
    push(api)

    (item,) = api.get(path).json()["items"]

    assert item["id"] in ("tone-1", "case-1", "result-1", THEIRS.lower())
    assert api.get(f"/api/runs/{THEIRS}/").json()["id"] == THEIRS.lower()


def test_two_organisations_use_the_same_ids_and_neither_learns_of_the_other(api):
    push(api)
    stranger = Api(make_organization(), Role.ADMIN)

    assert stranger.get(f"/api/runs/{THEIRS}/").status_code == 404
    push(stranger)

    assert TestResult.objects.filter(external_id="result-1").count() == 2


# --- what the database refuses ----------------------------------------------------------------------------------------


def a_second_golden_set():
    project = make_project()
    make_test_set(project, is_golden=True)
    make_test_set(project, is_golden=True)


def a_second_default_project():
    organization = make_organization()
    make_project(organization, is_default=True)
    make_project(organization, is_default=True)


def a_run_with_the_number_of_another():
    copied(make_run(), external_id=None).save()


def a_case_with_the_number_of_another():
    copied(make_case(make_project())).save()


def a_case_without_a_project():
    Case.objects.create(organization=make_organization(), number=1)


def the_same_case_asked_twice_without_variant():
    copied(make_result()).save()


def a_second_rollup_of_an_evaluator():
    make_result()
    copied(Rollup.objects.get()).save()


def a_machine_that_judges_without_an_evaluator():
    make_result()
    Evaluation.objects.update(evaluator=None)


def a_score_that_is_not_a_number():
    make_result()
    Evaluation.objects.update(value=float("nan"))


def a_pending_evaluation_with_a_score():
    make_result()
    Evaluation.objects.update(state="pending")


@pytest.mark.parametrize(
    "nonsense",
    [
        a_second_golden_set,
        a_second_default_project,
        a_run_with_the_number_of_another,
        a_case_with_the_number_of_another,
        a_case_without_a_project,
        the_same_case_asked_twice_without_variant,
        a_second_rollup_of_an_evaluator,
        a_machine_that_judges_without_an_evaluator,
        a_score_that_is_not_a_number,
        a_pending_evaluation_with_a_score,
    ],
)
def test_the_database_refuses(nonsense):
    with pytest.raises(IntegrityError), transaction.atomic():
        nonsense()


def test_a_deleted_golden_set_makes_room_for_another():
    project = make_project()
    make_test_set(project, is_golden=True).mark_deleted()

    make_test_set(project, is_golden=True)

    assert TestSet.objects.filter(project=project, is_golden=True).count() == 2


# --- judging ----------------------------------------------------------------------------------------------------------


def test_a_case_asked_in_two_variants_has_two_results_and_each_its_numbers():
    run = make_run()
    for position in (0, 1):
        Variant.objects.create(organization=run.organization, run=run, position=position, label=f"prompt {position}")
    case = make_case(run.project)

    record_results(
        run,
        [
            ResultRecord(
                case=case.pk,
                variant=position,
                evaluations=[Judgement(evaluator="tone", value=value, passed=value > 0.5)],
            )
            for position, value in ((0, 0.2), (1, 0.9))
        ],
    )

    numbers = Rollup.objects.order_by("variant__position").values_list(
        "variant__label", "passed", "failed", "value_sum"
    )
    assert list(numbers) == [("prompt 0", 0, 1, 0.2), ("prompt 1", 1, 0, 0.9)]
    run.refresh_from_db()
    assert (run.result_count, run.case_count) == (2, 1)


def test_score_missing_unscored_and_errored_stay_apart_and_nan_is_in_no_mean():
    make_result(
        evaluations=[
            Judgement(evaluator="scored", value=0.5),
            Judgement(evaluator="nan", value=float("nan")),
            Judgement(evaluator="missing"),
            Judgement(evaluator="broken", state="error", error="The judge was away."),
        ]
    )

    counted = {
        rollup.evaluator.name: (rollup.scored, rollup.unscored, rollup.errors, rollup.mean)
        for rollup in Rollup.objects.select_related("evaluator")
    }
    assert counted == {
        "scored": (1, 0, 0, 0.5),
        "nan": (0, 1, 0, None),
        "missing": (0, 1, 0, None),
        "broken": (0, 0, 1, None),
    }


def test_what_gives_no_verdict_leaves_the_result_unjudged_and_out_of_the_rate():
    run = make_run()
    weightless, endless = make_evaluator(run.project, weight=0), make_evaluator(run.project, threshold=None)

    result = make_result(
        run, evaluations=[Judgement(evaluator=weightless, value=0.1), Judgement(evaluator=endless, value=0.1)]
    )

    run.refresh_from_db()
    assert (result.outcome, run.unjudged, run.pass_rate) == ("unjudged", 1, None)


def test_a_tokens_judgements_are_its_persons_where_people_judge_and_the_machines_elsewhere(api):
    result = make_result(make_run(make_project(api.organization)), passed=None)
    tone = make_evaluator(result.run.project, name="tone", who="human")
    grounded = make_evaluator(result.run.project, name="grounded", who="ai")

    api.post(
        f"/api/results/{result.pk}/evaluations/",
        {"evaluations": [{"evaluator": str(one.pk), "value": 0.2} for one in (tone, grounded)]},
    )

    said = Evaluation.objects.order_by("evaluator__name").values_list("evaluator__name", "source", "author", "via")
    assert list(said) == [("grounded", "machine", None, "api"), ("tone", "human", api.user.pk, "api")]


def test_an_evaluator_that_comes_with_results_is_local():
    make_result(evaluations=[Judgement(evaluator="mine", value=1.0)])

    assert list(Evaluator.objects.values_list("name", "origin")) == [("mine", "local")]


def test_recount_finds_and_mends_what_evaluations_repeat_of_their_result():
    result = make_result()
    Evaluation.objects.update(outcome="failed")

    found = recount(result.run_id, repair=False)
    recount(result.run_id, repair=True)

    assert ["copy on evaluation" in str(one) for one in found] == [True]
    assert list(Evaluation.objects.values_list("outcome", flat=True)) == ["passed"]


def test_what_people_judge_by_a_template_is_counted_as_it_is_stored(api):
    result = make_result(make_run(make_project(api.organization)))
    template = Evaluator.objects.create(organization=api.organization, name="tone", who="human")

    submit_review(result, by=api.user, verdict="", corrections=[Correction(evaluator=template, passed=False)])

    assert [str(one) for one in recount(result.run_id, repair=False)] == []


@pytest.mark.parametrize(("who", "other"), [("ai", "human"), ("human", "heuristic"), ("human", "ai")])
def test_people_do_not_take_over_from_machines_once_something_is_judged(api, who, other):
    project = make_project(api.organization)
    evaluator = make_evaluator(project, who=who, external_id="tone-1")
    path = "/api/evaluators/tone-1/"
    free = [api.patch(path, {"who": one}).status_code for one in (other, who)]
    result = make_result(make_run(project))
    submit_review(result, by=api.user, verdict="", corrections=[Correction(evaluator=evaluator, passed=False)])

    refused = api.patch(path, {"who": other})

    assert (free, refused.status_code) == ([200, 200], 400)
    assert "Make a new evaluator" in refused.text
    assert [str(one) for one in recount(result.run_id, repair=False)] == []


def test_one_machine_takes_over_from_another(api):
    result = make_result(make_run(make_project(api.organization)))
    evaluator = Evaluator.objects.get()

    answer = api.patch(
        f"/api/evaluators/{evaluator.pk}/", {"who": "ai" if evaluator.who == "heuristic" else "heuristic"}
    )

    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert [str(one) for one in recount(result.run_id, repair=False)] == []


# --- arriving ---------------------------------------------------------------------------------------------------------


def test_recording_joins_the_transaction_that_it_finds():
    run = make_run()

    with transaction.atomic():
        record_results(run, [ResultRecord(output={"output": "Yes"})])
        transaction.set_rollback(True)

    run.refresh_from_db()
    assert (TestResult.objects.count(), run.result_count) == (0, 0)


def test_results_of_all_runs_are_not_sorted_by_a_score(api):
    push(api)

    refused = api.get("/api/results/?evaluator=tone-1&sort=-score")

    assert refused.status_code == 400
    assert "run" in refused.json()["detail"]
