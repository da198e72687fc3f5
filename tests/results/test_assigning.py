from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from evalhub.accounts.actor import Actor
from evalhub.accounts.models import Membership
from evalhub.accounts.rights import Role
from evalhub.audit.models import AuditEvent
from results.amending import amend_result, delete_result
from results.annotating import Target, annotate, withdraw_annotation
from results.assigning import (
    LEASE,
    AssigningError,
    Rule,
    assign_reviewers,
    claim_slot,
    close_round,
    count_parts,
    decline,
    keep_draft,
    open_work,
    pick,
    possible_reviewers,
    preview_deal,
    release_of,
    start,
    withdraw,
    withdraw_round,
)
from results.dealing import sample
from results.judging import add_judgements
from results.models import Evaluation, Review, ReviewAssignment, ReviewRound, TestResult
from results.records import Judgement
from results.recounting import recount
from results.reviewing import ReviewConflict, submit_review, withdraw_review
from tests.factories import (
    make_actor,
    make_evaluator,
    make_organization,
    make_project,
    make_result,
    make_results,
    make_run,
    make_user,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def lead(organization):
    return make_user(organization, Role.LEAD, name="Ines")


@pytest.fixture
def ann(organization):
    return make_user(organization, Role.REVIEWER, name="Ann")


@pytest.fixture
def ben(organization):
    return make_user(organization, Role.REVIEWER, name="Ben")


@pytest.fixture
def run(organization):
    return make_run(make_project(organization))


def asked(review_round):
    return sorted(
        review_round.assignments.order_by("id").values_list("result_id", "slot", "reviewer__name", "state"), key=str
    )


def states(review_round):
    return sorted(review_round.assignments.values_list("reviewer__name", "state"), key=str)


def counters(run):
    run.refresh_from_db()
    return run.reviews_required, run.reviews_done


def end_lease(assignment):
    ReviewAssignment.objects.filter(pk=assignment.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


# --- what is to be reviewed


def test_a_rule_finds_fails_conflicts_and_a_sample_of_passes(run, lead, ann, ben):
    results = make_results(run, passed=20, failed=3)
    passes, fails = results[:20], results[20:]
    submit_review(passes[0], by=ann, verdict="passed")
    submit_review(passes[0], by=ben, verdict="failed")
    found = TestResult.objects.filter(run=run)

    picked = pick(found, Rule(failed=True, conflicts=True, passed_percent=10), seed=5)

    drawn = sample([one.pk for one in passes[1:]], 10, 5)
    assert set(picked) == {passes[0].pk, *drawn, *(one.pk for one in fails)}
    assert len(picked) == 1 + 2 + 3
    assert count_parts(found) == {"everything": 23, "conflicts": 1, "failed": 3, "unjudged": 0, "passed": 19}


def test_a_rule_leaves_out_what_is_asked_or_reviewed_already(run, lead, ann):
    first, second, third = make_results(run, failed=3)
    assign_reviewers([first], [ann], by=lead)
    submit_review(second, by=ann, verdict="failed")

    assert pick(TestResult.objects.filter(run=run), Rule(failed=True), seed=1) == [third.pk]


def test_a_rule_finds_what_waits_for_a_person_whom_nobody_has_named(run, lead, ann):
    person = make_evaluator(run.project, who="human", value_type="label", options=[{"label": "Good", "passes": True}])
    waiting = Judgement(evaluator=person, source="human", state="pending")
    failed = Judgement(evaluator="correct", value=0, passed=False)
    first, second, third = (
        make_result(run, evaluations=evaluations) for evaluations in ([waiting], [waiting, failed], [waiting])
    )
    assign_reviewers([third], [ann], by=lead)
    found = TestResult.objects.filter(run=run)

    assert count_parts(found) == {"everything": 3, "conflicts": 0, "failed": 1, "unjudged": 1, "passed": 0}
    assert pick(found, Rule(failed=True, unjudged=True), seed=1) == [first.pk, second.pk]


def test_everything_is_everything_in_the_order_of_the_run(run):
    results = make_results(run, passed=2, failed=1)

    assert pick(TestResult.objects.all(), Rule(everything=True), seed=1) == [one.pk for one in results]


# --- dealing


def test_assigning_asks_once_even_when_done_twice(run, lead, ann):
    (result,) = make_results(run, passed=1)
    assign_reviewers([result], [ann], by=lead)

    with pytest.raises(AssigningError, match="already"):
        assign_reviewers([result], [ann], by=lead)

    assert result.assignments.count() == 1


def test_a_round_keeps_what_it_was_made_of(run, lead, ann, ben):
    results = make_results(run, failed=4)
    due = timezone.now() + timedelta(days=1)

    made = assign_reviewers(
        results,
        [ann, ben],
        by=lead,
        overlap=2,
        overlap_percent=50,
        due_at=due,
        name="Nightly",
        rubric="Be fair",
        seed=7,
    )

    assert (made.name, made.rubric, made.overlap, made.due_at, made.seed) == ("Nightly", "Be fair", 2, due, 7)
    assert (made.run, made.project, made.created_by, made.state) == (run, run.project, lead, "open")
    assert set(made.assignments.values_list("due_at", "assigned_by")) == {(due, lead.pk)}
    assert made.assignments.count() == 6


def test_the_counters_follow(run, lead, ann, ben):
    first, second = make_results(run, failed=2)

    assign_reviewers([first], [ann, ben], by=lead, overlap=2)

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.reviews_required, first.reviews_done, first.review_state) == (2, 0, "open")
    assert (second.reviews_required, second.review_state) == (0, "none")
    assert counters(run) == (2, 0)
    assert recount(run.pk, repair=False) == []


def test_who_owes_less_gets_more(run, lead, ann, ben):
    before, after = make_results(run, failed=4), make_results(run, failed=6)
    assign_reviewers(before, [ann], by=lead)

    made = assign_reviewers(after, [ann, ben], by=lead)

    assert open_work(run.organization_id, [ann.pk, ben.pk]) == {ann.pk: 5, ben.pk: 5}
    assert made.assignments.of(ben).count() == 5


def test_the_preview_says_what_the_deal_does(run, lead, ann, ben):
    results = make_results(run, failed=9)
    ids = [one.pk for one in results]

    preview = preview_deal(ids, [ann, ben], organization=run.organization, seed=11, overlap=2, overlap_percent=30)
    made = assign_reviewers(results, [ann, ben], by=lead, seed=11, overlap=2, overlap_percent=30)

    dealt = list(made.assignments.order_by("id").values_list("result_id", "slot", "reviewer_id"))
    assert dealt == [(hand.result_id, hand.slot, hand.reviewer_id) for hand in preview.deal.hands]
    assert [share.total for share in preview.shares] == [6, 6]


def test_the_same_seed_makes_one_round(run, lead, ann):
    results = make_results(run, failed=3)

    first = assign_reviewers(results, [ann], by=lead, seed=5)
    second = assign_reviewers(results, [ann], by=lead, seed=5)

    assert first == second
    assert ReviewRound.objects.count() == 1
    assert counters(run) == (3, 0)


def test_nobody_is_asked_for_what_they_reviewed(run, lead, ann, ben):
    (result,) = make_results(run, failed=1)
    submit_review(result, by=ann, verdict="failed")

    made = assign_reviewers([result], [ann, ben], by=lead)

    assert asked(made) == [(result.pk, 1, "Ben", "open")]


def test_a_round_is_about_one_project(run, lead, ann):
    other = make_run(make_project(run.organization))

    with pytest.raises(AssigningError, match="several projects"):
        assign_reviewers([*make_results(run, failed=1), *make_results(other, failed=1)], [ann], by=lead)

    assert ReviewRound.objects.count() == 0


def test_two_runs_of_a_project_make_one_round(run, lead, ann):
    other = make_run(run.project)

    made = assign_reviewers([*make_results(run, failed=1), *make_results(other, failed=2)], [ann], by=lead)

    assert made.run is None
    assert made.name == "Review of 2 runs"
    assert (counters(run), counters(other)) == ((1, 0), (2, 0))


def test_only_members_who_may_review_are_asked(run, lead, organization):
    viewer, stranger = make_user(organization, Role.VIEWER, name="Vic"), make_user(make_organization(), name="Sam")
    results = make_results(run, failed=1)

    with pytest.raises(AssigningError, match="Vic, Sam cannot review here"):
        assign_reviewers(results, [viewer, stranger], by=lead)

    assert possible_reviewers(organization) == [lead]


def test_overlap_needs_as_many_people(run, lead, ann):
    with pytest.raises(AssigningError, match="at least 2 people"):
        assign_reviewers(make_results(run, failed=1), [ann], by=lead, overlap=2)


def test_deleted_results_are_not_asked_for(run, lead, ann):
    first, second = make_results(run, failed=2)
    first.mark_deleted()

    made = assign_reviewers([first, second], [ann], by=lead)

    assert asked(made) == [(second.pk, 1, "Ann", "open")]


def test_the_trail_names_the_deal(run, ann):
    actor = make_actor(run.organization)
    results = make_results(run, failed=2)

    made = assign_reviewers(results, [ann], by=actor)

    event = AuditEvent.objects.get(action="round.created")
    assert (event.user, event.organization, event.entity_id) == (actor.user, run.organization, made.pk)
    assert event.data == {"reviews": 2, "results": 2, "reviewers": {str(ann.pk): 2}}


def test_the_trail_names_an_assignment_by_its_result_and_reviewer(run, ann):
    result = make_result(run, name="Refund after 30 days")
    asked = assign_reviewers([result], [ann], by=ann).assignments.get()

    start(asked)
    decline(asked, by=ann, reason="No")

    events = AuditEvent.objects.filter(action__startswith="assignment.").order_by("id")
    assert [event.entity_label for event in events] == ["Refund after 30 days for Ann"] * 2


def test_the_trail_names_an_annotation_by_its_result_and_what_it_judges(run, ann):
    result = make_result(run, name="Refund after 30 days")

    annotate(result, by=Actor(ann, run.organization, Role.REVIEWER), target=Target(), passed=False, via="page")

    assert AuditEvent.objects.get(action="annotation.added").entity_label == "Refund after 30 days, whole result"


def test_the_trail_tells_every_step(run, lead, ann, ben, organization):
    made = assign_reviewers(make_results(run, failed=4), [ann, ben], by=lead)
    shared = assign_reviewers(make_results(run, failed=1), [], by=lead)
    first, second = made.assignments.of(ann).order_by("id")
    start(first)
    start(first)
    decline(first, by=ann, reason="No")
    withdraw_review(submit_review(second.result, by=ann, verdict="failed", assignment=second))
    claim_slot(shared, ann)
    withdraw(made.assignments.open().of(ben)[0], by=lead)
    release_of(ben, organization, by=lead)
    withdraw_round(shared, by=lead)
    close_round(made, by=lead)

    events = AuditEvent.objects.order_by("at", "id").values_list("action", "user__name")
    assert list(events) == [
        ("round.created", "Ines"),
        ("round.created", "Ines"),
        ("assignment.started", "Ann"),
        ("assignment.declined", "Ann"),
        ("review.submitted", "Ann"),
        ("review.withdrawn", None),
        ("assignment.claimed", "Ann"),
        ("assignment.withdrawn", "Ines"),
        ("assignments.released", "Ines"),
        ("round.withdrawn", "Ines"),
        ("round.closed", "Ines"),
    ]


# --- undo, withdraw, close


def test_undo_withdraws_what_nobody_has_started(run, lead, ann, ben):
    results = make_results(run, failed=2)
    made = assign_reviewers(results, [ann, ben], by=lead)
    start(made.assignments.of(ann).get())

    assert withdraw_round(made, by=lead) == 1

    made.refresh_from_db()
    assert states(made) == [("Ann", "started"), ("Ben", "withdrawn")]
    assert (made.state, made.withdrawn_at) == ("open", None)
    assert counters(run) == (1, 0)


def test_undo_of_an_untouched_round_ends_it(run, lead, ann):
    results = make_results(run, failed=2)
    made = assign_reviewers(results, [ann], by=lead)

    withdrawn = [withdraw_round(made, by=lead), withdraw_round(made, by=lead)]

    made.refresh_from_db()
    results[0].refresh_from_db()
    assert withdrawn == [2, 0]
    assert made.state == "closed"
    assert made.withdrawn_at is not None
    assert results[0].review_state == "none"
    assert counters(run) == (0, 0)
    assert AuditEvent.objects.filter(action="round.withdrawn").count() == 1


def test_who_was_asked_by_mistake_can_be_asked_again(run, lead, ann):
    results = make_results(run, failed=1)
    withdraw_round(assign_reviewers(results, [ann], by=lead), by=lead)

    assert asked(assign_reviewers(results, [ann], by=lead)) == [(results[0].pk, 1, "Ann", "open")]


def test_closing_a_round_keeps_what_is_done(run, lead, ann, ben):
    results = make_results(run, failed=2)
    made = assign_reviewers(results, [ann, ben], by=lead)
    done, started = made.assignments.of(ann).get(), made.assignments.of(ben).get()
    submit_review(done.result, by=ann, verdict="failed", assignment=done)
    start(started)

    assert close_round(made, by=lead) == 1

    made.refresh_from_db()
    assert states(made) == [("Ann", "done"), ("Ben", "withdrawn")]
    assert (made.state, made.withdrawn_at) == ("closed", None)
    assert counters(run) == (1, 1)
    assert recount(run.pk, repair=False) == []


def test_one_assignment_can_be_withdrawn(run, lead, ann):
    made = assign_reviewers(make_results(run, failed=1), [ann], by=lead)
    assignment = made.assignments.get()

    withdraw(assignment, by=lead)

    with pytest.raises(AssigningError, match="already withdrawn"):
        withdraw(assignment, by=lead)
    assert counters(run) == (0, 0)


# --- declining and leaving


def test_declining_passes_the_slot_to_the_least_busy_who_was_not_asked(run, lead, ann, ben, organization):
    cleo = make_user(organization, Role.REVIEWER, name="Cleo")
    results = make_results(run, failed=3)
    made = assign_reviewers(results, [ann, ben, cleo], by=lead)
    assign_reviewers(make_results(run, failed=2), [cleo], by=lead)
    declined = made.assignments.of(ann).get()

    successor = decline(declined, by=ann, reason="I wrote this case")

    declined.refresh_from_db()
    assert (declined.state, declined.decline_reason, declined.reviewer) == ("declined", "I wrote this case", ann)
    assert (successor.reviewer_id, successor.slot, successor.result_id) == (ben.pk, 1, declined.result_id)
    assert counters(run) == (5, 0)
    assert recount(run.pk, repair=False) == []


def test_declining_leaves_the_slot_open_where_nobody_is_left(run, lead, ann):
    made = assign_reviewers(make_results(run, failed=1), [ann], by=lead)

    successor = decline(made.assignments.get(), by=ann, reason="Holidays")

    assert successor.reviewer is None
    assert states(made) == [("Ann", "declined"), (None, "open")]
    assert counters(run) == (1, 0)


def test_nobody_gets_back_what_they_declined(run, lead, ann, ben):
    made = assign_reviewers(make_results(run, failed=1), [ann], by=lead)
    first = decline(made.assignments.get(), by=ann, reason="No")
    ReviewAssignment.objects.filter(pk=first.pk).update(reviewer=ben)

    assert decline(first, by=ben, reason="Neither").reviewer is None


def test_what_is_done_cannot_be_declined(run, lead, ann):
    made = assign_reviewers(make_results(run, failed=1), [ann], by=lead)
    assignment = made.assignments.get()
    submit_review(assignment.result, by=ann, verdict="failed", assignment=assignment)

    with pytest.raises(AssigningError, match="already done"):
        decline(assignment, by=ann, reason="Too late")


def test_the_work_of_who_leaves_goes_to_the_others(run, lead, ann, ben, organization):
    results = make_results(run, failed=4)
    made = assign_reviewers(results, [ann, ben], by=lead)
    done = made.assignments.of(ann).first()
    submit_review(done.result, by=ann, verdict="failed", assignment=done)
    Membership.objects.filter(user=ann).delete()

    assert release_of(ann, organization) == 1

    assert states(made) == [("Ann", "done"), ("Ann", "withdrawn"), ("Ben", "open"), ("Ben", "open"), ("Ben", "open")]
    assert counters(run) == (4, 1)
    assert recount(run.pk, repair=False) == []


def test_leaving_one_organization_keeps_the_work_of_another(run, lead, ann):
    assign_reviewers(make_results(run, failed=1), [ann], by=lead)

    assert release_of(ann, make_organization()) == 0
    assert open_work(run.organization_id, [ann.pk]) == {ann.pk: 1}


# --- the shared queue


def test_a_claimed_slot_is_held_for_a_while(run, lead, ann):
    results = make_results(run, failed=2)
    made = assign_reviewers(results, [], by=lead)

    slot = claim_slot(made, ann)

    assert (slot.reviewer, slot.state, slot.result_id) == (ann, "open", results[0].pk)
    assert timedelta() < slot.lease_until - timezone.now() <= LEASE
    assert counters(run) == (2, 0)


def test_nobody_claims_two_slots_of_one_result(run, lead, ann):
    made = assign_reviewers(make_results(run, failed=1), [], by=lead, overlap=2)

    assert [claim_slot(made, ann) is not None, claim_slot(made, ann) is not None] == [True, False]


def test_nobody_claims_what_they_reviewed_or_have_open(run, lead, ann, ben):
    first, second = make_results(run, failed=2)
    made = assign_reviewers([first, second], [], by=lead)
    submit_review(first, by=ann, verdict="failed")
    assign_reviewers([second], [ann], by=lead)

    assert claim_slot(made, ann) is None
    assert claim_slot(made, ben).result_id == first.pk


def test_a_lease_ends_by_itself(run, lead, ann, ben):
    made = assign_reviewers(make_results(run, failed=1), [], by=lead)
    slot = claim_slot(made, ann)
    keep_draft(slot, {"comment": "half a thought"})
    end_lease(slot)

    taken = claim_slot(made, ben)

    slot.refresh_from_db()
    assert (taken.reviewer, taken.slot, taken.draft) == (ben, slot.slot, None)
    assert (slot.state, slot.reviewer, slot.draft) == ("withdrawn", ann, {"comment": "half a thought"})
    with pytest.raises(ReviewConflict):
        submit_review(slot.result, by=ann, verdict="failed", assignment=slot)
    assert counters(run) == (1, 0)


def test_the_same_person_takes_up_an_ended_lease_with_the_draft(run, lead, ann):
    made = assign_reviewers(make_results(run, failed=1), [], by=lead)
    slot = claim_slot(made, ann)
    keep_draft(slot, {"comment": "half a thought"})
    end_lease(slot)

    again = claim_slot(made, ann)

    assert (again.pk, again.draft) == (slot.pk, {"comment": "half a thought"})
    assert again.lease_until > timezone.now()


def test_an_ended_lease_that_nobody_took_can_still_be_handed_in(run, lead, ann):
    made = assign_reviewers(make_results(run, failed=1), [], by=lead)
    slot = claim_slot(made, ann)
    end_lease(slot)

    submit_review(slot.result, by=ann, verdict="failed", assignment=slot)

    assert counters(run) == (1, 1)


def test_an_ended_lease_is_nobodys_work(run, lead, ann):
    made = assign_reviewers(make_results(run, failed=1), [], by=lead)
    end_lease(claim_slot(made, ann))

    assert open_work(run.organization_id, [ann.pk]) == {ann.pk: 0}
    assert list(ReviewAssignment.objects.waiting_for(ann)) == []


def test_starting_notes_when_and_holds_the_lease(run, lead, ann):
    made = assign_reviewers(make_results(run, failed=1), [], by=lead)
    slot = claim_slot(made, ann)
    ReviewAssignment.objects.filter(pk=slot.pk).update(lease_until=timezone.now() + timedelta(seconds=5))

    assert start(slot)

    slot.refresh_from_db()
    assert slot.state == "started"
    assert slot.started_at is not None
    assert slot.lease_until > timezone.now() + LEASE / 2


def test_nothing_starts_after_it_was_withdrawn(run, lead, ann):
    made = assign_reviewers(make_results(run, failed=1), [ann], by=lead)
    assignment = made.assignments.get()
    withdraw_round(made, by=lead)

    assert [start(assignment), keep_draft(assignment, {"comment": "late"})] == [False, False]


def test_a_closed_round_gives_nothing_away(run, lead, ann):
    made = assign_reviewers(make_results(run, failed=1), [], by=lead)
    close_round(made, by=lead)

    assert claim_slot(made, ann) is None


# --- all or nothing


class Interrupted(Exception):
    pass


def failing_at(number):
    """A wrapper of the database that breaks the statement after ``number`` others; savepoints are no statements."""
    passed = [0]

    def wrapper(execute, sql, params, many, context):
        if not sql.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            passed[0] += 1
            if passed[0] == number + 1:
                raise Interrupted
        return execute(sql, params, many, context)

    return wrapper


def everything(run):
    run.refresh_from_db()
    return (
        list(ReviewRound.objects.order_by("id").values("id", "state", "withdrawn_at")),
        list(ReviewAssignment.objects.order_by("id").values("id", "state", "reviewer", "decline_reason")),
        list(
            TestResult.objects.order_by("id").values(
                "outcome", "review_state", "reviews_required", "reviews_done", "deleted_at"
            )
        ),
        list(Review.objects.order_by("id").values("id", "is_current")),
        list(Evaluation.objects.order_by("id").values("id", "is_current", "effective", "outcome")),
        AuditEvent.objects.count(),
        (run.reviews_required, run.reviews_done, run.reviewed, run.passed, run.failed),
    )


VERBS = (
    *("assign", "submit", "decline", "release", "undo", "claim", "withdraw_review"),
    *("judge", "amend", "delete_result", "annotate", "withdraw_annotation"),
)


@pytest.mark.parametrize("verb", VERBS)
def test_what_breaks_in_the_middle_changes_nothing(run, lead, ann, ben, organization, verb):
    results = make_results(run, passed=2, failed=1)
    made = assign_reviewers(results, [ann, ben], by=lead)
    shared = assign_reviewers(results[:1], [], by=lead)
    review = submit_review(results[2], by=lead, verdict="passed")
    mine = made.assignments.of(ann).order_by("id")[0]
    actor, said = Actor(ben, organization, Role.REVIEWER), Target()
    note = annotate(results[2], by=actor, target=said, passed=False, via="rhesis")
    wrong = [Judgement(evaluator="correct", value=0.0, passed=False)]
    work = {
        "assign": lambda: assign_reviewers(results, [lead], by=lead),
        "submit": lambda: submit_review(mine.result, by=ann, verdict="failed", assignment=mine),
        "decline": lambda: decline(mine, by=ann, reason="No"),
        "release": lambda: release_of(ann, organization),
        "undo": lambda: withdraw_round(made, by=lead),
        "claim": lambda: claim_slot(shared, lead),
        "withdraw_review": lambda: withdraw_review(review),
        "judge": lambda: add_judgements(results[0], wrong, via="api"),
        "amend": lambda: amend_result(results[0], {"reported_outcome": "failed"}, by=actor, via="rhesis"),
        "delete_result": lambda: delete_result(results[2], by=actor),
        "annotate": lambda: annotate(results[1], by=actor, target=said, passed=False, via="rhesis"),
        "withdraw_annotation": lambda: withdraw_annotation(note, by=actor),
    }[verb]
    before = everything(run)

    for statements in range(200):
        with suppress(Interrupted), connection.execute_wrapper(failing_at(statements)):
            work()
            break
        assert everything(run) == before, f"after {statements} statements"

    assert 0 < statements < 199
    assert everything(run) != before
    assert recount(run.pk, repair=False) == []
