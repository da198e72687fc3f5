"""Many people at once: real threads, a connection each."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random
from threading import Barrier

import pytest
from django.db import connections
from django.db.models import Count

from evalhub.accounts.rights import Role
from results.assigning import AssigningError, assign_reviewers, claim_slot, decline, withdraw_round
from results.models import Review, ReviewAssignment, ReviewRound
from results.recording import record_results
from results.records import Judgement, ResultRecord
from results.recounting import recount
from results.reviewing import ReviewConflict, submit_review
from tests.factories import (
    make_case,
    make_organization,
    make_project,
    make_result,
    make_results,
    make_run,
    make_user,
)

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(work, jobs):
    """Run ``work`` for every job in a thread of its own, all started together; the answers in order."""
    ready = Barrier(len(jobs))

    def one(job):
        try:
            ready.wait()
            return work(job)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(one, jobs))


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def run(organization):
    return make_run(make_project(organization))


def reviewers(organization, count):
    return [make_user(organization, Role.REVIEWER) for _ in range(count)]


def test_20_clients_submitting_and_assigning_at_once_leave_one_review_each_and_exact_counters(run, organization):
    people = reviewers(organization, 5)
    results = make_results(run, passed=6, failed=6)

    def client(number):
        """Assigns a few results to two people, then everybody's clients hand in reviews of all results."""
        mixed = Random(number).sample(results, len(results))
        reviewer = people[number % len(people)]
        conflicts = 0
        for result in mixed:
            with suppress(AssigningError):
                assign_reviewers([result, mixed[0]], [reviewer, people[(number + 1) % 5]], by=reviewer, overlap=2)
            try:
                submit_review(result, by=reviewer, verdict="failed")
            except ReviewConflict:
                conflicts += 1
        return conflicts

    conflicts = at_once(client, range(20))

    run.refresh_from_db()
    twice = Review.objects.values("result", "reviewer").annotate(n=Count("pk")).filter(n__gt=1)
    assert list(twice) == []
    assert Review.objects.count() == 12 * 5
    assert sum(conflicts) == 20 * 12 - 12 * 5
    live = ReviewAssignment.objects.live()
    assert (run.reviews_required, run.reviews_done) == (live.count(), live.filter(state="done").count())
    assert (run.failed, run.passed, run.reviewed) == (12, 0, 12)
    assert recount(run.pk, repair=False) == []


def test_40_claimers_on_200_slots_take_each_once(run, organization):
    people = reviewers(organization, 40)
    made = assign_reviewers(make_results(run, passed=200), [], by=people[0])

    def claim_all(person):
        taken = []
        while slot := claim_slot(made, person):
            taken.append(slot.pk)
        return taken

    taken = [pk for claimed in at_once(claim_all, people) for pk in claimed]

    assert len(taken) == len(set(taken)) == 200
    assert made.assignments.count() == 200


def test_claimers_of_overlapping_slots_never_get_a_result_twice(run, organization):
    people = reviewers(organization, 12)
    made = assign_reviewers(make_results(run, passed=15), [], by=people[0], overlap=3)

    def claim_all(person):
        count = 0
        while claim_slot(made, person):
            count += 1
        return count

    counts = at_once(claim_all, [person for person in people for _ in range(2)])  # two tabs each

    pairs = list(made.assignments.values_list("result_id", "reviewer_id"))
    assert sum(counts) == len(pairs) == len(set(pairs)) == 45


def test_a_double_click_makes_one_round(run, organization):
    people = reviewers(organization, 2)
    results = make_results(run, failed=10)

    rounds = at_once(lambda _: assign_reviewers(results, people, by=people[0], seed=77).pk, range(6))

    assert len(set(rounds)) == 1
    assert ReviewRound.objects.count() == 1
    run.refresh_from_db()
    assert run.reviews_required == 10


def test_a_double_click_makes_one_review(run, organization):
    (person,) = reviewers(organization, 1)
    assignment = assign_reviewers(make_results(run, failed=1), [person], by=person).assignments.get()

    def submit(_):
        try:
            return submit_review(assignment.result, by=person, verdict="failed", assignment=assignment).pk
        except ReviewConflict:
            return None

    made = [pk for pk in at_once(submit, range(8)) if pk]

    assert len(made) == 1
    assert list(Review.objects.values_list("pk", flat=True)) == made


def test_undo_while_people_work_loses_nothing(run, organization):
    people = reviewers(organization, 6)
    made = assign_reviewers(make_results(run, failed=30), people, by=people[0])

    def work(person):
        if person is None:
            withdraw_round(made, by=people[0])
            return
        for assignment in made.assignments.of(person):
            try:
                if assignment.slot == 1 and assignment.result.position % 5 == 0:
                    decline(assignment, by=person, reason="No")
                else:
                    submit_review(assignment.result, by=person, verdict="failed", assignment=assignment)
            except (ReviewConflict, AssigningError):
                pass

    at_once(work, [*people, None])

    assert recount(run.pk, repair=False) == []
    assert Review.objects.count() == made.assignments.filter(state="done").count()
    live = made.assignments.live().values("result", "slot").annotate(n=Count("pk")).filter(n__gt=1)
    assert list(live) == []


def test_reviewers_and_recorders_of_one_case_at_once_keep_the_sums_of_the_runs_interval_exact(run, organization):
    person = reviewers(organization, 1)[0]
    case = make_case(run.project).pk
    results = [make_result(run, passed=False, case=case, repetition=number) for number in range(1, 9)]

    def client(number):
        if number < len(results):
            submit_review(results[number], by=person, verdict="passed")
        else:
            said = [Judgement(evaluator="correct", value=1.0, passed=number % 2 == 1)]
            record_results(run, [ResultRecord(case=case, repetition=1 + number, evaluations=said)])

    at_once(client, range(16))

    run.refresh_from_db()
    assert (run.judged_cases, run.judged_squares, run.judged_passed, run.passed_squares) == (1, 256, 192, 144)
    assert recount(run.pk, repair=False) == []
