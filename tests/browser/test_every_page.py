"""Every page of the URLconf in Chromium, light, dark, on a tablet and a phone: one that is new cannot be forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from results.models import ReviewRound, TestResult
from runs.models import Case, Endpoint, Evaluator, Project, SavedView, TestConfiguration, TestRun, TestSet
from tests.browser.conftest import serious
from tests.test_tenancy import World, addresses, ours, path_to

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

__all__ = ["ours"]  # the fixture: one organisation with a row of everything

STATES = {  # what a page also shows, by its query
    "runs:run-list": ("?q=nothing", "?status=failed", "?cursor=damaged"),
    "results:run-detail": ("?tab=summary", "?tab=reviews", "?tab=configuration", "?result={result}", "?q=nothing"),
    "results:result-list": ("?q=nothing",),
    "results:result-detail": ("?show=json", "?show=raw", "?show=diff"),
    "results:review-list": ("?show=finished",),
    "results:assignment-create": ("?run={run}",),
    "accounts:login": ("?next=/runs/",),
}
NO_PAGES = {  # answers of HTML that nobody opens by themselves
    "runs:run-progress": "rows for a list that is open",
    "results:result-html": "what an application drew, in a frame without rights",
}


def pages_of(world: World) -> list[str]:
    """The addresses that answer an admin with a page of ours, and two more that nobody has."""
    client = Client()
    client.force_login(world.admin)
    found = ["/nowhere/", "/runs/?cursor=damaged"]
    for address in addresses():
        if address.name in NO_PAGES or address.pattern.startswith("api/v"):
            continue
        path = path_to(address, world.rows)
        answer = client.get(path)
        if is_page(answer):
            ids = {noun: str(row.pk) for noun, row in world.rows.items()}
            found += [path, *(path + query.format_map(ids) for query in STATES.get(address.name, ()))]
    return sorted(set(found))


def is_page(answer: Any) -> bool:
    return answer.status_code not in (301, 302, 405) and answer["Content-Type"].startswith("text/html")


def complaints_about(page: Any, path: str) -> list[str]:
    """What keeps people out in the light and in the dark, and what finds no room on a tablet or a phone."""
    page.set_viewport_size({"width": 1440, "height": 900})
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(path)
    found = serious(page)
    page.emulate_media(color_scheme="dark")
    found += [f"in the dark: {one}" for one in unreadable(page)]
    for width, where in ((800, "tablet"), (375, "phone")):
        page.set_viewport_size({"width": width, "height": 812})
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            found.append(f"{wide} px wide on a {where}")
        found += [f"no room for “{name}” on a {where}" for name in page.evaluate(SQUEEZED)]
    return [f"{path}: {one}" for one in found]


SQUEEZED = """() => [...document.querySelectorAll("main tbody tr:first-child")].flatMap((row) => {
  const name = row.querySelector("td.c-main, td:has(.cell-link)");
  const cut = name && name.checkVisibility() && name.innerText.length > 4 && name.getBoundingClientRect().width < 70;
  return cut ? [name.innerText] : [];
})"""  # a table gives its first column what the others leave: that may be nothing


def unreadable(page: Any) -> list[str]:
    """The one rule that depends on colours; the others were asked in the light, which left axe in the page."""
    run = """() => axe.run({runOnly: {type: "rule", values: ["color-contrast"]}, resultTypes: ["violations"]})"""
    violations = page.evaluate(run)["violations"]
    return [f"{one['id']}: {node['html'][:160]}" for one in violations for node in one["nodes"]]


LONG = "Supercalifragilisticexpialidocious" * 4  # no place to break a line at


def test_no_name_is_too_long_for_a_phone(page, sign_in, ours):
    Project.objects.update(name=f"Project {LONG}")
    for model in (TestSet, Case, Endpoint, Evaluator, TestConfiguration, ReviewRound, TestResult):
        model.objects.update(name=f"{model.__name__} {LONG}")
    TestRun.objects.update(name=f"Run {LONG}", branch=LONG, commit=LONG[:40], model=LONG)
    SavedView.objects.update(name=LONG[:80])
    for model in (Case, TestResult):
        model.objects.update(tags=[LONG[:80], "b"])
    sign_in(ours.admin, ours.organization)
    page.set_viewport_size({"width": 375, "height": 812})
    nouns = ("project", "test-set", "case", "endpoint", "evaluator", "configuration")
    paths = [reverse(f"runs:{noun}-detail", args=[ours.rows[noun.replace("-", "_")].pk]) for noun in nouns]
    paths += [reverse(f"runs:{noun}-list") for noun in (*nouns, "run", "view")]
    run = reverse("results:run-detail", args=[ours.rows["run"].pk])
    paths += [run, f"{run}?tab=summary", f"{run}?tab=configuration", f"{run}?tab=reviews"]
    paths += [reverse("runs:configuration-edit", args=[ours.rows["configuration"].pk])]
    paths += [reverse(f"results:{noun}-detail", args=[ours.rows[noun].pk]) for noun in ("result", "round")]
    paths += [reverse("results:review", args=[ours.rows["assignment"].pk]), reverse("results:review-list")]

    wide = {}
    for path in paths:
        page.goto(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > 375:
            wide[path] = width

    assert wide == {}


def test_no_page_keeps_anybody_out(page, sign_in, ours):
    pages = pages_of(ours)
    sign_in(ours.admin, ours.organization)

    complaints = [complaint for path in pages for complaint in complaints_about(page, path)]

    assert complaints == []
    assert len(pages) > 70
