"""Importing in a browser: a log that comes in by itself, a table whose columns are explained, and no JavaScript."""

import re
import threading

import pytest
from django.db import connection
from playwright.sync_api import expect

from evalhub.accounts.rights import Role
from evalhub.importers.tasks import run_import
from runs.models import Import, Project
from tests.browser.conftest import serious
from tests.factories import make_project, make_user
from tests.importers.building import bring_in, make_header, make_sample, make_score, write_eval, write_text

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def uploads(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def lead():
    project = make_project(name="Support bot")
    return make_user(project.organization, Role.LEAD)


def work():
    """A worker takes the only job."""

    def run():
        run_import(import_id=str(Import.objects.get().pk))
        connection.close()

    worker = threading.Thread(target=run)
    worker.start()
    worker.join()


def choose(page, path):
    page.goto("/imports/")
    page.get_by_role("link", name="Import a file").first.click()
    expect(page.get_by_role("heading", name="Import a file")).to_be_visible()
    page.get_by_label("File").set_input_files(path)
    page.get_by_role("button", name=re.compile("^Import")).click()


def test_a_log_comes_in_while_the_page_watches(page, sign_in, lead, tmp_path):
    header = make_header([make_score(accuracy=0.5)], total=2)
    log = write_eval(tmp_path, [make_sample(1), make_sample(2)], header)
    sign_in(lead)

    choose(page, log)
    expect(page.get_by_text("Waiting for a worker.")).to_be_visible()
    work()

    expect(page.get_by_text("match accuracy: the file says 0.5, and holds 1.")).to_be_visible()
    assert page.locator("[hx-trigger]").count() == 0
    assert serious(page) == []


def test_the_columns_of_a_table_are_explained(page, sign_in, lead, tmp_path):
    table = write_text(tmp_path, "id,question,answer,tone\n1,Why?,Because.,0.5\n2,How?,So.,1\n")
    sign_in(lead)

    choose(page, table)
    expect(page.get_by_role("heading", name="What do the columns mean?")).to_be_visible()
    assert serious(page) == []
    page.get_by_label("Passes from, tone").fill("0.75")
    page.get_by_role("button", name=re.compile("^Import")).click()
    expect(page.get_by_text("Waiting for a worker.")).to_be_visible()
    work()

    expect(page.get_by_text("2 results, 1 evaluator.")).to_be_visible()
    assert serious(page) == []


def test_a_file_that_cannot_be_imported_is_said_at_its_field(page, sign_in, lead, tmp_path):
    sign_in(lead)

    choose(page, write_text(tmp_path, "<testsuites></testsuites>", "junit.xml"))

    expect(page.get_by_text("This is a JUnit file: not importable yet.")).to_be_visible()
    assert serious(page) == []


@pytest.mark.parametrize("page_options", [{"java_script_enabled": False}])
def test_it_all_works_without_javascript(page, sign_in, lead, tmp_path):
    sign_in(lead)

    choose(page, write_eval(tmp_path, [make_sample(1)]))
    expect(page.get_by_text("Waiting for a worker.")).to_be_visible()
    work()
    page.get_by_role("link", name="Look again").click()

    expect(page.get_by_text("1 sample, 1 scorer.")).to_be_visible()
    page.goto("/imports/")
    expect(page.get_by_role("row", name=re.compile("log.eval"))).to_contain_text("Done")


@pytest.mark.parametrize(
    "page_options",
    [
        {"color_scheme": "dark"},
        {"viewport": {"width": 375, "height": 800}},
        {"viewport": {"width": 1920, "height": 1000}},
    ],
)
def test_the_list_is_readable_in_every_size_and_light(page, sign_in, lead, tmp_path):
    log = write_eval(tmp_path, [make_sample(1)], make_header([make_score(accuracy=0.5)], total=1))
    bring_in(log, Project.objects.get(), by=lead)
    sign_in(lead)
    choose(page, write_text(tmp_path, "id,answer\n1,Because.\n"))

    expect(page.get_by_role("heading", name="What do the columns mean?")).to_be_visible()
    assert serious(page) == []
    page.goto("/imports/")

    expect(page.get_by_text("Needs columns")).to_be_visible()
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
