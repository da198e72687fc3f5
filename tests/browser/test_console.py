"""The operators' console in a browser, under its own strict policy."""

import pytest
from playwright.sync_api import expect
from procrastinate.contrib.django.models import ProcrastinateJob

from evalhub.accounts.models import Membership
from evalhub.worker import rescue_stalled_jobs
from results.models import Evaluation
from runs.models import Evaluator, Project
from tests.browser.conftest import serious
from tests.factories import PASSWORD, make_evaluator, make_organization, make_project, make_result, make_run, make_user

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def operator(sign_in):
    user = make_user(email="op@example.com", name="Op", is_superuser=True, is_staff=True)
    sign_in(user)
    return user


@pytest.fixture
def rows():
    organization = make_organization(name="Acme", slug="acme")
    make_user(organization, role="lead", name="Ines", email="ines@acme.example")
    run = make_run(make_project(organization, name="Support bot"))
    make_result(run, passed=False, output={"output": "<img src=x onerror=alert(1)>"})
    make_evaluator(run.project)
    return run


def test_the_console_keeps_its_policy_from_sign_in_to_saving(page, rows):
    """The page fixture fails on every violation, script error and foreign request."""
    make_user(email="op@example.com", is_superuser=True, is_staff=True)
    page.goto("/admin/runs/project/")
    page.get_by_label("E-mail").fill("op@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Support bot")).to_be_visible()

    page.get_by_role("link", name="Support bot").click()
    page.get_by_label("Description:").fill("Answers customers")
    page.get_by_role("button", name="Save", exact=True).click()

    expect(page.get_by_text("was changed successfully")).to_be_visible()
    assert Project.objects.get(name="Support bot").description == "Answers customers"


def test_every_kind_of_page_keeps_the_policy(page, operator, rows):
    evaluation = Evaluation.objects.first()
    rescue_stalled_jobs.defer(timestamp=0)
    job = ProcrastinateJob.objects.get()
    addresses = [
        "/admin/",
        "/admin/runs/",
        "/admin/results/testresult/?q=nothing",
        "/admin/results/testresult/?outcome__exact=failed&organization=acme",
        f"/admin/results/testresult/{rows.results.get().pk}/change/",
        f"/admin/results/evaluation/{evaluation.pk}/change/",
        f"/admin/runs/testrun/{rows.pk}/change/",
        f"/admin/runs/testrun/{rows.pk}/history/",
        "/admin/runs/case/add/",
        "/admin/runs/task/add/",
        "/admin/accounts/user/add/",
        f"/admin/accounts/user/{operator.pk}/password/",
        "/admin/accounts/membership/add/",
        "/admin/runs/comment/?organization=nobody",
        "/admin/procrastinate/procrastinatejob/",
        f"/admin/procrastinate/procrastinatejob/{job.pk}/change/",
    ]
    for address in addresses:
        page.goto(address)
        expect(page.locator("#content")).to_be_visible()


def test_a_list_says_what_its_box_searches(page, operator, rows):
    page.goto("/admin/runs/project/")

    expect(page.get_by_role("textbox", name="Search projects")).to_be_visible()
    assert serious(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_colours_can_be_read(page, operator, rows, scheme):
    page.emulate_media(color_scheme=scheme)

    for address in ("/admin/", "/admin/runs/project/", f"/admin/runs/testrun/{rows.pk}/change/"):
        page.goto(address)
        assert [found for found in serious(page) if found.startswith("color-contrast")] == [], address


def test_rows_are_found_by_typing_and_not_in_endless_boxes(page, operator, rows):
    page.goto("/admin/accounts/membership/add/")
    page.locator(".field-user .select2-selection").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".select2-search__field")).to_be_focused()
    page.keyboard.type("ines")
    expect(page.get_by_role("option", name="Ines")).to_be_visible()
    page.keyboard.press("Enter")

    expect(page.locator("#select2-id_user-container")).to_contain_text("Ines")


def test_a_reference_is_looked_up_in_a_window_of_its_own(page, operator, rows):
    page.goto("/admin/runs/testsetcase/add/")

    with page.expect_popup() as popup:
        page.locator("#lookup_id_case").click()
    link = popup.value.get_by_role("link", name="Case 1").first
    link.evaluate("link => setTimeout(() => link.click())")  # the window is gone before Playwright's own has ended

    expect(page.locator("#id_case")).to_have_value(str(rows.results.get().case_id))


def test_several_rows_are_archived_by_keyboard(page, operator, rows):
    evaluators = Evaluator.objects.count()
    page.goto("/admin/runs/evaluator/")
    page.locator("#action-toggle").focus()
    page.keyboard.press("Space")
    page.get_by_label("Action:").select_option("archive")
    page.get_by_role("button", name="Run").focus()
    page.keyboard.press("Enter")

    expect(page.get_by_text(f"{evaluators} archived.")).to_be_visible()
    assert Evaluator.objects.filter(archived_at=None).count() == 0


def test_who_is_no_operator_finds_nothing(page, sign_in, rows):
    sign_in(Membership.objects.first().user)

    page.goto("/admin/")

    expect(page.get_by_role("heading", name="This page isn’t here")).to_be_visible()


@pytest.mark.parametrize("page_options", [{"java_script_enabled": False}])
def test_an_organisation_is_filtered_without_scripts(page, operator, rows):
    make_project(make_organization(), name="Somebody else’s")
    page.goto("/admin/runs/project/")
    page.get_by_text("By organisation").click()
    page.get_by_label("Short name or id").fill("acme")
    page.get_by_role("button", name="Filter").click()

    expect(page.locator("#result_list tbody tr")).to_have_count(1)
