"""The list of production calls in a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from results.feedback import give_feedback
from results.models import TestResult
from results.recording import record_results
from results.records import ResultRecord
from tests.browser.conftest import serious
from tests.factories import make_actor, make_project, make_run

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("page_options", [{}, {"viewport": {"width": 390, "height": 844}}, {"color_scheme": "dark"}])
def test_a_lead_reads_what_users_said(page: Page, sign_in: Callable[..., None], page_options: dict[str, Any]) -> None:
    lead = make_actor()
    project = make_project(lead.organization, name="Support bot")
    run = make_run(project, kind="production", day=timezone.now().date(), status="completed")
    asks = ("Where is my parcel?", "Cancel my order, please.")
    recorded = record_results(
        run, [ResultRecord(inputs={"input": ask}, output={"output": f"About “{ask}”"}, latency_ms=900) for ask in asks]
    )
    call = TestResult.objects.get(pk=recorded[0].id)
    give_feedback(call, by=lead, score=0.25, recorded_at=timezone.now(), details="It did not say where.")
    sign_in(lead.user, lead.organization)

    page.goto(f"/projects/{project.pk}/")
    page.get_by_role("link", name="2 calls, with their feedback").click()
    expect(page.get_by_role("heading", name="Production calls")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(2)
    assert serious(page) == []
    page.get_by_role("link", name="With feedback").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name=asks[0]).click()

    expect(page.get_by_text("It did not say where.")).to_be_visible()
