import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from runs.models import Shard
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


def test_the_page_of_a_run_shows_what_has_arrived_by_itself(page, sign_in):
    organization = make_organization()
    run = make_run(make_project(organization), name="Nightly", planned_count=4)
    sign_in(make_user(organization))
    page.goto(reverse("results:run-detail", args=[run.pk]))
    heading, tab = page.locator("h1"), page.get_by_role("link", name="Results", exact=False).locator(".tabs__count")
    expect(page.get_by_text("Results are on their way")).to_be_visible()

    make_results(run, passed=2)
    expect(page.locator("tr[data-row]")).to_have_count(2, timeout=8000)
    make_results(run, passed=2)
    run.refresh_from_db()
    run.finish()

    expect(page.get_by_text("Everything has arrived.")).to_be_visible(timeout=8000)
    expect(heading).to_contain_text("Completed")
    expect(tab).to_have_text("4")


def test_a_run_that_is_judged_again_is_followed_until_it_is_done(page, sign_in):
    organization = make_organization()
    run = make_run(make_project(organization), name="Nightly")
    make_results(run, passed=2)
    run.finish()
    Shard.objects.create(organization=organization, run=run, kind=Shard.Kind.JUDGE, number=1, size=2)
    sign_in(make_user(organization))
    page.goto(reverse("results:run-detail", args=[run.pk]))
    expect(page.get_by_text("Workers judge 2 of its results again.")).to_be_visible()

    Shard.objects.update(done_at=timezone.now())
    expect(page.get_by_text("Everything has arrived.")).to_be_visible(timeout=8000)

    expect(page.locator("[hx-trigger^=every]")).to_have_count(0)
    page.get_by_role("link", name="Show the results as they are now").click()
    expect(page.get_by_text("Everything has arrived.")).to_have_count(0)
