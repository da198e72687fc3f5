"""What is done with a whole list: sort, narrow, keep as a view, select all of it; with scripts and without."""

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from evalhub.accounts.rights import Role
from runs.models import SavedView, TestRun
from tests.factories import make_organization, make_project, make_results, make_run, make_user

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PAGE_SIZE = 50
WITHOUT_SCRIPTS = {"java_script_enabled": False}


@pytest.fixture
def project():
    return make_project(make_organization(), name="Support bot")


@pytest.fixture
def lead(project):
    return make_user(project.organization, Role.LEAD)


def names(page):
    return [name.partition(" #")[0] for name in page.locator("tr[data-row] .c-main").all_inner_texts()]


def rows_in(download):
    with Path(download.path()).open(encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def test_all_that_a_filter_shows_is_exported_and_archived_and_brought_back(page, sign_in, project, lead):
    for number in range(PAGE_SIZE + 1):
        make_run(project, name=f"Nightly {number}", branch="main")
    make_run(project, name="Try", branch="next")
    sign_in(lead)
    page.goto("/runs/?branch=main")
    bar = page.get_by_role("region", name="Actions on the selection")

    page.get_by_label("Select all runs on this page").check()
    expect(bar).to_contain_text(f"{PAGE_SIZE} selected")
    bar.get_by_text(f"Select all {PAGE_SIZE + 1}").click()
    with page.expect_download() as download:
        page.keyboard.press("e")
    bar.get_by_role("button", name="Archive").click()
    expect(page.get_by_text(f"Archived {PAGE_SIZE + 1} runs.")).to_be_visible()
    left = list(TestRun.objects.filter(archived_at=None).values_list("name", flat=True))
    page.keyboard.press("u")

    expect(page.get_by_text(f"Restored {PAGE_SIZE + 1} runs.")).to_be_visible()
    assert len(rows_in(download.value)) == PAGE_SIZE + 1
    assert left == ["Try"]
    assert TestRun.objects.filter(archived_at=None).count() == PAGE_SIZE + 2


def test_a_view_is_saved_shared_and_opened_by_a_colleague(page, sign_in, project, lead):
    make_run(project, name="Nightly", branch="main")
    make_run(project, name="Try", branch="next")
    sign_in(lead)
    page.goto("/runs/?branch=main")

    page.get_by_role("button", name="Views").click()
    page.get_by_role("menuitem", name="Save what is shown now").click()
    dialog = page.get_by_role("dialog", name="Save view")
    expect(dialog.get_by_label("Name")).to_be_focused()
    page.keyboard.press("Control+Enter")
    expect(dialog.get_by_text("Enter the name.")).to_be_visible()
    page.keyboard.type("On main")
    dialog.get_by_label("Share it").check()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Saved the view “On main”.")).to_be_visible()
    sign_in(make_user(project.organization, Role.VIEWER))
    page.goto("/runs/")
    page.get_by_role("button", name="Views").click()
    page.get_by_role("menuitem", name="On main shared").click()

    expect(page).to_have_url(re.compile(r"/runs/\?branch=main$"))
    assert names(page) == ["Nightly"]


def test_a_menu_opens_beside_its_button(page, sign_in, project, lead):
    make_run(project)
    sign_in(lead)
    page.goto("/runs/")
    button, menu = page.get_by_role("button", name="Views"), page.get_by_role("menu", name="Saved views")

    button.click()
    expect(menu).to_be_visible()

    at, below = button.bounding_box(), menu.bounding_box()
    assert below["y"] == pytest.approx(at["y"] + at["height"], abs=8)


@pytest.mark.parametrize("page_options", [WITHOUT_SCRIPTS])
def test_without_scripts_a_list_is_sorted_narrowed_kept_exported_and_paged(page, sign_in, project, lead):
    for number in range(PAGE_SIZE + 1):
        make_run(project, name=f"Nightly {number:02}", branch="main")
    make_run(project, name="Try", branch="next")
    sign_in(lead)
    page.goto("/runs/")

    page.get_by_role("link", name="Filters").click()
    page.get_by_label("Branch").fill("main")
    page.get_by_role("button", name="Show runs").click()
    expect(page.get_by_text("could not be read")).to_have_count(0)
    page.get_by_role("link", name="Name", exact=True).click()
    assert names(page)[:2] == ["Nightly 00", "Nightly 01"]
    page.get_by_role("link", name="Next").click()
    assert names(page) == [f"Nightly {PAGE_SIZE:02}"]
    page.get_by_role("checkbox", name="Select #").check()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    page.get_by_role("button", name="Views").click()
    page.get_by_role("menuitem", name="Save what is shown now").click()
    page.get_by_label("Name").fill("On main")
    page.get_by_role("button", name="Save view").click()

    expect(page.get_by_text("Saved the view “On main”.")).to_be_visible()
    assert [row["name"] for row in rows_in(download.value)] == [f"Nightly {PAGE_SIZE:02}"]
    assert list(SavedView.objects.values_list("name", "query")) == [("On main", "branch=main&sort=name")]


@pytest.mark.parametrize("page_options", [WITHOUT_SCRIPTS])
def test_without_scripts_what_was_archived_is_brought_back(page, sign_in, project, lead):
    run = make_run(project, name="Nightly", status="completed")
    make_results(run, passed=1)
    sign_in(lead)
    page.goto("/runs/")

    page.get_by_role("checkbox", name="Select #").check()
    page.get_by_role("button", name="Archive").click()
    assert names(page) == []
    page.get_by_role("button", name="Undo").click()

    assert names(page) == ["Nightly"]
    expect(page.locator("kbd").first).to_be_hidden()
