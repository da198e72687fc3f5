import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests.factories import make_organization, make_project, make_results, make_run, make_user

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_row_of_a_running_run_moves_by_itself(page, sign_in):
    organization = make_organization()
    run = make_run(make_project(organization), name="Nightly", planned_count=4)
    sign_in(make_user(organization))
    page.goto(reverse("runs:run-list"))
    row = page.locator(f"#run-{run.pk}")
    expect(row).to_contain_text("0 / 4")

    make_results(run, passed=3)

    expect(row).to_contain_text("3 / 4", timeout=8000)
