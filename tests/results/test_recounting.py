"""Whatever is done in whatever order: what is stored is what the rows say."""

from contextlib import suppress
from importlib import import_module
from random import Random

import pytest
from django.apps import apps

from evalhub.accounts.actor import Actor
from evalhub.accounts.rights import Role
from results.amending import amend_result, delete_result
from results.annotating import Target, annotate, change_annotation, withdraw_annotation
from results.assigning import AssigningError, assign_reviewers, close_round, decline, release_of, withdraw
from results.judging import add_judgements
from results.models import Evaluation, Review, ReviewAssignment, ReviewRound, TestResult
from results.recording import record_results
from results.records import Judgement, ResultRecord
from results.recounting import recount
from results.reviewing import Correction, ReviewConflict, submit_review, withdraw_review
from runs.models import Variant
from tests.factories import make_actor, make_case, make_evaluator, make_project, make_run, make_user

STEPS = 60


class Walk:
    """Random steps on one run, whose few cases are asked again and again."""

    def __init__(self, seed):
        self.random = Random(seed)
        self.actor = make_actor()
        self.organization = self.actor.organization
        self.run = make_run(make_project(self.organization))
        for position in (0, 1):
            Variant.objects.create(organization=self.organization, run=self.run, position=position, label="x")
        self.cases = [make_case(self.run.project).pk for _ in range(3)]
        self.people = [make_user(self.organization, Role.REVIEWER) for _ in range(3)]
        kinds = {"grade": {"who": "ai"}, "light": {"weight": 0}, "tone": {"who": "human"}}
        self.evaluators = [make_evaluator(self.run.project, name=name, **kind) for name, kind in kinds.items()]

    def step(self):
        steps = [getattr(self, name) for name in sorted(vars(Walk)) if name.startswith("then_")]
        with suppress(ReviewConflict, AssigningError):
            self.random.choice(steps)()

    def some(self, rows):
        """One of the rows in a list, or in an empty one none: a step does nothing then."""
        found = list(rows.order_by("pk"))
        return [self.random.choice(found)] if found else []

    def results(self):
        return TestResult.objects.filter(run=self.run)

    def verdict(self):
        return self.random.choice([True, False, None])

    def person(self):
        return self.random.choice(self.people)

    def judgements(self):
        for evaluator in self.random.sample(self.evaluators, self.random.randint(0, 3)):
            if evaluator.who == "human":
                yield Judgement(evaluator=evaluator, source="human", state="pending")
            elif self.random.random() < 0.2:
                yield Judgement(evaluator=evaluator, state="error", error="The judge was away.")
            else:
                yield Judgement(evaluator=evaluator, value=self.random.random())

    def corrections(self):
        evaluators = self.random.sample(self.evaluators, self.random.randint(0, 2))
        return [Correction(evaluator=one, passed=self.random.choice([True, False])) for one in evaluators]

    def then_a_result_arrives(self):
        record = ResultRecord(
            case=self.random.choice([*self.cases, None]),
            variant=self.random.choice([None, 0, 1]),
            repetition=self.random.randint(1, 3),
            error=self.random.choice(["", "", "", "It broke."]),
            reported_outcome=self.random.choice(["", "", "", "passed", "failed"]),
            cost=self.random.choice([None, 0.1]),
            evaluations=list(self.judgements()),
        )
        record_results(self.run, [record])

    then_another_arrives = then_one_more_arrives = then_a_result_arrives

    def then_somebody_reviews(self):
        for result in self.some(self.results()):
            verdict = self.random.choice(["passed", "failed", "cant_tell", ""])
            submit_review(result, by=self.person(), verdict=verdict, corrections=self.corrections())

    def then_somebody_changes_their_mind(self):
        for review in self.some(Review.objects.filter(result__run=self.run, is_current=True)):
            corrections = self.corrections()
            submit_review(review.result, by=review.reviewer, verdict="failed", corrections=corrections, replaces=review)

    def then_a_review_is_taken_back(self):
        for review in self.some(Review.objects.filter(result__run=self.run)):
            withdraw_review(review)

    def target(self):
        return Target(self.random.choice([None, *self.evaluators]), self.random.choice([None, None, 1]))

    def then_a_verdict_comes_through_rhesis(self):
        for result in self.some(self.results()):
            by = Actor(self.person(), self.organization, Role.REVIEWER)
            annotate(result, by=by, target=self.target(), passed=self.verdict(), via="rhesis")

    def annotations(self):
        said = Evaluation.objects.filter(result__run=self.run, via="rhesis", withdrawn_at=None, author__isnull=False)
        return [(row, Actor(row.author, self.organization, Role.REVIEWER)) for row in self.some(said)]

    def then_a_verdict_changes_or_moves(self):
        for row, by in self.annotations():
            change_annotation(row, by=by, passed=self.verdict(), comment="Hm.", target=self.target())

    def then_a_verdict_is_taken_back(self):
        for row, by in self.annotations():
            withdraw_annotation(row, by=by)

    def then_the_sender_has_second_thoughts(self):
        for result in self.some(self.results()):
            changes = [{"error": "It broke."}, {"error": ""}, {"reported_outcome": "failed"}, {"reported_outcome": ""}]
            amend_result(result, self.random.choice(changes), by=self.actor, via="rhesis")

    def then_a_machine_judges_late(self):
        for result in self.some(self.results()):
            add_judgements(result, list(self.judgements()), via="api")

    def then_a_result_is_deleted(self):
        for result in self.some(self.results()):
            delete_result(result, by=self.actor)

    def then_people_are_asked(self):
        results = self.some(self.results().filter(deleted_at=None))
        if results:
            assign_reviewers(results, [self.person()], by=self.actor)

    def assignments(self):
        return self.some(ReviewAssignment.objects.open().filter(result__run=self.run, reviewer__isnull=False))

    def then_somebody_declines(self):
        for assignment in self.assignments():
            decline(assignment, by=assignment.reviewer, reason="I wrote it.")

    def then_an_assignment_is_withdrawn(self):
        for assignment in self.assignments():
            withdraw(assignment, by=self.actor)

    def then_a_round_ends(self):
        for review_round in self.some(ReviewRound.objects.filter(project=self.run.project)):
            close_round(review_round, by=self.actor)

    def then_somebody_leaves(self):
        release_of(self.person(), self.organization)


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(8))
def test_after_each_of_many_steps_what_is_stored_is_what_the_rows_say(seed):
    walk = Walk(seed)

    for _ in range(STEPS):
        walk.step()

        assert [str(one) for one in recount(walk.run.pk, repair=False)] == []


@pytest.mark.django_db
def test_an_update_stores_the_review_states_that_counting_again_would_store():
    ann, run = make_user(), make_run()
    tone = make_evaluator(run.project, name="tone", who="human", threshold=None)
    question = Judgement(evaluator=tone, source="human", state="pending")
    record_results(run, [ResultRecord(name=name, evaluations=[question]) for name in ("asked", "reviewed", "nobody")])
    asked, reviewed, _ = TestResult.objects.filter(run=run).order_by("position")
    assign_reviewers(TestResult.objects.filter(pk=asked.pk), [make_user(run.organization)], by=make_user())
    for result in (asked, reviewed):
        submit_review(result, by=ann, verdict="failed")
    TestResult.objects.filter(run=run).update(review_state="open")  # as it was stored before

    import_module("results.migrations.0012_reviewed_as_asked").let_the_reviewed_be_reviewed(apps, None)

    states = TestResult.objects.filter(run=run).order_by("position").values_list("review_state", flat=True)
    assert list(states) == ["open", "reviewed", "open"]
    assert recount(run.pk, repair=False) == []
