import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from evalhub.audit.models import AuditEvent
from results.annotating import Target, annotate, change_annotation, withdraw_annotation
from results.assigning import assign_reviewers, close_round
from results.judging import add_judgements
from results.models import Evaluation, Review, ReviewAssignment, Rollup
from results.records import Judgement
from results.recounting import recount
from results.reviewing import Correction, ReviewConflict, submit_review, withdraw_review
from runs.models import Evaluator
from tests.factories import (
    make_actor,
    make_case,
    make_evaluator,
    make_organization,
    make_project,
    make_result,
    make_results,
    make_run,
    make_user,
)

pytestmark = pytest.mark.django_db


def standing(result):
    result.refresh_from_db()
    return (result.machine_outcome, result.outcome, result.review_state, result.corrected)


def test_a_persons_verdict_wins_over_the_machine():
    result, ann = make_result(passed=True), make_user()

    submit_review(result, by=ann, verdict="failed", comment="Invents a policy.")

    result.run.refresh_from_db()
    assert standing(result) == ("passed", "failed", "reviewed", True)
    assert (result.run.passed, result.run.failed, result.run.machine_passed, result.run.corrected) == (0, 1, 1, 1)
    assert set(result.evaluations.values_list("source", "passed", "outcome")) == {
        ("machine", True, "failed"),
        ("human", False, "failed"),
    }


def test_corrections_of_a_case_that_was_asked_twice_keep_the_runs_interval_right():
    """One case of two results, both corrected to pass, beside one that passes: Wilson of 2 cases, all passed."""
    run = make_run()
    case = make_case(run.project).pk
    repeated = [make_result(run, passed=False, case=case, repetition=n) for n in (1, 2)]
    make_result(run, passed=True)

    for result in repeated:
        submit_review(result, by=make_user(), verdict="passed")

    run.refresh_from_db()
    assert (run.judged_cases, run.judged_squares, run.judged_passed, run.passed_squares) == (2, 5, 5, 5)
    assert (run.pass_low, run.pass_high) == (pytest.approx(0.3424, abs=5e-5), 1.0)
    assert recount(run.pk, repair=False) == []


def test_agreeing_reviewers_leave_the_machines_word():
    result = make_result(passed=True)

    for person in (make_user(), make_user()):
        submit_review(result, by=person, verdict="passed")

    assert standing(result) == ("passed", "passed", "reviewed", False)


def test_reviewers_who_differ_are_a_conflict_and_the_machines_outcome_stays():
    result = make_result(passed=True)

    submit_review(result, by=make_user(), verdict="failed")
    submit_review(result, by=make_user(), verdict="passed")

    result.run.refresh_from_db()
    assert standing(result) == ("passed", "passed", "conflict", False)
    assert (result.run.conflicts, result.run.reviewed) == (1, 1)


def test_cant_tell_does_not_count():
    result = make_result(passed=True)

    submit_review(result, by=make_user(), verdict="cant_tell")
    submit_review(result, by=make_user(), verdict="failed")

    assert standing(result) == ("passed", "failed", "reviewed", True)


def test_correcting_one_evaluator_rederives_the_outcome():
    result = make_result(evaluations=[Judgement(evaluator="a", passed=True), Judgement(evaluator="b", passed=False)])
    b = Evaluator.objects.get(name="b", project=result.run.project)

    submit_review(result, by=make_user(), verdict="", corrections=[Correction(evaluator=b, passed=True)])

    rollup = Rollup.objects.get(run=result.run, evaluator=b)
    assert standing(result) == ("failed", "passed", "reviewed", True)
    assert (rollup.passed, rollup.failed, rollup.effective_passed, rollup.corrected) == (0, 1, 1, 1)


def test_a_verdict_on_the_whole_beats_corrections():
    result = make_result(evaluations=[Judgement(evaluator="a", passed=False)])
    a = Evaluator.objects.get(name="a", project=result.run.project)

    submit_review(result, by=make_user(), verdict="failed", corrections=[Correction(evaluator=a, passed=True)])

    assert standing(result) == ("failed", "failed", "reviewed", False)


def test_a_pending_human_evaluation_is_completed_once_by_its_reviewer():
    run = make_run()
    tone = make_evaluator(
        run.project,
        name="tone",
        who="human",
        value_type="label",
        options=[{"label": "Good", "value": 1, "passes": True}, {"label": "Bad", "value": 0, "passes": False}],
    )
    result = make_result(run, evaluations=[Judgement(evaluator=tone, source="human", state="pending")])
    ann, bob = make_user(), make_user()

    submit_review(result, by=ann, verdict="", corrections=[Correction(evaluator=tone, label="Bad")])
    submit_review(result, by=bob, verdict="", corrections=[Correction(evaluator=tone, label="Bad")])

    rows = result.evaluations.order_by("created_at").values_list("author", "state", "label", "value", "passed")
    assert list(rows) == [(ann.pk, "scored", "Bad", 0.0, False), (bob.pk, "scored", "Bad", 0.0, False)]
    assert standing(result) == ("unjudged", "failed", "reviewed", False)


def make_question(run):
    return make_evaluator(
        run.project,
        name="tone",
        who="human",
        value_type="label",
        options=[{"label": "Good", "value": 1, "passes": True}, {"label": "Bad", "value": 0, "passes": False}],
    )


def questions_waiting(result):
    return result.evaluations.current().filter(source="human", state="pending").count()


def test_a_question_whose_answer_is_taken_back_waits_again():
    run, ann = make_run(), make_user()
    tone = make_question(run)
    result = make_result(run, evaluations=[Judgement(evaluator=tone, source="human", state="pending")])
    review = submit_review(result, by=ann, verdict="failed", corrections=[Correction(evaluator=tone, label="Bad")])

    withdraw_review(review)

    assert questions_waiting(result) == 1
    assert standing(result) == ("unjudged", "unjudged", "open", False)
    assert [(rollup.scored, rollup.pending) for rollup in Rollup.objects.filter(run=run)] == [(0, 1)]
    assert recount(run.pk, repair=False) == []


def test_a_question_that_a_second_thought_leaves_out_waits_again():
    run, ann = make_run(), make_user()
    tone = make_question(run)
    result = make_result(run, evaluations=[Judgement(evaluator=tone, source="human", state="pending")])
    review = submit_review(result, by=ann, verdict="failed", corrections=[Correction(evaluator=tone, label="Bad")])

    submit_review(result, by=ann, verdict="passed", replaces=review)

    assert (questions_waiting(result), standing(result)) == (1, ("unjudged", "passed", "reviewed", False))


def test_a_question_that_somebody_else_answered_too_does_not_wait_again():
    run, ann, bob = make_run(), make_user(), make_user()
    tone = make_question(run)
    result = make_result(run, evaluations=[Judgement(evaluator=tone, source="human", state="pending")])
    review = submit_review(result, by=ann, verdict="", corrections=[Correction(evaluator=tone, label="Bad")])
    submit_review(result, by=bob, verdict="", corrections=[Correction(evaluator=tone, label="Good")])

    withdraw_review(review)

    assert questions_waiting(result) == 0


def test_nobody_is_asked_again_what_nobody_was_asked():
    run, ann = make_run(), make_user()
    result = make_result(run, passed=True)
    review = submit_review(
        result, by=ann, verdict="failed", corrections=[Correction(evaluator=make_question(run), label="Bad")]
    )

    withdraw_review(review)

    assert questions_waiting(result) == 0


def test_reviewing_twice_needs_a_change_of_mind():
    result, ann = make_result(), make_user()
    first = submit_review(result, by=ann, verdict="failed")

    with pytest.raises(ReviewConflict):
        submit_review(result, by=ann, verdict="passed")
    second = submit_review(result, by=ann, verdict="passed", replaces=first)

    assert list(Review.objects.order_by("created_at").values_list("pk", "verdict", "is_current")) == [
        (first.pk, "failed", False),
        (second.pk, "passed", True),
    ]
    assert standing(result) == ("passed", "passed", "reviewed", False)


def test_a_change_of_mind_replaces_everything_that_was_said():
    result, ann = make_result(passed=True), make_user()
    correct = Evaluator.objects.get(name="correct", project=result.run.project)
    first = submit_review(result, by=ann, verdict="failed", corrections=[Correction(evaluator=correct, passed=False)])

    submit_review(result, by=ann, verdict="passed", replaces=first)

    said = result.evaluations.by_people().current().values_list("evaluator", "passed")
    assert list(said) == [(None, True)]
    assert recount(result.run_id, repair=False) == []


def test_taking_a_change_of_mind_back_leaves_the_first_word():
    result, ann = make_result(passed=True), make_user()
    correct = Evaluator.objects.get(name="correct", project=result.run.project)
    first = submit_review(result, by=ann, verdict="failed", corrections=[Correction(evaluator=correct, passed=False)])
    second = submit_review(result, by=ann, verdict="passed", replaces=first)

    withdraw_review(second)

    first.refresh_from_db()
    assert first.is_current
    assert set(result.evaluations.by_people().current().values_list("evaluator", "passed")) == {
        (None, False),
        (correct.pk, False),
    }
    assert standing(result) == ("passed", "failed", "reviewed", True)
    assert recount(result.run_id, repair=False) == []


def test_taking_a_review_back_opens_its_assignment_again():
    organization = make_organization()
    run, ann = make_run(make_project(organization)), make_user(organization)
    result = make_result(run)
    assignment = assign_reviewers([result], [ann], by=ann).assignments.get()
    review = submit_review(result, by=ann, verdict="failed", comment="Hm", assignment=assignment)

    withdraw_review(review)
    reopened = assignment.__class__.objects.get(pk=assignment.pk)
    submit_review(result, by=ann, verdict="passed", assignment=reopened)

    assert (reopened.state, reopened.draft) == ("started", {"verdict": "failed", "comment": "Hm"})
    run.refresh_from_db()
    assert (run.reviews_required, run.reviews_done, run.reviewed) == (1, 1, 1)
    assert recount(run.pk, repair=False) == []


def test_taking_a_review_back_ends_its_assignment_where_the_round_is_closed():
    organization = make_organization()
    run, ann = make_run(make_project(organization)), make_user(organization)
    result = make_result(run)
    review_round = assign_reviewers([result], [ann], by=ann)
    review = submit_review(result, by=ann, verdict="failed", assignment=review_round.assignments.get())
    close_round(review_round, by=ann)

    withdraw_review(review)

    run.refresh_from_db()
    result.refresh_from_db()
    assert review_round.assignments.get().state == "withdrawn"
    assert (result.reviews_required, result.reviews_done, result.review_count) == (0, 0, 0)
    assert (run.reviews_required, run.reviews_done, run.reviewed) == (0, 0, 0)
    assert recount(run.pk, repair=False) == []


def test_a_review_that_went_on_elsewhere_is_taken_back_as_a_whole():
    organization = make_organization()
    run, ann = make_run(make_project(organization)), make_actor(organization=organization)
    result = make_result(run)
    assignment = assign_reviewers([result], [ann.user], by=ann).assignments.get()
    submit_review(result, by=ann, verdict="failed", assignment=assignment)
    annotate(result, by=ann, target=Target(None), passed=True, via="rhesis")

    withdraw_review(Review.objects.get(is_current=True))

    result.refresh_from_db()
    assert (ReviewAssignment.objects.get().state, result.reviews_done, result.review_count) == ("started", 0, 0)
    assert not Review.objects.filter(is_current=True).exists()
    assert recount(run.pk, repair=False) == []


def test_recount_finds_and_ends_a_done_assignment_whose_review_was_taken_back():
    organization = make_organization()
    run, ann = make_run(make_project(organization)), make_user(organization, name="Ann")
    result = make_result(run)
    assignment = assign_reviewers([result], [ann], by=ann).assignments.get()
    submit_review(result, by=ann, verdict="failed", assignment=assignment)
    Review.objects.update(is_current=False)

    found = [difference.what for difference in recount(run.pk, repair=False)]
    kept = ReviewAssignment.objects.get().state
    recount(run.pk, repair=True)

    assert found == [
        "assignment of Ann", "reviews_required", "reviews_done", "reviews_required", "reviews_done"
    ]  # fmt: skip
    assert (kept, ReviewAssignment.objects.get().state) == ("done", "withdrawn")
    assert recount(run.pk, repair=False) == []


def test_the_trail_names_the_review():
    actor = make_actor()
    result = make_result(make_run(make_project(actor.organization)))

    review = submit_review(result, by=actor, verdict="failed")

    event = AuditEvent.objects.get(action="review.submitted")
    assert (event.user, event.organization, event.entity_id) == (actor.user, actor.organization, review.pk)
    assert event.data == {"result": str(result.pk), "verdict": "failed", "replaces": None}


def test_taking_a_review_back_restores_what_was_before():
    result, ann = make_result(passed=True), make_user()
    review = submit_review(result, by=ann, verdict="failed")

    withdraw_review(review)

    assert standing(result) == ("passed", "passed", "none", False)
    assert recount(result.run_id, repair=False) == []


def test_recount_finds_and_mends_a_wrong_counter():
    run = make_run()
    make_results(run, passed=2, failed=1)
    type(run).objects.filter(pk=run.pk).update(total_cost=7)
    Evaluation.objects.filter(run=run, passed=False).update(outcome="passed")

    found = [difference.what for difference in recount(run.pk, repair=False)]
    recount(run.pk, repair=True)

    assert found == ["copy on evaluation", "total_cost"]
    assert recount(run.pk, repair=False) == []


@pytest.mark.django_db(transaction=True)
def test_twenty_people_reviewing_at_once_are_counted_exactly():
    run = make_run()
    results = make_results(run, passed=4)
    people = [make_user() for _ in range(20)]

    def review(person):
        try:
            for result in results:
                for _ in range(2):
                    with contextlib.suppress(ReviewConflict):
                        submit_review(result, by=person, verdict="failed")
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(review, people))

    run.refresh_from_db()
    assert Review.objects.count() == 80
    assert (run.failed, run.corrected, run.reviewed, run.machine_passed) == (4, 4, 4, 4)
    assert recount(run.pk, repair=False) == []


def test_a_word_on_a_judgement_that_no_longer_counts_leaves_counters_and_assignments_agreed():
    actor = make_actor()
    run = make_run(make_project(actor.organization))
    evaluator = make_evaluator(run.project, name="Refusal")
    result = make_result(run)
    assign_reviewers([result], [actor.user], by=actor)
    row = annotate(result, by=actor, target=Target(), passed=True, via="api")
    moved = annotate(result, by=actor, target=Target(evaluator=evaluator), passed=True, via="api")
    withdraw_annotation(row, by=actor)
    again = Judgement(evaluator=evaluator, source="human", author_id=actor.user.pk, passed=False)
    add_judgements(result, [again], via="api")

    change_annotation(moved, by=actor, passed=True, comment="Look again.", target=Target(evaluator=evaluator))

    result.refresh_from_db()
    states = list(ReviewAssignment.objects.values_list("state", flat=True))
    assert (states, result.reviews_required, result.reviews_done) == (["started"], 1, 0)
    assert recount(run.pk, repair=False) == []
