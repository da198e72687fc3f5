"""Asking, taking, starting, declining, handing in, leaving: in any order, held against a plain model."""

from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import Count
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from evalhub.accounts.models import Membership
from evalhub.accounts.rights import Role
from results.assigning import (
    AssigningError,
    assign_reviewers,
    claim_slot,
    close_round,
    decline,
    keep_draft,
    release_of,
    start,
    withdraw,
    withdraw_round,
)
from results.models import Review, ReviewAssignment, ReviewRound
from results.recounting import recount
from results.reviewing import ReviewConflict, submit_review
from tests.factories import make_organization, make_project, make_results, make_run, make_user

PEOPLE, RESULTS = 4, 4
person = st.integers(0, PEOPLE - 1)
result = st.integers(0, RESULTS - 1)
pick = st.integers(0, 50)


class Reviewing(RuleBasedStateMachine):
    """``asked`` holds the (round, result, slot) that are to be filled or are: nothing but a lead takes one away."""

    def __init__(self):
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.organization = make_organization()
        self.run = make_run(make_project(self.organization))
        self.people = [make_user(self.organization, Role.REVIEWER) for _ in range(PEOPLE)]
        self.results = make_results(self.run, passed=2, failed=RESULTS - 2)
        self.asked = set()

    def teardown(self):
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    def rounds(self):
        return list(ReviewRound.objects.order_by("id"))

    def assignments(self, **conditions):
        return list(ReviewAssignment.objects.open().filter(**conditions).order_by("id"))

    def members(self, people):
        ids = set(Membership.objects.values_list("user_id", flat=True))
        return [self.people[number] for number in sorted(people) if self.people[number].pk in ids]

    @rule(
        results=st.sets(result, min_size=1),
        people=st.sets(person),
        overlap=st.integers(1, 2),
        seed=st.integers(1, 2**60),
    )
    def assign(self, results, people, overlap, seed):
        chosen = [self.results[number] for number in sorted(results)]
        with suppress(AssigningError):
            made = assign_reviewers(chosen, self.members(people), by=self.people[0], overlap=overlap, seed=seed)
            self.asked |= set(made.assignments.live().values_list("round_id", "result_id", "slot"))

    @precondition(lambda self: self.rounds())
    @rule(which=pick, who=person)
    def claim(self, which, who):
        rounds = self.rounds()
        if self.members([who]):
            claim_slot(rounds[which % len(rounds)], self.people[who])

    @rule(which=pick)
    def lease_runs_out(self, which):
        leased = self.assignments(lease_until__isnull=False)
        if leased:
            past = timezone.now() - timedelta(hours=1)
            ReviewAssignment.objects.filter(pk=leased[which % len(leased)].pk).update(lease_until=past)

    @rule(which=pick)
    def open_and_type(self, which):
        taken = self.assignments(reviewer__isnull=False)
        if taken:
            assignment = taken[which % len(taken)]
            assert start(assignment)
            assert keep_draft(assignment, {"comment": "half"})

    @rule(which=pick)
    def say_no(self, which):
        taken = self.assignments(reviewer__isnull=False)
        if taken:
            assignment = taken[which % len(taken)]
            successor = decline(assignment, by=assignment.reviewer, reason="no")
            assert successor is None or successor.reviewer_id != assignment.reviewer_id

    @rule(which=pick, verdict=st.sampled_from(["passed", "failed", "cant_tell"]))
    def hand_in(self, which, verdict):
        taken = self.assignments(reviewer__isnull=False)
        if taken:
            assignment = taken[which % len(taken)]
            submit_review(assignment.result, by=assignment.reviewer, verdict=verdict, assignment=assignment)

    @rule(number=result, who=person, verdict=st.sampled_from(["passed", "failed"]))
    def review_unasked(self, number, who, verdict):
        with suppress(ReviewConflict):
            submit_review(self.results[number], by=self.people[who], verdict=verdict)

    @rule(number=result, who=person, verdict=st.sampled_from(["passed", "failed"]))
    def change_of_mind(self, number, who, verdict):
        current = Review.objects.filter(result=self.results[number], reviewer=self.people[who], is_current=True).first()
        if current:
            submit_review(self.results[number], by=self.people[who], verdict=verdict, replaces=current)

    @rule(which=pick)
    def take_away(self, which):
        open_ones = self.assignments()
        if open_ones:
            assignment = open_ones[which % len(open_ones)]
            withdraw(assignment, by=self.people[0])
            self.asked.discard((assignment.round_id, assignment.result_id, assignment.slot))

    @precondition(lambda self: self.rounds())
    @rule(which=pick, wholly=st.booleans())
    def end_round(self, which, wholly):
        rounds = self.rounds()
        review_round = rounds[which % len(rounds)]
        states = ("open", "started") if wholly else ("open",)
        gone = review_round.assignments.filter(state__in=states).values_list("round_id", "result_id", "slot")
        self.asked -= set(gone)
        (close_round if wholly else withdraw_round)(review_round, by=self.people[0])

    @rule(who=person)
    def leave_and_come_back(self, who):
        user = self.people[who]
        Membership.objects.filter(user=user).delete()
        closed = ReviewRound.objects.filter(state="closed").values("pk")
        lost = ReviewAssignment.objects.open().filter(reviewer=user, round__in=closed)
        self.asked -= set(lost.values_list("round_id", "result_id", "slot"))
        release_of(user, self.organization)
        Membership.objects.create(user=user, organization=self.organization, role=Role.REVIEWER)

    @invariant()
    def every_slot_is_filled_or_free_exactly_once(self):
        live = list(ReviewAssignment.objects.live().values_list("round_id", "result_id", "slot"))
        assert len(live) == len(set(live))
        assert set(live) == self.asked

    @invariant()
    def nobody_is_asked_twice_or_after_their_review(self):
        for row in ReviewAssignment.objects.open().values("result_id", "reviewer_id").annotate(n=Count("pk")):
            assert row["reviewer_id"] is None or row["n"] == 1
        for assignment in ReviewAssignment.objects.open().filter(reviewer__isnull=False):
            assert not Review.objects.filter(
                result=assignment.result_id, reviewer=assignment.reviewer_id, is_current=True
            ).exists()

    @invariant()
    def everybody_has_one_current_review_of_a_result_at_most(self):
        doubled = Review.objects.filter(is_current=True).values("result", "reviewer").annotate(n=Count("pk"))
        assert not doubled.filter(n__gt=1).exists()

    @invariant()
    def stored_is_counted(self):
        assert recount(self.run.pk, repair=False) == []


@pytest.mark.django_db
def test_whatever_happens_no_slot_is_lost_or_filled_twice():
    run_state_machine_as_test(
        Reviewing,
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
