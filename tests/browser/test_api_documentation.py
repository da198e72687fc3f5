"""The API's documentation in Chromium."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import serious
from tests.factories import make_organization, make_user

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SIZES = [
    {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
    {"viewport": {"width": 375, "height": 900}, "color_scheme": "dark"},
]


@pytest.mark.parametrize("page_options", SIZES)
def test_an_operation_is_found_and_read(page, sign_in):
    organization = make_organization()
    sign_in(make_user(organization), organization)
    page.goto("/api/docs/")

    page.get_by_role("navigation", name="On this page").get_by_role("link", name="Runs", exact=True).click()
    page.locator("#create_runs summary").focus()
    page.keyboard.press("Enter")

    expect(page.locator("#create_runs")).to_contain_text("curl -X POST")
    page.locator("#create_runs").get_by_role("link", name="NewRun").click()
    page.locator("#object-NewRun summary").click()
    expect(page.locator("#object-NewRun")).to_contain_text("planned_count")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert serious(page) == []


@pytest.mark.parametrize("page_options", [{"java_script_enabled": False}])
def test_strangers_read_it_without_scripts(page):
    page.goto("/api/docs/#throttled")

    expect(page.get_by_role("heading", name="API", exact=True)).to_be_visible()
    page.locator("#read_runs summary").click()
    expect(page.locator("#read_runs")).to_contain_text("Part of a name, branch or commit")
