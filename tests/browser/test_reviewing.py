"""Dealing reviews out and reviewing, as people do it: with the keyboard, in two tabs, without scripts, on a phone."""

import itertools
import re
from datetime import timedelta

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from evalhub.accounts.rights import Role
from results.assigning import assign_reviewers
from results.models import Review, ReviewAssignment, ReviewRound
from results.records import Judgement
from results.reviewing import submit_review
from tests.browser.conftest import serious
from tests.factories import (
    PASSWORD,
    make_evaluator,
    make_organization,
    make_project,
    make_result,
    make_results,
    make_run,
    make_user,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PHONE = {"viewport": {"width": 375, "height": 812}}
WIDE = {"viewport": {"width": 1920, "height": 1080}}
DARK = {"color_scheme": "dark"}
WITHOUT_SCRIPTS = {"java_script_enabled": False}


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def lead(organization):
    return make_user(organization, Role.LEAD, name="Ines Kowalski")


@pytest.fixture
def ann(organization):
    return make_user(organization, Role.REVIEWER, name="Ann Berg")


@pytest.fixture
def ben(organization):
    return make_user(organization, Role.REVIEWER, name="Ben Cole")


@pytest.fixture
def run(organization):
    return make_run(make_project(organization), name="Nightly")


def arrived(page, sign):
    """The next page shows this, and its scripts listen: a test presses keys faster than any person."""
    expect(sign).to_be_visible()
    expect(page.locator("html[data-ready]")).to_be_attached()


def judged(run, passed):
    return make_result(
        run,
        name="Refund after 30 days",
        passed=passed,
        output={"output": "Yes, **all** of it."},
        evaluations=[
            Judgement(evaluator="grounded", value=0.2, passed=False, explanation="No such call."),
            Judgement(evaluator="polite", value=0.9, passed=True),
        ],
    )


def test_assigning_shows_who_gets_how_many_while_one_chooses(page, sign_in, lead, ann, ben, run):
    make_results(run, passed=10, failed=4)
    sign_in(lead)
    page.goto(f"{reverse('results:assignment-create')}?run={run.pk}")
    expect(page.get_by_role("button", name="Assign 6 reviews")).to_be_visible()

    page.get_by_label("Percent of the unreviewed passes").fill("50")
    expect(page.get_by_role("button", name="Assign 9 reviews")).to_be_visible()
    page.get_by_label("Second opinion").select_option("2 reviewers each")
    expect(page.get_by_role("button", name="Assign 18 reviews")).to_be_visible()
    page.get_by_label("Ben Cole").uncheck()
    expect(page.get_by_text("choose at least 2 people")).to_be_visible()
    page.get_by_label("Second opinion").select_option("1 reviewer each")
    page.get_by_role("button", name="Assign 9 reviews").click()

    arrived(page, page.get_by_text("Assigned 9 reviews to 1 person."))
    page.keyboard.press("u")
    expect(page.get_by_text("Withdrew 9 reviews.")).to_be_visible()
    assert ReviewAssignment.objects.live().count() == 0


def test_reviewing_with_the_keyboard_alone(page, sign_in, lead, ann, run):
    results = [judged(run, False), judged(run, False)]
    assign_reviewers(results, [ann], by=lead, rubric="Be **fair**.")
    sign_in(ann)
    page.goto(reverse("results:review-list"))

    page.keyboard.press("Enter")
    arrived(page, page.get_by_role("heading", name="Refund after 30 days"))
    page.keyboard.press("p")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("2")
    expect(page.get_by_text("Draft saved")).to_be_visible()
    page.get_by_label("Comment").focus()
    page.keyboard.type("pfn are letters here")
    page.keyboard.press("Control+Enter")
    arrived(page, page.get_by_text("Pass saved for Refund after 30 days."))
    page.keyboard.press("f")
    page.keyboard.press("Control+Enter")

    expect(page.get_by_text("Nothing in this round waits for you any more.")).to_be_visible()
    assert list(Review.objects.order_by("created_at").values_list("verdict", "comment")) == [
        ("passed", "pfn are letters here"),
        ("failed", ""),
    ]
    said = results[0].evaluations.by_people().filter(evaluator__isnull=False)
    assert list(said.values_list("evaluator__name", "passed")) == [("grounded", True)]
    run.refresh_from_db()
    assert (run.passed, run.failed, run.corrected, run.reviews_done) == (1, 1, 1, 2)


def test_the_key_sheet_of_a_review_lists_its_own_keys(page, sign_in, lead, ann, run):
    made = assign_reviewers([judged(run, False)], [ann], by=lead)
    sign_in(ann)
    page.goto(reverse("results:review", args=[made.assignments.get().pk]))

    page.keyboard.press("?")

    sheet = page.get_by_role("dialog", name="Shortcuts")
    expect(sheet.get_by_role("heading", level=3)).to_have_text(["Your review", "The queue"])
    for keys in ("pfn", "↓↑", "1–9", "Ctrl ↵", "←", "s→"):
        expect(sheet.get_by_text(keys, exact=True).or_(sheet.locator("dd", has_text=keys)).first).to_be_visible()


def test_arrows_walk_the_queue_but_stay_in_a_group_of_choices(page, sign_in, lead, ann, run):
    made = assign_reviewers([judged(run, False), judged(run, False)], [ann], by=lead)
    first, second = (reverse("results:review", args=[one.pk]) for one in made.assignments.order_by("pk"))
    sign_in(ann)
    page.goto(first)

    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(second))
    expect(page.locator("html[data-ready]")).to_be_attached()
    page.locator("input[name=verdict]").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("input[name=verdict]:checked")).to_have_value("failed")
    page.keyboard.press("ArrowLeft")

    expect(page.locator("input[name=verdict]:checked")).to_have_value("passed")
    expect(page).to_have_url(re.compile(second))


def test_no_answer_is_cut_short(page, sign_in, lead, ann, run):
    options = [{"label": label, "passes": True} for label in ("As it is", "With changes to the second half", "Never")]
    asked = make_evaluator(
        run.project, name="Would you send this?", who="human", value_type="label", options=options,
        definition={"question": "Would you send this answer to the customer?"},
    )  # fmt: skip
    result = make_result(run, evaluations=[Judgement(evaluator=asked, source="human", state="pending")])
    made = assign_reviewers([result], [ann], by=lead)
    sign_in(ann)
    page.goto(reverse("results:review", args=[made.assignments.get().pk]))

    question = page.get_by_role("group", name="Would you send this answer to the customer?")
    cut = question.locator(".choice__face").evaluate_all(
        "faces => faces.filter(face => face.scrollWidth > face.clientWidth + 1).map(face => face.innerText)"
    )

    assert cut == []
    expect(question.get_by_text("Would you send this?")).to_have_count(0)


def test_done_too_early_leads_to_the_missing_verdict(page, sign_in, lead, ann, run):
    assign_reviewers([judged(run, False)], [ann], by=lead)
    sign_in(ann)
    page.goto(reverse("results:review", args=[ReviewAssignment.objects.get().pk]))

    page.keyboard.press("Control+Enter")

    expect(page.get_by_role("radio", name=re.compile("Pass p"))).to_be_focused()
    assert Review.objects.count() == 0


def test_undo_brings_the_review_back(page, sign_in, lead, ann, run):
    made = assign_reviewers([judged(run, False), judged(run, False)], [ann], by=lead)
    first = made.assignments.order_by("id")[0]
    sign_in(ann)
    page.goto(reverse("results:review", args=[first.pk]))
    page.keyboard.press("p")
    page.get_by_label("Comment").fill("Too quick")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Pass saved")).to_be_visible()
    said, form = page.locator("[data-toast]").bounding_box(), page.locator("#review-form").bounding_box()
    assert said["x"] + said["width"] <= form["x"]  # where one writes on

    page.get_by_role("button", name="Undo").click()

    expect(page.get_by_label("Comment")).to_have_value("Too quick")
    expect(page).to_have_url(re.compile(str(first.pk)))
    run.refresh_from_db()
    assert (run.reviewed, run.failed) == (0, 2)


def test_the_second_tab_loses_nothing(page, sign_in, lead, ann, run):
    assign_reviewers([judged(run, False)], [ann], by=lead)
    address = reverse("results:review", args=[ReviewAssignment.objects.get().pk])
    sign_in(ann)
    page.goto(address)
    second = page.context.new_page()
    second.goto(address)

    page.keyboard.press("f")
    page.get_by_label("Comment").fill("From the first tab")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Nothing in this round waits")).to_be_visible()
    second.keyboard.press("p")
    second.get_by_label("Comment").fill("From the second tab")
    second.keyboard.press("Control+Enter")

    expect(second.get_by_role("alert")).to_contain_text("You handed in a review of this result already")
    expect(second.get_by_label("Comment")).to_have_value("From the second tab")
    assert list(Review.objects.values_list("comment", flat=True)) == ["From the first tab"]
    second.get_by_role("button", name="Replace my review").click()
    expect(second.get_by_text("Nothing in this round waits")).to_be_visible()
    assert Review.objects.get(is_current=True).comment == "From the second tab"


def test_a_verdict_by_one_key_changes_row_figures_and_drawer(page, sign_in, ann, run):
    first, second = make_results(run, passed=2)
    sign_in(ann)
    page.goto(f"{reverse('results:run-detail', args=[run.pk])}?sort=position&result={first.pk}")
    drawer, row = page.locator("#drawer"), page.locator(f"#result-{first.pk}")
    expect(page.locator("#run-figures")).to_contain_text("100.0")
    row.get_by_role("link").focus()

    page.keyboard.press("f")
    expect(page.get_by_text("Fail saved for")).to_be_visible()
    expect(row.get_by_role("link")).to_be_focused()
    expect(page.locator("#run-figures")).to_contain_text("50.0")
    expect(row).to_contain_text("Fail")
    expect(row).to_have_attribute("aria-current", "true")
    expect(drawer.get_by_role("button", name="Fail")).to_have_attribute("aria-pressed", "true")
    drawer.get_by_role("button", name="Pass").focus()
    page.keyboard.press("n")
    expect(row).to_contain_text("Can’t tell")
    expect(drawer.get_by_role("button", name="Pass")).to_be_focused()
    page.keyboard.press("f")
    expect(row).to_contain_text("Fail")
    page.keyboard.press("j")
    expect(page).to_have_url(re.compile(f"result={second.pk}"))
    expect(drawer).to_contain_text("Case 2")
    page.keyboard.press("n")
    expect(page.locator(f"#result-{second.pk}")).to_contain_text("Can’t tell")

    given = Review.objects.filter(is_current=True).values_list("result", "verdict")
    assert set(given) == {(first.pk, "failed"), (second.pk, "cant_tell")}


def test_a_verdict_by_one_key_changes_every_count_on_the_page(page, sign_in, lead, ann, run):
    first, _, _ = make_results(run, passed=2, failed=1)
    assign_reviewers([first], [ann], by=lead)
    sign_in(ann)
    page.goto(f"{reverse('results:run-detail', args=[run.pk])}?outcome=passed&result={first.pk}")
    tabs, outcomes = page.get_by_role("navigation", name="Run"), page.get_by_role("navigation", name="Outcome")
    waiting, asked = page.locator(".nav__count"), page.locator("#drawer .asked")
    expect(tabs).not_to_contain_text("Reviews 1")
    expect(outcomes).to_contain_text("Fail 1Error 0Pass 2")
    expect(waiting).to_contain_text("1")
    expect(asked).to_contain_text("Ann Berg open")

    page.keyboard.press("f")

    expect(tabs).to_contain_text("Reviews 1")
    expect(outcomes).to_contain_text("Fail 2Error 0Pass 1")
    expect(outcomes.locator("[aria-current]")).to_contain_text("Pass")
    expect(waiting).to_be_hidden()
    expect(asked).to_contain_text("Ann Berg done")


def test_a_verdict_in_a_second_tab_is_not_lost_and_not_doubled(page, sign_in, ann, run):
    result = make_result(run)
    address = f"{reverse('results:run-detail', args=[run.pk])}?result={result.pk}"
    sign_in(ann)
    page.goto(address)
    submit_review(result, by=ann, verdict="failed", comment="From elsewhere")

    page.keyboard.press("p")
    expect(page.get_by_text("Press again to replace that.")).to_be_visible()
    expect(page.locator("#drawer").get_by_role("button", name="Fail")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("p")

    expect(page.get_by_text("Pass saved for")).to_be_visible()
    assert list(Review.objects.order_by("created_at").values_list("verdict", "is_current")) == [
        ("failed", False),
        ("passed", True),
    ]


def test_ticked_results_are_assigned_from_their_list(page, sign_in, lead, ann, run):
    results = make_results(run, failed=3)
    sign_in(lead)
    page.goto(f"{reverse('results:run-detail', args=[run.pk])}?sort=position")

    page.locator(f"#result-{results[0].pk} input[type=checkbox]").check()
    page.locator(f"#result-{results[2].pk} input[type=checkbox]").check()
    page.keyboard.press("a")
    dialog = page.get_by_role("dialog", name="Assign reviewers")
    expect(dialog).to_contain_text("2 results of Nightly")
    dialog.get_by_role("button", name="Assign 2 reviews").click()

    expect(page.get_by_text("Assigned 2 reviews to 1 person.")).to_be_visible()
    expect(page).to_have_url(re.compile(r"sort=position"))
    asked = set(ReviewAssignment.objects.values_list("result_id", flat=True))
    assert asked == {results[0].pk, results[2].pk}


def test_selected_runs_are_assigned_from_their_list(page, sign_in, lead, ann, run):
    make_results(run, failed=2)
    make_results(make_run(run.project, name="Weekly"), failed=1)
    sign_in(lead)
    page.goto(reverse("runs:run-list"))

    page.get_by_label("Select all").first.check()
    page.keyboard.press("a")
    dialog = page.get_by_role("dialog", name="Assign reviewers")
    expect(dialog).to_contain_text("3 results of 2 runs")
    dialog.get_by_role("button", name="Assign 3 reviews").click()

    expect(page.get_by_text("Assigned 3 reviews to 1 person.")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/runs/$"))


def test_declining_asks_for_a_reason_in_a_dialog(page, sign_in, lead, ann, ben, run):
    made = assign_reviewers([judged(run, False), judged(run, False)], [ann, ben], by=lead)
    sign_in(ann)
    page.goto(reverse("results:review", args=[made.assignments.of(ann).get().pk]))

    page.get_by_role("link", name="Decline").click()
    dialog = page.get_by_role("dialog", name="Decline this review?")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_label("Why")).to_be_focused()
    page.keyboard.type("I wrote this case")
    page.keyboard.press("Control+Enter")

    expect(page.get_by_text("Declined. Another reviewer has it now.")).to_be_visible()
    assert made.assignments.of(ben).count() == 2


def test_what_was_just_typed_is_kept_when_one_goes_on_at_once(page, sign_in, lead, ann, run):
    made = assign_reviewers([judged(run, False), judged(run, True)], [ann], by=lead)
    first = made.assignments.order_by("id").first()
    sign_in(ann)
    page.goto(reverse("results:review", args=[first.pk]))

    page.get_by_label("Comment").fill("Not sure yet")
    page.get_by_role("link", name="Skip s").click()
    page.wait_for_url(lambda url: str(first.pk) not in url)

    expect(page.get_by_label("Comment")).to_have_value("")
    page.goto(reverse("results:review", args=[first.pk]))
    expect(page.get_by_label("Comment")).to_have_value("Not sure yet")


@pytest.mark.parametrize("leave", ["Control+Enter", "by itself"])
def test_a_session_that_ends_in_the_middle_of_a_review_loses_nothing(page, sign_in, lead, ann, run, leave):
    made = assign_reviewers([judged(run, False)], [ann], by=lead)
    sign_in(ann)
    page.goto(reverse("results:review", args=[made.assignments.get().pk]))

    page.context.clear_cookies(name=settings.SESSION_COOKIE_NAME)
    page.get_by_label("Comment").fill("Half a page of reasons")
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    if leave != "by itself":
        page.keyboard.press(leave)
    arrived(page, page.get_by_role("heading", name="Sign in"))
    page.get_by_label("E-mail").fill(ann.email)
    page.get_by_label("Password", exact=True).fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")

    arrived(page, page.get_by_text("You had been signed out. What you typed is here again."))
    expect(page.get_by_label("Comment")).to_have_value("Half a page of reasons")
    expect(page.get_by_text("Draft saved")).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Nothing in this round waits for you any more.")).to_be_visible()
    review = Review.objects.get()
    assert (review.verdict, review.comment) == ("failed", "Half a page of reasons")


@pytest.mark.parametrize("leave", ["Control+Enter", "by itself"])
@pytest.mark.parametrize("forgiven", [("console: Failed to load resource: the server responded with a status of 403",)])
def test_who_signed_in_anew_in_another_tab_loses_nothing_in_this_one(page, sign_in, lead, ann, run, leave, forgiven):
    made = assign_reviewers([judged(run, False)], [ann], by=lead)
    sign_in(ann)
    page.goto(reverse("results:review", args=[made.assignments.get().pk]))

    page.context.clear_cookies(name=settings.CSRF_COOKIE_NAME)
    page.get_by_label("Comment").fill("Half a page of reasons")
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    if leave != "by itself":
        page.keyboard.press(leave)
        arrived(page, page.get_by_role("link", name="Open the form again"))
        page.get_by_role("link", name="Open the form again").click()

    arrived(page, page.get_by_text("The form had expired. What you typed is here again."))
    expect(page.get_by_label("Comment")).to_have_value("Half a page of reasons")
    expect(page.get_by_text("Draft saved")).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Nothing in this round waits for you any more.")).to_be_visible()
    review = Review.objects.get()
    assert (review.verdict, review.comment) == ("failed", "Half a page of reasons")


def test_what_was_typed_comes_back_only_where_and_when_it_belongs(page, sign_in, lead, ann, run):
    made = assign_reviewers([judged(run, False), judged(run, True)], [ann], by=lead)
    first, second = made.assignments.order_by("id")
    sign_in(ann)
    page.goto(reverse("results:review", args=[first.pk]))

    page.get_by_label("Comment").fill("Of the first")
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    page.keyboard.press("Control+Enter")
    arrived(page, page.get_by_text("Fail saved for Refund after 30 days."))

    expect(page.get_by_label("Comment")).to_have_value("")
    assert page.evaluate("sessionStorage.length") == 0
    assert page.url.endswith(f"/reviews/{second.pk}/")


@pytest.mark.parametrize("page_options", [WITHOUT_SCRIPTS])
def test_everything_works_without_scripts(page, sign_in, lead, ann, run):
    make_results(run, failed=2)
    sign_in(lead)
    page.goto(f"{reverse('results:assignment-create')}?run={run.pk}")
    page.get_by_label("Fails and errors nobody is asked about").uncheck()
    page.get_by_label("All of them").check()
    page.get_by_role("button", name="Update the preview").click()
    page.get_by_role("button", name="Assign 2 reviews").click()
    expect(page.get_by_text("Assigned 2 reviews to 1 person.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Withdrew 2 reviews.")).to_be_visible()
    assign_reviewers(list(run.results.all()), [ann], by=lead, rubric="Be **fair**.")

    sign_in(ann)
    page.goto(reverse("results:review-list"))
    page.get_by_role("link", name="Start reviewing").click()
    subject = page.get_by_role("region", name="Result under review")
    subject.get_by_text("Instructions").click()
    expect(subject.get_by_text("Be fair.")).to_be_visible()
    page.get_by_label("Comment").fill("By hand")
    page.get_by_role("button", name="Save draft").click()
    expect(page.get_by_label("Comment")).to_have_value("By hand")
    page.get_by_role("radio", name=re.compile("^Fail")).check()
    page.get_by_role("button", name="Done and next").click()
    page.get_by_role("link", name="Decline").click()
    page.get_by_label("Why").fill("Not mine")
    page.get_by_role("button", name="Decline").click()

    expect(page.get_by_text("Nothing in this round waits for you any more.")).to_be_visible()
    assert list(Review.objects.values_list("verdict", "comment")) == [("failed", "By hand")]


@pytest.mark.parametrize("page_options", [{**PHONE, **WITHOUT_SCRIPTS}])
def test_the_buttons_find_room_on_a_phone_without_scripts(page, sign_in, lead, ann, run):
    made = assign_reviewers([judged(run, False), judged(run, True)], [ann], by=lead)
    sign_in(ann)

    page.goto(reverse("results:review", args=[made.assignments.order_by("id").first().pk]))

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("page_options", [PHONE])
def test_no_button_of_the_drawer_covers_another_on_a_phone(page, sign_in, lead, ann, run):
    result = judged(run, False)
    assign_reviewers([result], [ann], by=lead)
    sign_in(ann)
    page.goto(f"{reverse('results:run-detail', args=[run.pk])}?result={result.pk}")

    buttons = page.locator(".drawer__foot .btn")
    boxes = [button.bounding_box() for button in buttons.all()]

    assert [name.split("\n")[0] for name in buttons.all_inner_texts()] == ["Pass", "Fail", "Can’t tell", "Full review"]
    for left, right in itertools.pairwise(boxes):
        assert left["x"] + left["width"] <= right["x"] or left["y"] + left["height"] <= right["y"]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 375 for box in boxes)


@pytest.mark.parametrize("page_options", [{**PHONE, **DARK}, WIDE], ids=["phone", "wide"])
def test_the_pages_are_accessible_and_fit(page, sign_in, lead, ann, ben, run):
    scale = make_evaluator(run.project, name="warmth", who="human", value_type="number", min_score=1, max_score=5)
    results = [judged(run, False), judged(run, True)]
    results.append(make_result(run, evaluations=[Judgement(evaluator=scale, source="human", state="pending")]))
    made = assign_reviewers(results, [ann], by=lead, due_at=timezone.now() - timedelta(hours=1), rubric="Be **fair**.")
    assign_reviewers(make_results(run, failed=2), [], by=lead)
    sign_in(ann)
    addresses = [
        reverse("results:review-list"),
        reverse("results:review", args=[made.assignments.order_by("id").last().pk]),
        reverse("results:review-decline", args=[made.assignments.order_by("id").last().pk]),
        reverse("results:round-detail", args=[made.pk]),
        reverse("results:round-work", args=[ReviewRound.objects.exclude(pk=made.pk).get().pk]),
    ]

    for address in addresses:
        page.goto(address)
        assert serious(page) == [], address
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
    sign_in(lead)
    page.goto(f"{reverse('results:assignment-create')}?run={run.pk}")

    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
