"""One judgement of each pair counts: the database says so, whoever writes and in whatever order."""

import pytest
from django.db import IntegrityError, transaction

from evalhub.database.ids import new_id
from results.amending import amend_result, delete_result
from results.judging import add_judgements
from results.models import Evaluation, Rollup
from results.records import Judgement
from results.recounting import recount
from results.reviewing import Correction, submit_review, withdraw_review
from tests.factories import make_actor, make_evaluator, make_result, make_run, make_user

pytestmark = pytest.mark.django_db


def copy_of(evaluation, **fields):
    evaluation.pk = new_id()
    evaluation._state.adding = True
    for name, value in fields.items():
        setattr(evaluation, name, value)
    return evaluation


@pytest.mark.parametrize("source", ["machine", "human"])
@pytest.mark.parametrize("turn", [None, 2])
def test_the_database_holds_one_current_evaluation_of_a_pair(source, turn):
    run = make_run()
    tone = make_evaluator(run.project, who="human" if source == "human" else "ai")
    make_result(run, evaluations=[Judgement(evaluator=tone, value=1.0, source=source, turn=turn)])

    with pytest.raises(IntegrityError, match="one_current_evaluation"), transaction.atomic():
        copy_of(Evaluation.objects.get(), nth=1).save()


def test_the_database_holds_one_whole_result_verdict_of_a_person():
    result, ann = make_result(passed=None), make_user()
    submit_review(result, by=ann, verdict="failed")

    with pytest.raises(IntegrityError, match="one_current_evaluation"), transaction.atomic():
        copy_of(Evaluation.objects.get(), nth=1).save()


def test_the_database_tells_earlier_evaluations_apart():
    result = make_result()
    add_judgements(result, [Judgement(evaluator="correct", value=0.2)], via="api")

    with pytest.raises(IntegrityError, match="one_current_evaluation"), transaction.atomic():
        copy_of(Evaluation.objects.get(is_current=False)).save()


def test_no_judgement_shares_its_number_with_an_earlier_one():
    result = make_result()
    for value in (0.2, 0.4):
        add_judgements(result, [Judgement(evaluator="correct", value=value)], via="api")

    with pytest.raises(IntegrityError, match="evaluations_numbered"), transaction.atomic():
        Evaluation.objects.filter(is_current=True).update(nth=1)


def test_judgements_of_one_pair_are_numbered_and_the_newest_counts():
    result = make_result()

    for value in (0.2, 0.4):
        add_judgements(result, [Judgement(evaluator="correct", value=value)], via="api")

    numbered = result.evaluations.order_by("nth").values_list("nth", "value", "is_current")
    assert list(numbered) == [(0, 1.0, False), (1, 0.2, False), (2, 0.4, True)]
    assert recount(result.run_id, repair=False) == []


def test_a_question_asked_again_is_answered_again():
    run = make_run()
    tone = make_evaluator(run.project, name="tone", who="human")
    question = Judgement(evaluator=tone, source="human", state="pending")
    result, ann = make_result(run, evaluations=[question]), make_user()
    first = submit_review(result, by=ann, verdict="", corrections=[Correction(evaluator=tone, value=0.2)])
    withdraw_review(first)
    add_judgements(result, [question], via="api")

    second = submit_review(result, by=ann, verdict="", corrections=[Correction(evaluator=tone, value=0.9)])
    submit_review(result, by=ann, verdict="passed", replaces=second)

    numbered = result.evaluations.filter(evaluator=tone, author=ann).order_by("nth")
    assert list(numbered.values_list("nth", "value", "is_current")) == [(0, 0.2, False), (1, 0.9, False)]
    assert recount(run.pk, repair=False) == []


def test_what_is_said_of_a_result_that_was_deleted_meanwhile_counts_nowhere():
    result = make_result(make_run())
    delete_result(result, by=make_actor(result.organization))

    add_judgements(result, [Judgement(evaluator="late", value=1.0, passed=True)], via="api")

    assert recount(result.run_id, repair=False) == []


def test_a_result_whose_outcome_stays_still_forgets_a_verdict_that_no_longer_decides():
    """Reported as failed, corrected to failed: an error that is told later takes the correction out of the outcome."""
    result = make_result(passed=True, reported_outcome="failed")
    correction = Correction(evaluator=result.evaluations.get().evaluator, passed=False)
    submit_review(result, by=make_user(), verdict="", corrections=[correction])

    amend_result(result, {"error": "It broke."}, by=make_actor(result.organization), via="rhesis")

    result.refresh_from_db()
    assert (result.outcome, result.human_verdict) == ("failed", "")
    assert recount(result.run_id, repair=False) == []


def test_a_sum_of_nothing_is_nothing():
    run = make_run()
    values = (0.1, 0.2, 0.3)
    results = [make_result(run, evaluations=[Judgement(evaluator="tone", value=value)]) for value in values]

    for result in results:
        delete_result(result, by=make_actor(run.organization))

    assert list(Rollup.objects.values_list("value_count", "value_sum")) == [(0, 0.0)]
    assert recount(run.pk, repair=False) == []
