"""Setting things up in a browser: seen, by keyboard alone, and without scripts."""

import re

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from runs.evaluators import change_evaluator, create_evaluator
from runs.models import Case, Endpoint, Evaluator, Project, SavedView, TestConfiguration, TestSet
from tests.browser.conftest import serious
from tests.factories import (
    make_actor,
    make_case,
    make_configuration,
    make_endpoint,
    make_evaluator,
    make_organization,
    make_project,
    make_result,
    make_run,
    make_test_set,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def admin():
    return make_actor(make_organization(name="Acme", slug="acme"), role="admin", name="Ines Kowalski")


@pytest.fixture
def pages(admin):
    """One of everything, with all that its page can show; the addresses of all pages."""
    long = "A name that goes on and on, as names in real life do when several teams share one project " * 2
    project = make_project(admin.organization, name="Support copilot", description=long, labels=["eu", "support"])
    make_project(admin.organization, name=long[:190])
    test_set = make_test_set(project, cases=3, tags=["nightly"])
    case = make_case(
        project, test_set, name="", kind="Multi-Turn", inputs={"a": {"b": [1, 2]}}, plan={"goal": "G"}, tags=["refunds"]
    )
    ai = create_evaluator(
        project, by=admin, name="Grounded", who="ai", threshold=0.8, definition={"model": "m", "prompt": "Is it\ngood?"}
    )
    options = [{"label": "Good", "value": 1, "passes": True}, {"label": "Bad", "value": 0, "passes": False}]
    human = make_evaluator(project, who="human", value_type="label", options=options, definition={"question": "Good?"})
    template = create_evaluator(None, by=admin, name="Polite", who="heuristic", definition={"settings": {"a": 1}})
    endpoint = make_endpoint(
        project,
        url="https://bot.example.com/a-rather-long-address-that-does-not-fit/chat/completions",
        request_headers={"Authorization": "Bearer {{ auth_token }}"},
        request_mapping={"message": "{{ input }}"},
        auth_type="bearer_token",
    )
    endpoint.keep_secrets(auth_token="secret")
    endpoint.save()
    configuration = make_configuration(
        project, test_set=test_set, endpoint=endpoint, parameters={"model": "m", "repetitions": 3, "temperature": 0.5}
    )
    configuration.evaluators.add(ai, human)
    run = make_run(project, configuration=configuration, name=long[:200])
    make_result(run, case=case.pk)
    evaluator = Evaluator.objects.get(name="correct")
    change_evaluator(evaluator, by=admin, threshold=0.5)
    SavedView.objects.create(organization=admin.organization, user=admin.user, page="runs", name="Failed", query="a=1")
    archived = make_endpoint(project)
    archived.archive()
    things = {
        "project": [project],
        "test-set": [test_set],
        "case": [case],
        "evaluator": [ai, human, template, evaluator],
        "endpoint": [endpoint, archived],
        "configuration": [configuration],
    }
    addresses = [
        reverse("runs:view-list"),
        reverse("runs:view-create"),
        "/endpoints/?archived=true",
        "/cases/?q=nothing",
    ]
    for noun, rows in things.items():
        addresses.append(reverse(f"runs:{noun}-list"))
        if noun != "case":
            addresses.append(reverse(f"runs:{noun}-create"))
        for row in rows:
            addresses += [reverse(f"runs:{noun}-{name}", args=[row.pk]) for name in ("detail", "edit")]
    addresses += [reverse(f"runs:{name}", args=[test_set.pk]) for name in ("case-create", "case-paste")]
    addresses += [f"/configurations/new/?project={project.slug}", f"/evaluators/new/?from={template.pk}", "/cases/"]
    return addresses


def test_no_page_of_setting_up_keeps_anybody_out(page, sign_in, admin, pages):
    page.emulate_media(color_scheme="dark")  # in the light: test_every_page.py
    page.set_viewport_size({"width": 375, "height": 900})
    sign_in(admin.user)

    for address in pages:
        assert page.goto(address).status == 200, address
        assert serious(page) == [], address
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{address} scrolls sideways"


def fill_in_everything(page):
    """From nothing to a configuration, by the buttons that the pages offer."""
    main = page.get_by_role("main")
    page.goto("/projects/")
    main.get_by_role("link", name="New project").first.click()
    page.get_by_label("Name").fill("Support bot")
    page.get_by_role("button", name="Create project").click()

    main.get_by_role("link", name="New in test sets").click()
    page.get_by_label("Name").fill("Regression")
    page.get_by_role("button", name="Create test set").click()
    main.get_by_role("link", name="Add case").first.click()
    page.get_by_label("Input", exact=True).fill("May I return it?")
    page.get_by_label("Expected output").first.fill("Within 30 days")
    page.get_by_role("button", name="Add case").click()
    main.get_by_role("link", name="Paste many").click()
    page.get_by_label("Cases", exact=True).fill("Where is my parcel?\nStop the parcel.")
    page.get_by_role("button", name="Look at them first").click()
    page.get_by_role("button", name="Add 2 cases").click()

    page.goto("/evaluators/")
    main.get_by_role("link", name="New evaluator").first.click()
    page.get_by_label("Name").fill("Helpful")
    page.get_by_label("Human", exact=True).check()
    page.get_by_role("radio", name="Label", exact=True).check()
    page.get_by_label("Question").fill("Does it help?")
    for n, (label, meaning) in enumerate(
        [("Yes", "Passes"), ("Partly", "Passes"), ("No", "Fails"), ("?", "No verdict")]
    ):
        page.locator(f"[name=option-{n}-label]").fill(label)
        page.locator(f"[name=option-{n}-passes]").select_option(label=meaning)
    page.get_by_role("button", name="More rows").click()
    page.locator("[name=option-4-label]").fill("Rude")
    page.locator("[name=option-4-passes]").select_option(label="Fails")
    page.get_by_role("button", name="Create evaluator").click()

    page.goto("/endpoints/")
    main.get_by_role("link", name="New endpoint").first.click()
    page.get_by_label("Name").fill("bot")
    page.get_by_label("Address").first.fill("https://bot.example.com/chat")
    page.get_by_label("Kind").select_option(label="Bearer token")
    page.get_by_label("Token or key").fill("s3cret")
    page.get_by_role("button", name="Create endpoint").click()

    page.goto("/configurations/")
    main.get_by_role("link", name="New configuration").first.click()
    page.get_by_label("Name").fill("Nightly")
    page.get_by_label("Test set").select_option(label="Regression")
    page.get_by_label("Endpoint").select_option(label="bot")
    page.locator("[name=evaluators]").check()
    page.get_by_label("Repetitions").fill("3")
    page.get_by_role("button", name="Create configuration").click()
    expect(page.get_by_role("heading", name="Nightly")).to_be_visible()


def made(organization):
    configuration = TestConfiguration.objects.get(organization=organization)
    evaluator = Evaluator.objects.get(organization=organization)
    return {
        "project": Project.objects.get(organization=organization).slug,
        "cases": [case.inputs["input"] for case in configuration.test_set.cases.order_by("memberships__position")],
        "options": [(option["label"], option["passes"]) for option in evaluator.options],
        "secret": Endpoint.objects.get(organization=organization).secrets,
        "configuration": (configuration.name, configuration.endpoint.name, configuration.parameters),
        "evaluators": [evaluator.name for evaluator in configuration.evaluators.all()],
    }


EVERYTHING = {
    "project": "support-bot",
    "cases": ["May I return it?", "Where is my parcel?", "Stop the parcel."],
    "options": [("Yes", True), ("Partly", True), ("No", False), ("?", None), ("Rude", False)],
    "secret": {"auth_token": "s3cret"},
    "configuration": ("Nightly", "bot", {"repetitions": 3}),
    "evaluators": ["Helpful"],
}


def test_a_lead_sets_everything_up(page, sign_in, admin):
    sign_in(admin.user)

    fill_in_everything(page)

    assert made(admin.organization) == EVERYTHING


@pytest.mark.parametrize("page_options", [{"java_script_enabled": False}])
def test_everything_is_set_up_without_scripts(page, sign_in, admin):
    sign_in(admin.user)

    fill_in_everything(page)

    assert made(admin.organization) == EVERYTHING


@pytest.mark.parametrize("page_options", [{"java_script_enabled": False}])
def test_cases_are_put_in_order_without_scripts(page, sign_in, admin):
    test_set = make_test_set(make_project(admin.organization), cases=3)
    sign_in(admin.user)

    page.goto(reverse("runs:test-set-detail", args=[test_set.pk]))
    page.get_by_label("Select case 3").check()
    page.get_by_role("button", name="To the top").click()

    assert [case.number for case in test_set.cases.order_by("memberships__position")] == [3, 1, 2]


def test_a_test_set_is_walked_and_changed_by_keyboard(page, sign_in, admin):
    test_set = make_test_set(make_project(admin.organization), cases=3)
    sign_in(admin.user)
    page.goto(reverse("runs:test-set-detail", args=[test_set.pk]))

    for key in ("j", "j", "x"):
        page.keyboard.press(key)
    bar = page.get_by_role("region", name="Actions on the selected cases")
    expect(bar).to_contain_text("1 selected")
    page.once("dialog", lambda dialog: dialog.accept())
    bar.get_by_role("button", name="Take out").press("Enter")
    expect(page.get_by_text("Took 1 case out of the set.")).to_be_visible()
    page.keyboard.press("n")
    expect(page.get_by_label("Input", exact=True)).to_be_focused()
    page.keyboard.type("By keyboard")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Added case 4")).to_be_visible()

    assert [case.number for case in test_set.cases.order_by("memberships__position")] == [1, 3, 4]
    assert Case.objects.get(number=4).inputs == {"input": "By keyboard"}


def test_a_mistake_is_shown_where_it_is_and_has_the_focus(page, sign_in, admin):
    project = make_project(admin.organization)
    sign_in(admin.user)
    page.goto(f"/endpoints/new/?project={project.slug}")

    page.get_by_label("Name").fill("bot")
    page.get_by_label("Address").first.fill("https://user:pw@bot.example.com")
    page.get_by_role("button", name="Create endpoint").click()

    address = page.get_by_label("Address").first
    expect(address).to_be_focused()
    expect(address).to_have_accessible_description(re.compile("user name and password into the secret"))


def test_only_what_belongs_to_the_choice_is_asked_for(page, sign_in, admin):
    sign_in(admin.user)
    page.goto("/evaluators/new/")
    shown = []

    for who in ("AI judge", "Heuristic", "Human", "Classifier"):
        page.get_by_role("radio", name=who).check()
        names = ("model", "prompt", "heuristic", "settings", "question")
        shown.append([name for name in names if page.locator(f"[name={name}]").is_visible()])

    assert shown == [["model", "prompt"], ["heuristic", "settings"], ["question"], ["model", "settings"]]


def test_the_rail_switches_the_project_and_stays_on_the_list(page, sign_in, admin):
    one, two = make_project(admin.organization, name="One"), make_project(admin.organization, name="Two")
    make_endpoint(one, name="bot of one")
    make_endpoint(two, name="bot of two")
    sign_in(admin.user)
    page.goto("/endpoints/")

    page.get_by_role("button", name="All projects").click()
    page.get_by_role("menuitem", name="Two").click()

    expect(page).to_have_url(re.compile(r"/endpoints/\?project="))
    expect(page.get_by_role("link", name="bot of two")).to_be_visible()
    expect(page.get_by_role("link", name="bot of one")).to_have_count(0)
    expect(page.locator(".rail .brand__name").first).to_have_text("Two")


def test_undo_brings_back_what_was_archived(page, sign_in, admin):
    test_set = make_test_set(make_project(admin.organization), name="Regression")
    sign_in(admin.user)
    page.goto(reverse("runs:test-set-detail", args=[test_set.pk]))

    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Archive").click()
    page.get_by_role("button", name="Undo").click()

    expect(page.get_by_text("“Regression” is back in its list.")).to_be_visible()
    assert TestSet.objects.get().archived_at is None


def test_what_is_archived_says_so_in_one_line_with_the_way_back(page, sign_in, admin):
    test_set = make_test_set(make_project(admin.organization), name="Regression", archived_at=timezone.now())
    sign_in(admin.user)

    page.goto(reverse("runs:test-set-detail", args=[test_set.pk]))
    banner = page.locator(".banner")
    icon, text, back = (banner.locator(part).bounding_box() for part in ("svg", "p", "button"))

    assert text["x"] - (icon["x"] + icon["width"]) < 16
    assert text["height"] < 1.5 * icon["height"] + 8
    assert banner.bounding_box()["x"] + banner.bounding_box()["width"] - (back["x"] + back["width"]) < 24
    banner.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("“Regression” is back in its list.")).to_be_visible()
