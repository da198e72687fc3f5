"""What a person sees and when: measured in a Chromium, by the page's own performance timeline."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from evalhub.benchmark.measuring import Figure, must, of
from evalhub.benchmark.serving import Site
from evalhub.management.browser import find_browser, launch

OPENED = 12  # drawers
REPEAT = 0.033  # seconds between two presses of a key that is held

# Marks each press of a key or button, and the first frame painted after the drawer shows another result.
WATCH = """() => {
    window.shifts = 0;
    new PerformanceObserver((list) => {
        for (const shift of list.getEntries()) if (!shift.hadRecentInput) window.shifts += shift.value;
    }).observe({ type: "layout-shift", buffered: true });
    for (const kind of ["keydown", "click"])
        addEventListener(kind, () => performance.mark("pressed"), { capture: true });
    const drawer = document.getElementById("drawer");
    if (!drawer) return;
    let shown = "";
    new MutationObserver(() => {
        const title = drawer.querySelector("h2")?.textContent ?? "";
        if (!title || title === shown) return;
        shown = title;
        requestAnimationFrame(() => setTimeout(() => performance.mark("painted", { detail: title })));
    }).observe(drawer, { childList: true, subtree: true });
}"""
LAST = """(name) => performance.getEntriesByName(name).at(-1)?.startTime ?? 0"""


def measure_browser(site: Site) -> list[Figure]:
    """Nothing where no browser is installed."""
    with chromium(site) as page:
        if page is None:
            return []
        run = f"/runs/{of(site).run}/"
        shifts = 0.0
        for path in ("/runs/", run, f"{run}?tab=summary"):
            page.goto(path)
            page.evaluate(WATCH)
            page.wait_for_load_state("networkidle")
            shifts += page.evaluate("window.shifts")
        page.goto(run)
        page.evaluate(WATCH)
        opening = statistics.median(open_drawer(page, n) for n in range(OPENED))
        page.goto(run)
        page.evaluate(WATCH)
        return [
            Figure("drawer, click to paint", opening, "ms", at_most=100, note="in Chromium"),
            hold_j(page),
            Figure("layout shift", shifts, "", at_most=0, note="runs, results, summary"),
        ]


def open_drawer(page: Any, row: int) -> float:
    before = page.evaluate(LAST, "painted")
    page.locator("[data-drawer] tbody tr a.cell-link").nth(row).click()
    until(page, lambda: page.evaluate(LAST, "painted") > before)
    return float(page.evaluate(LAST, "painted") - page.evaluate(LAST, "pressed"))


def hold_j(page: Any) -> Figure:
    """Hold the key from the first row to the last: the drawer keeps up, and nothing is left over at the release."""
    page.locator("[data-drawer] tbody tr a.cell-link").first.click()
    page.locator("#drawer h2").wait_for()
    rows = page.locator("[data-drawer] tbody tr")
    last = rows.nth(rows.count() - 1)
    began = time.perf_counter()
    while last.get_attribute("aria-current") != "true":
        pressed = time.perf_counter()
        page.keyboard.down("j")
        must(pressed - began < 30, "j was held for 30 s, and the last row is not reached")
        time.sleep(max(0.0, REPEAT - (time.perf_counter() - pressed)))
    rate = (rows.count() - 1) / (time.perf_counter() - began)
    page.keyboard.up("j")
    title = last.locator("a.cell-link").inner_text()
    until(page, lambda: title in page.evaluate('performance.getEntriesByName("painted").at(-1)?.detail ?? ""'))
    behind = page.evaluate(LAST, "painted") - page.evaluate(LAST, "pressed")
    return Figure("j held, last press to paint", behind, "ms", at_most=100, note=f"{rate:.0f} results/s")


def until(page: Any, true: Callable[[], bool], seconds: float = 10) -> None:
    """Ask again and again: the page's policy lets nobody wait inside it."""
    over = time.monotonic() + seconds
    while not true():
        must(time.monotonic() < over, f"{page.url} did not get there within {seconds} s")
        time.sleep(0.01)


@contextmanager
def chromium(site: Site) -> Iterator[Any]:
    """A page that is signed in, or None."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        yield None
        return
    program = find_browser()
    if program is None:
        yield None
        return
    home = f"http://127.0.0.1:{site.port}"
    with sync_playwright() as playwright:
        browser = launch(playwright, program)
        context = browser.new_context(base_url=home, viewport={"width": 1440, "height": 900})
        cookie = {"name": settings.SESSION_COOKIE_NAME, "value": of(site).session, "url": home}
        context.add_cookies([cookie])
        try:
            yield context.new_page()
        finally:
            browser.close()
