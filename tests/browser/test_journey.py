"""The main job, end to end: a lead finds what failed and asks for a review; a reviewer gives it; the number moves."""

import re

import pytest
from playwright.sync_api import expect

from evalhub.accounts.rights import Role
from results.records import Judgement
from runs.evaluators import EvaluatorSpec
from tests.factories import PASSWORD, make_case, make_organization, make_project, make_result, make_run, make_user

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

GRADE = EvaluatorSpec(name="Groundedness", who="ai", value_type="percentage", threshold=0.8)


@pytest.fixture
def run():
    organization = make_organization(name="Acme")
    lead = make_user(organization, Role.LEAD, name="Ines Kowalski", email="ines@acme.example")
    make_user(organization, Role.REVIEWER, name="Ann Berg", email="ann@acme.example")
    project = make_project(organization, name="Support bot")
    run = make_run(project, name="Nightly", status="completed", by=lead)
    for name, value in (("Refund", 0.3), ("Gift card", 0.9), ("Lost parcel", 0.95), ("Price match", 1.0)):
        make_result(
            run,
            name=name,
            case=make_case(project, name=name).pk,
            output={"output": "Yes, within **30 days**."},
            evaluations=[Judgement(evaluator=GRADE, value=value, explanation="As the rules say.")],
        )
    return run


def sign_in_by_keyboard(page, email):
    page.goto("/")
    page.keyboard.type(email)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    arrived(page, page.get_by_role("heading", name="Test runs"))


def arrived(page, sign):
    """The next page shows this, and its scripts listen: a test presses keys faster than any person."""
    expect(sign).to_be_visible()
    expect(page.locator("html[data-ready]")).to_be_attached()


def sign_out(page):
    page.get_by_role("button", name=re.compile("account menu")).press("Enter")
    page.get_by_role("menuitem", name="Sign out").press("Enter")
    arrived(page, page.get_by_role("heading", name="Sign in"))


def test_from_a_failed_result_to_the_corrected_number_by_keyboard(page, run):
    figures, drawer, dialog = page.locator("#run-figures"), page.locator("#drawer"), page.get_by_role("dialog")

    sign_in_by_keyboard(page, "ines@acme.example")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    arrived(page, figures)
    expect(figures).to_contain_text("Pass rate, judge only75.0")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(drawer).to_contain_text("As the rules say.")
    expect(drawer.get_by_role("heading", name="Refund")).to_be_visible()
    page.keyboard.press("a")
    expect(dialog.get_by_role("button", name="Assign 1 review")).to_be_visible()
    page.keyboard.press("Control+Enter")
    arrived(page, page.get_by_text("Assigned 1 review to 1 person."))
    expect(figures).to_contain_text("Reviews0 / 1")
    sign_out(page)

    sign_in_by_keyboard(page, "ann@acme.example")
    page.keyboard.press("g")
    page.keyboard.press("q")
    arrived(page, page.get_by_role("heading", name="My reviews"))
    page.keyboard.press("Enter")
    arrived(page, page.get_by_role("heading", name="Refund"))
    page.keyboard.press("p")
    page.keyboard.press("Control+Enter")
    arrived(page, page.get_by_text("Nothing in this round waits for you any more."))
    page.keyboard.press("g")
    page.keyboard.press("r")
    arrived(page, page.get_by_role("heading", name="Test runs"))
    expect(page.get_by_role("row").filter(has_text="Nightly")).to_contain_text("100.0")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    arrived(page, figures)

    expect(figures).to_contain_text(re.compile("Pass rate100.0.*Judge alone75.0.*1 / 1.*1 corrected"))
    run.refresh_from_db()
    assert (run.passed, run.machine_passed, run.corrected, run.reviews_done) == (4, 3, 1, 1)
