import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from evalhub.accounts.actor import Actor
from evalhub.accounts.rights import Role
from evalhub.web.context import HOOKS
from results.assigning import assign_reviewers, close_round, withdraw
from results.models import Review, ReviewAssignment, ReviewRound
from results.records import Judgement
from results.recounting import recount
from results.reviewing import submit_review
from runs.models import Evaluator
from tests.factories import (
    make_evaluator,
    make_organization,
    make_project,
    make_result,
    make_results,
    make_run,
    make_user,
)

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


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
    return make_run(make_project(organization), name="Nightly")


def page(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def form_for(client, **query):
    """The dialog's fields as it proposes them."""
    response = client.get(reverse("results:assignment-create"), query)
    form = response.context["form"]
    return {name: value for name in form.fields if (value := form[name].value()) is not None and value is not False}


def ask(reviewer, results, by):
    return assign_reviewers(results, [reviewer], by=by)


# --- assigning


def test_the_dialog_offers_what_needs_people_most(client, lead, ann, run):
    make_results(run, passed=10, failed=3)
    client.force_login(lead)

    offer = form_for(client, run=run.pk)

    assert offer["what"] == ["failed", "passed"]
    assert offer["reviewers"] == [str(ann.pk)]
    assert (offer["name"], offer["passed_percent"], offer["overlap"]) == (f"Nightly #{run.number}", 20, "1:100")


def test_assigning_a_whole_run_deals_it_and_offers_undo(client, lead, ann, ben, run):
    make_results(run, passed=10, failed=3)
    client.force_login(lead)

    response = client.post(reverse("results:assignment-create"), form_for(client, run=run.pk), follow=True)

    made = ReviewRound.objects.get()
    assert response.redirect_chain == [(reverse("results:round-detail", args=[made.pk]), 302)]
    assert "Assigned 5 reviews to 2 people." in page(response)
    assert reverse("results:round-withdraw", args=[made.pk]) in response.content.decode()
    assert made.selection["query"] == f"run={run.pk}"
    assert sorted(made.assignments.values_list("reviewer__name", flat=True)) in (
        ["Ann", "Ann", "Ann", "Ben", "Ben"],
        ["Ann", "Ann", "Ben", "Ben", "Ben"],
    )


def test_ticked_results_are_assigned_whatever_their_state(client, lead, ann, run):
    results = make_results(run, passed=3, failed=2)
    client.force_login(lead)
    address = reverse("results:assignment-create") + "?" + urlencode({"result": [results[0].pk, results[4].pk]}, True)
    offer = client.get(address).context["form"]

    client.post(
        reverse("results:assignment-create"),
        {
            "name": "Two",
            "reviewers": [ann.pk],
            "overlap": "1:100",
            "seed": offer["seed"].value(),
            "selection": offer["selection"].value(),
        },
    )

    made = ReviewRound.objects.get()
    assert set(made.assignments.values_list("result_id", flat=True)) == {results[0].pk, results[4].pk}


def test_results_go_by_the_senders_own_ids_too(client, lead, ann, run):
    result = make_result(run, external_id="result-123")
    client.force_login(lead)

    response = client.get(reverse("results:assignment-create"), {"result": ["result-123"]})

    assert list(response.context["choice"].results) == [result]


def test_everything_that_a_filter_shows_can_be_assigned(client, lead, ann, run):
    results = make_results(run, passed=3, failed=2)
    client.force_login(lead)
    offer = form_for(client, select="all", run=run.pk, outcome="failed")

    client.post(reverse("results:assignment-create"), offer)

    assert offer["what"] == ["everything"]
    asked = set(ReviewAssignment.objects.values_list("result_id", flat=True))
    assert asked == {one.pk for one in results[3:]}


def test_the_runs_that_a_list_shows_can_be_assigned(client, lead, ann, run):
    make_results(run, failed=2)
    make_results(make_run(run.project, name="Weekly"), failed=3)
    client.force_login(lead)

    offer = form_for(client, select="all", list="runs", q="Nightly")
    client.post(reverse("results:assignment-create"), offer)

    assert ReviewAssignment.objects.count() == 2
    assert set(ReviewAssignment.objects.values_list("result__run__name", flat=True)) == {"Nightly"}


def test_the_preview_shows_shares_and_creates_nothing(client, lead, ann, ben, run):
    make_results(run, failed=8)
    client.force_login(lead)
    offer = form_for(client, run=run.pk)

    response = client.post(
        reverse("results:assignment-create"),
        {**offer, "reviewers": [ann.pk, ben.pk], "preview": "1"},
        headers={**HTMX, "HX-Target": "section#assign-preview"},
    )

    assert response.status_code == 200
    assert "Ann +4 = 4" in page(response)
    assert 'id="assign-count" hx-swap-oob="true">8 reviews' in response.content.decode()
    assert "<html" not in response.content.decode()
    assert ReviewRound.objects.count() == 0


def test_what_the_preview_shows_is_dealt(client, lead, ann, ben, run):
    make_results(run, passed=40, failed=5)
    client.force_login(lead)
    offer = {**form_for(client, run=run.pk), "overlap": "2:50"}

    preview = client.post(reverse("results:assignment-create"), {**offer, "preview": "1"}).context["preview"]
    client.post(reverse("results:assignment-create"), offer)

    made = ReviewRound.objects.get()
    dealt = list(made.assignments.order_by("id").values_list("result_id", "slot", "reviewer_id"))
    assert dealt == [(hand.result_id, hand.slot, hand.reviewer_id) for hand in preview.deal.hands]


def test_pressing_assign_twice_makes_one_round(client, lead, ann, run):
    make_results(run, failed=3)
    client.force_login(lead)
    offer = form_for(client, run=run.pk)

    client.post(reverse("results:assignment-create"), offer)
    client.post(reverse("results:assignment-create"), offer)

    assert ReviewRound.objects.count() == 1
    run.refresh_from_db()
    assert run.reviews_required == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reviewers": []}, "Choose at least one person"),
        ({"what": []}, "Choose what is to be reviewed"),
        ({"name": ""}, "This field is required"),
        ({"due_at": "2020-01-01T10:00"}, "This is in the past"),
        ({"overlap": "3:100"}, "choose at least 3 people"),
        ({"what": ["passed"], "passed_percent": "0"}, "greater than or equal to 1"),
    ],
)
def test_what_is_missing_is_said_under_its_field(client, lead, ann, run, change, message):
    make_results(run, failed=3, passed=3)
    client.force_login(lead)

    response = client.post(reverse("results:assignment-create"), {**form_for(client, run=run.pk), **change})

    assert response.status_code == 422
    assert message in page(response)
    assert ReviewRound.objects.count() == 0


def test_the_dialog_is_a_fragment_for_htmx_and_goes_back_to_the_list(client, lead, ann, run):
    make_results(run, failed=3)
    client.force_login(lead)
    htmx = {**HTMX, "HX-Target": "dialog#dialog", "HX-Current-URL": "http://testserver/runs/?status=completed"}

    shown = client.get(reverse("results:assignment-create"), {"run": run.pk}, headers=htmx)
    offer = {**form_for(client, run=run.pk), "next": shown.context["next"]}
    made = client.post(reverse("results:assignment-create"), offer, headers=htmx)

    assert shown.content.decode().startswith('<div class="dialog__head">')
    assert (made.status_code, made.headers["HX-Redirect"]) == (204, "/runs/?status=completed")


def test_a_shared_queue_needs_no_people(client, lead, ann, run):
    make_results(run, failed=3)
    client.force_login(lead)

    offer = {**form_for(client, run=run.pk), "reviewers": [], "shared": "on"}
    response = client.post(reverse("results:assignment-create"), offer, follow=True)

    assert "3 reviews wait in the shared queue." in page(response)
    assert ReviewAssignment.objects.filter(reviewer=None).count() == 3


def test_the_page_of_an_assignment_names_its_project_and_stands_under_runs(client, lead, run):
    make_results(run, passed=1)
    client.force_login(lead)

    text = client.get(reverse("results:assignment-create"), {"run": run.pk}).content.decode()

    assert re.findall(r'class="brand__name">([^<]+)<', text)[0] == run.project.name
    assert re.findall(r'aria-current="page"[^>]*>.*?</svg>([^<]+)', text) == ["Runs"]


def test_assigning_is_for_leads(client, ann, run):
    client.force_login(ann)

    assert client.get(reverse("results:assignment-create"), {"run": run.pk}).status_code == 403


def test_strangers_results_and_people_cannot_be_chosen(client, lead, ann, run):
    stranger = make_user(make_organization(), name="Sam")
    foreign = make_result()
    make_results(run, failed=1)
    client.force_login(lead)

    nothing = client.get(reverse("results:assignment-create"), {"result": foreign.pk})
    offer = form_for(client, run=run.pk)
    response = client.post(reverse("results:assignment-create"), {**offer, "reviewers": [stranger.pk]})

    assert nothing.context["counts"]["everything"] == 0
    assert response.status_code == 422
    assert ReviewRound.objects.count() == 0


# --- rounds


def test_a_round_shows_progress_per_reviewer(client, lead, ann, ben, run):
    made = assign_reviewers(make_results(run, failed=4), [ann, ben], by=lead, name="Release")
    done = made.assignments.of(ann).first()
    submit_review(done.result, by=ann, verdict="failed", assignment=done)
    client.force_login(ben)

    response = client.get(reverse("results:round-detail", args=[made.pk]))

    assert [(row["person"]["name"], row["done"], row["total"]) for row in response.context["people"]] == [
        ("Ann", 1, 2),
        ("Ben", 0, 2),
    ]
    assert "Withdraw" not in page(response)


def test_undo_withdraws_and_says_so(client, lead, ann, run):
    made = ask(ann, make_results(run, failed=2), lead)
    client.force_login(lead)

    response = client.post(reverse("results:round-withdraw", args=[made.pk]), follow=True)

    assert "Withdrew 2 reviews." in page(response)
    run.refresh_from_db()
    assert run.reviews_required == 0


def test_closing_a_round_says_what_was_withdrawn(client, lead, ann, run):
    made = ask(ann, make_results(run, failed=2), lead)
    client.force_login(lead)

    response = client.post(reverse("results:round-close", args=[made.pk]), follow=True)

    assert "Closed the round. 2 reviews not done were withdrawn." in page(response)


def test_one_review_can_be_withdrawn_once(client, lead, ann, run):
    made = ask(ann, make_results(run, failed=1), lead)
    address = reverse("results:assignment-withdraw", args=[made.assignments.get().pk])
    client.force_login(lead)

    first, second = client.post(address, follow=True), client.post(address, follow=True)

    assert "Withdrew the review from Ann." in page(first)
    assert "This review is already withdrawn." in page(second)


def test_taking_from_a_shared_queue_opens_the_review(client, lead, ann, run):
    made = assign_reviewers(make_results(run, failed=1), [], by=lead)
    client.force_login(ann)

    first = client.post(reverse("results:round-claim", args=[made.pk]))
    second = client.post(reverse("results:round-claim", args=[made.pk]), follow=True)

    assert first.url == reverse("results:review", args=[made.assignments.get().pk])
    assert "Nothing is free for you in this round any more." in page(second)


# --- my reviews


def test_a_round_that_is_done_is_not_shown_as_late(client, lead, ann, run):
    result = make_result(run)
    assign_reviewers([result], [ann], by=lead, due_at=timezone.now() - timedelta(hours=1))
    client.force_login(lead)
    open_page = client.get(reverse("results:review-list")).content.decode()

    submit_review(result, by=ann, verdict="passed")
    done_page = client.get(reverse("results:review-list")).content.decode()

    assert ("overdue since" in open_page, "overdue since" in done_page) == (True, False)


def test_my_reviews_show_the_overdue_first(client, lead, ann, run):
    first, second, third = make_results(run, failed=3)
    now = timezone.now()
    for result, due, name in (
        (first, now + timedelta(days=3), "Later"),
        (second, now - timedelta(days=1), "Late"),
        (third, None, "Some day"),
    ):
        assign_reviewers([result], [ann], by=lead, due_at=due, name=name)
    client.force_login(ann)

    response = client.get(reverse("results:review-list"))

    assert [row["round__name"] for row in response.context["rounds"]] == ["Late", "Later", "Some day"]
    assert [row["result_id"] for row in response.context["waiting"]] == [second.pk, first.pk, third.pk]
    assert (response.context["work"].open, response.context["work"].overdue) == (3, 1)


def test_finished_rounds_are_apart(client, lead, ann, run):
    made = ask(ann, make_results(run, failed=1), lead)
    assignment = made.assignments.get()
    submit_review(assignment.result, by=ann, verdict="failed", assignment=assignment)
    client.force_login(ann)

    open_ones = client.get(reverse("results:review-list"))
    finished = client.get(reverse("results:review-list"), {"show": "finished"})

    assert open_ones.context["rounds"] == []
    assert [row["round_id"] for row in finished.context["rounds"]] == [made.pk]
    assert open_ones.context["work"].done_this_week == 1


def test_leads_find_the_rounds_that_they_asked_for(client, lead, ann, run):
    made = ask(ann, make_results(run, failed=2), lead)
    client.force_login(lead)

    asked = client.get(reverse("results:review-list")).context["asked"]

    assert [(row["id"], row["done"], row["total"]) for row in asked] == [(made.pk, 0, 2)]


def test_what_was_reviewed_last_says_its_run_and_its_round(client, lead, ann, run):
    [result] = make_results(run, failed=1)
    made = ask(ann, [result], lead)
    submit_review(result, by=ann, verdict="failed", assignment=made.assignments.get())
    client.force_login(ann)

    response = client.get(reverse("results:review-list"))

    assert f"Nightly #{run.number} · {made.name}" in re.sub(r"<[^>]+>", "", response.content.decode())


def test_without_work_the_page_says_where_it_comes_from(client, ann):
    client.force_login(ann)

    assert "Nothing to review" in page(client.get(reverse("results:review-list")))


def test_the_rail_counts_what_waits(client, lead, ann, organization, run):
    ask(ann, make_results(run, failed=3), lead)

    counted = [HOOKS.open_reviews(Actor(user, organization, Role.REVIEWER)) for user in (ann, lead)]

    assert counted == [3, 0]


@pytest.mark.parametrize("name", ["review-list", "finished", "round-detail", "review"])
def test_pages_ask_the_database_equally_often_for_1_and_3_rows(client, lead, ann, run, name):
    client.force_login(ann)
    counts = []
    for rows in (1, 3):
        made = ask(ann, make_results(run, failed=2 * rows), lead)
        for assignment in made.assignments.order_by("id")[:rows]:
            submit_review(assignment.result, by=ann, verdict="failed", assignment=assignment, seconds=5)
        address = {
            "review-list": reverse("results:review-list"),
            "finished": reverse("results:review-list") + "?show=finished",
            "round-detail": reverse("results:round-detail", args=[made.pk]),
            "review": reverse("results:review", args=[made.assignments.open().order_by("id")[0].pk]),
        }[name]
        if name == "finished":
            close_round(made, by=lead)
        client.get(address)
        with CaptureQueriesContext(connection) as queries:
            client.get(address)
        counts.append(len(queries))

    assert counts[0] == counts[1]


# --- one review


def review_of(client, user, result, by):
    made = ask(user, [result], by)
    client.force_login(user)
    return reverse("results:review", args=[made.assignments.get().pk]), made.assignments.get()


def test_opening_a_review_starts_it(client, lead, ann, run):
    address, assignment = review_of(client, ann, make_result(run), lead)

    client.get(address)

    assignment.refresh_from_db()
    assert assignment.state == "started"


def test_handing_in_settles_the_result_and_opens_the_next(client, lead, ann, run):
    made = ask(ann, make_results(run, passed=2), lead)
    first, second = made.assignments.order_by("id")
    client.force_login(ann)

    response = client.post(
        reverse("results:review", args=[first.pk]), {"verdict": "failed", "comment": "Invents a policy", "opened": "1"}
    )

    assert response.url == reverse("results:review", args=[second.pk])
    review = Review.objects.get()
    assert (review.verdict, review.comment, review.assignment, review.seconds) == (
        "failed",
        "Invents a policy",
        first,
        None,
    )
    run.refresh_from_db()
    assert (run.failed, run.corrected, run.reviews_done) == (1, 1, 1)


def test_the_last_one_leads_to_the_summary_and_the_next_round(client, lead, ann, run):
    address, assignment = review_of(client, ann, make_result(run), lead)
    ask(ann, [make_result(run)], lead)

    response = client.post(address, {"verdict": "passed"}, follow=True)

    assert response.redirect_chain == [(reverse("results:round-work", args=[assignment.round_id]), 302)]
    assert "Nothing in this round waits for you any more." in page(response)
    assert "Go on with" in page(response)


def test_skipped_ones_come_again_at_the_end(client, lead, ann, run):
    made = ask(ann, make_results(run, passed=3), lead)
    first, second, third = made.assignments.order_by("id")
    client.force_login(ann)

    after_second = client.post(reverse("results:review", args=[second.pk]), {"verdict": "passed"})
    after_third = client.post(reverse("results:review", args=[third.pk]), {"verdict": "passed"})

    assert after_second.url == reverse("results:review", args=[third.pk])
    assert after_third.url == reverse("results:review", args=[first.pk])


def test_a_verdict_is_needed_and_what_was_typed_stays(client, lead, ann, run):
    address, _ = review_of(client, ann, make_result(run), lead)

    response = client.post(address, {"comment": "Half a thought"})

    assert response.status_code == 422
    assert "Choose a verdict" in page(response)
    assert "Half a thought" in page(response)
    assert Review.objects.count() == 0


def test_agreement_and_correction_stand_beside_the_machine(client, lead, ann, run):
    result = make_result(
        run,
        evaluations=[
            Judgement(evaluator="grounded", value=0.9, passed=True),
            Judgement(evaluator="polite", value=0.2, passed=False),
        ],
    )
    grounded, polite = (Evaluator.objects.get(name=name) for name in ("grounded", "polite"))
    address, _ = review_of(client, ann, result, lead)

    client.post(
        address,
        {
            "verdict": "passed",
            f"e-{grounded.pk}": "agree",
            f"e-{polite.pk}": "passed",
            f"why-{polite.pk}": "It says please",
        },
    )

    said = result.evaluations.by_people().filter(evaluator__isnull=False).order_by("evaluator__name")
    assert list(said.values_list("evaluator__name", "passed", "value", "explanation")) == [
        ("grounded", True, 0.9, ""),
        ("polite", True, None, "It says please"),
    ]
    machine = result.evaluations.by_machine().order_by("evaluator__name").values_list("passed", "effective")
    assert list(machine) == [(True, True), (False, True)]
    assert recount(run.pk, repair=False) == []


def test_human_evaluators_are_questions_with_their_options(client, lead, ann, run):
    options = [{"label": "Good", "value": 1, "passes": True}, {"label": "Bad", "value": 0, "passes": False}]
    tone = make_evaluator(run.project, name="tone", who="human", value_type="label", threshold=None, options=options)
    length = make_evaluator(run.project, name="length", who="human", value_type="percentage", threshold=0.5)
    result = make_result(
        run,
        evaluations=[
            Judgement(evaluator=tone, source="human", state="pending"),
            Judgement(evaluator=length, source="human", state="pending"),
        ],
    )
    address, _ = review_of(client, ann, result, lead)

    refused = client.post(address, {"verdict": "failed", f"e-{length.pk}": "7"})
    client.post(address, {"verdict": "failed", f"e-{tone.pk}": "label:Bad", f"e-{length.pk}": "0.75"})

    assert refused.status_code == 422
    said = result.evaluations.filter(evaluator__isnull=False).order_by("evaluator__name")
    assert list(said.values_list("evaluator__name", "state", "label", "value", "passed", "author")) == [
        ("length", "scored", None, 0.75, True, ann.pk),
        ("tone", "scored", "Bad", 0.0, False, ann.pk),
    ]


def test_the_second_tab_gets_a_clear_message_and_keeps_its_text(client, lead, ann, run):
    result = make_result(run)
    address, _ = review_of(client, ann, result, lead)

    client.post(address, {"verdict": "failed", "comment": "From the first tab", "replaces": ""})
    second = client.post(address, {"verdict": "passed", "comment": "From the second tab", "replaces": ""})

    assert second.status_code == 409
    assert "You handed in a review of this result already" in page(second)
    assert "From the second tab" in page(second)
    assert "From the first tab" in page(second)
    assert list(Review.objects.values_list("verdict", "comment")) == [("failed", "From the first tab")]


def test_handing_in_again_after_the_message_replaces_the_review(client, lead, ann, run):
    result = make_result(run)
    address, _ = review_of(client, ann, result, lead)
    client.post(address, {"verdict": "failed"})
    second = client.post(address, {"verdict": "passed"})

    client.post(address, {"verdict": "passed", "replaces": second.context["replaces"]})

    assert list(Review.objects.order_by("created_at").values_list("verdict", "is_current")) == [
        ("failed", False),
        ("passed", True),
    ]
    run.refresh_from_db()
    assert (run.reviews_done, run.reviewed, run.failed) == (1, 1, 0)


def test_a_finished_review_shows_what_was_said(client, lead, ann, run):
    result = make_result(run, evaluations=[Judgement(evaluator="polite", value=0.2, passed=False)])
    polite = Evaluator.objects.get(name="polite")
    address, _ = review_of(client, ann, result, lead)
    client.post(
        address, {"verdict": "passed", "comment": "Fine", f"e-{polite.pk}": "passed", f"why-{polite.pk}": "Kind"}
    )

    form = client.get(address).context["form"]

    said = {name: form[name].value() for name in ("verdict", "comment", f"e-{polite.pk}", f"why-{polite.pk}")}
    assert said == {"verdict": "passed", "comment": "Fine", f"e-{polite.pk}": "passed", f"why-{polite.pk}": "Kind"}


def test_a_withdrawn_review_says_so_and_can_be_handed_in_anyway(client, lead, ann, run):
    result = make_result(run)
    address, assignment = review_of(client, ann, result, lead)
    client.get(address)
    withdraw(assignment, by=lead)

    refused = client.post(address, {"verdict": "failed", "comment": "Typed already"})
    taken = client.post(address, {"verdict": "failed", "comment": "Typed already", "unasked": "1"})

    assert refused.status_code == 409
    assert "no longer open" in page(refused)
    assert "Typed already" in page(refused)
    assert taken.status_code == 302
    assert list(Review.objects.values_list("comment", "assignment")) == [("Typed already", None)]
    assert recount(run.pk, repair=False) == []


def test_drafts_are_kept_and_shown_again(client, lead, ann, run):
    address, assignment = review_of(client, ann, make_result(run), lead)

    answer = client.post(
        reverse("results:review-draft", args=[assignment.pk]), {"verdict": "failed", "comment": "Half"}, headers=HTMX
    )

    assert "Draft saved" in page(answer)
    form = client.get(address).context["form"]
    assert (form["verdict"].value(), form["comment"].value()) == ("failed", "Half")


def test_a_draft_of_a_finished_review_is_refused(client, lead, ann, run):
    address, assignment = review_of(client, ann, make_result(run), lead)
    client.post(address, {"verdict": "failed", "comment": "Whole"})

    late = client.post(reverse("results:review-draft", args=[assignment.pk]), {"comment": "Half"}, headers=HTMX)

    assert late.status_code == 409
    assert Review.objects.get().comment == "Whole"


def test_declining_needs_a_reason_and_passes_on(client, lead, ann, ben, run):
    made = assign_reviewers(make_results(run, failed=2), [ann, ben], by=lead)
    assignment = made.assignments.of(ann).get()
    address = reverse("results:review-decline", args=[assignment.pk])
    client.force_login(ann)

    refused = client.post(address, {"reason": " "}, headers={**HTMX, "HX-Target": "dialog#dialog"})
    declined = client.post(address, {"reason": "I wrote this case"}, follow=True)

    assert refused.status_code == 422
    assert "Say why" in page(refused)
    assert "Declined. Another reviewer has it now." in page(declined)
    assert made.assignments.of(ben).count() == 2


def test_undo_brings_the_review_back_as_a_draft(client, lead, ann, run):
    result = make_result(run, evaluations=[Judgement(evaluator="polite", value=0.2, passed=False)])
    polite = Evaluator.objects.get(name="polite")
    address, _ = review_of(client, ann, result, lead)
    client.post(address, {"verdict": "passed", "comment": "Fine", f"e-{polite.pk}": "passed"})

    response = client.post(
        reverse("results:review-withdraw", args=[Review.objects.get().pk]), {"next": reverse("results:review-list")}
    )

    assert response.url == address
    form = client.get(address).context["form"]
    assert [form[name].value() for name in ("verdict", "comment", f"e-{polite.pk}")] == ["passed", "Fine", "passed"]
    run.refresh_from_db()
    assert (run.reviews_done, run.reviewed, run.failed) == (0, 0, 1)


def test_a_review_is_for_its_reviewer(client, lead, ann, ben, run):
    address, assignment = review_of(client, ann, make_result(run), lead)
    submit_review(assignment.result, by=ann, verdict="failed")
    client.force_login(ben)

    asked = [
        client.get(address),
        client.post(address, {"verdict": "passed"}),
        client.post(reverse("results:review-draft", args=[assignment.pk]), {}),
        client.post(reverse("results:review-decline", args=[assignment.pk]), {"reason": "No"}),
        client.post(reverse("results:review-withdraw", args=[Review.objects.get().pk])),
    ]

    assert [response.status_code for response in asked] == [404] * 5


def test_hostile_output_is_text_in_the_review(client, lead, ann, run):
    result = make_result(
        run,
        name="<script>alert(1)</script>",
        inputs={"input": "<img src=x onerror=alert(2)>"},
        output={"output": "<script>alert(3)</script> [x](javascript:alert(4))"},
        evaluations=[Judgement(evaluator="<b>bold</b>", value=0.0, passed=False, explanation="<i onclick=alert(5)>")],
    )
    address, _ = review_of(client, ann, result, lead)

    html = client.get(address).content.decode()

    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "javascript:alert" not in re.sub(r">[^<]*<", "><", html)
    assert "<b>bold" not in html
    assert "<i onclick" not in html


# --- the quick verdict in the drawer


def in_drawer(run, query=""):
    address = reverse("results:run-detail", args=[run.pk])
    return {**HTMX, "HX-Target": "aside#drawer", "HX-Current-URL": f"http://testserver{address}{query}"}


def test_a_quick_verdict_counts_the_list_again(client, ann, run):
    result, _ = make_results(run, passed=2)
    client.force_login(ann)

    response = client.post(
        reverse("results:quick-review", args=[result.pk]),
        {"verdict": "failed"},
        headers=in_drawer(run, "?outcome=passed"),
    )

    said = '<hx-partial hx-target="#main .pane .chips-row__end" hx-swap="innerHTML">1 of 2 results · worst first</hx'
    assert said in response.content.decode()


def test_a_quick_verdict_answers_with_drawer_row_and_figures(client, ann, run):
    result, other = make_results(run, passed=2)
    client.force_login(ann)

    response = client.post(
        reverse("results:quick-review", args=[result.pk]),
        {"verdict": "failed"},
        headers=in_drawer(run, "?sort=position"),
    )

    html = response.content.decode()
    assert response.status_code == 200
    assert f'hx-swap="outerHTML"><tr id="result-{result.pk}" data-row class="is-open" aria-current="true">' in html
    assert f"result-{other.pk}" not in html
    assert '<div id="run-figures" hx-swap-oob="true"' in html
    assert "1 of 2" in page(response)
    assert "Fail saved for" in page(response)
    assert Review.objects.get().reviewer == ann


def test_a_quick_verdict_does_the_assignment(client, lead, ann, run):
    result = make_result(run)
    made = ask(ann, [result], lead)
    client.force_login(ann)

    client.post(reverse("results:quick-review", args=[result.pk]), {"verdict": "failed"}, headers=in_drawer(run))

    assert made.assignments.get().state == "done"
    assert Review.objects.get().assignment == made.assignments.get()


def test_a_second_quick_verdict_is_a_change_of_mind_only_where_it_says_so(client, ann, run):
    result = make_result(run)
    address = reverse("results:quick-review", args=[result.pk])
    client.force_login(ann)
    client.post(address, {"verdict": "failed"}, headers=in_drawer(run))
    first = Review.objects.get()

    blind = client.post(address, {"verdict": "passed"}, headers=in_drawer(run))
    knowing = client.post(address, {"verdict": "passed", "replaces": first.pk}, headers=in_drawer(run))

    assert (blind.status_code, knowing.status_code) == (409, 200)
    assert "Fail. Press again to replace that." in page(blind)
    assert f'name="replaces" value="{first.pk}"' in blind.content.decode()
    assert list(Review.objects.order_by("created_at").values_list("verdict", "is_current")) == [
        ("failed", False),
        ("passed", True),
    ]


def test_a_quick_verdict_without_scripts_goes_back_to_the_page(client, ann, run):
    result = make_result(run)
    client.force_login(ann)

    response = client.post(
        reverse("results:quick-review", args=[result.pk]), {"verdict": "passed", "next": "/reviews/"}
    )

    assert (response.status_code, response.url) == (302, "/reviews/")


def test_a_quick_verdict_is_one_of_three_and_of_a_result_in_sight(client, ann, run):
    foreign = make_result()
    client.force_login(ann)

    odd = client.post(
        reverse("results:quick-review", args=[make_result(run).pk]), {"verdict": "maybe"}, headers=in_drawer(run)
    )
    away = client.post(reverse("results:quick-review", args=[foreign.pk]), {"verdict": "passed"})

    assert (odd.status_code, away.status_code) == (422, 404)
    assert Review.objects.count() == 0
