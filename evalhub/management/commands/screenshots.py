"""manage.py screenshots: the README's pictures, taken from a running demo."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from evalhub.management.browser import NoBrowser, bring_browser, launch

FOLDER = settings.BASE_DIR / "docs" / "screenshots"
WIDE, PHONE = (1440, 900), (375, 812)
NO_DEMO = "No demo answers here: start manage.py demo, leave it running, and try again."


def as_it_is(page: Any) -> None:
    """The page as its address gives it."""


def open_first_failure(page: Any) -> None:
    page.locator("[data-drawer] tbody tr a").first.click()
    page.locator("#drawer h2").first.wait_for()


@dataclass(frozen=True, kw_only=True)
class Picture:
    name: str
    who: str
    path: str
    scheme: Literal["light", "dark"] = "light"
    size: tuple[int, int] = WIDE
    first: Callable[[Any], None] = as_it_is


RUN = "/runs/demo-nightly-14/"
PICTURES = [
    Picture(name="runs", who="ines", path="/runs/"),
    Picture(name="drawer", who="ines", path=f"{RUN}?outcome=failed", first=open_first_failure),
    Picture(name="summary", who="ines", path=f"{RUN}?tab=summary", scheme="dark"),
    Picture(name="assign", who="ines", path="/assignments/?run=demo-nightly-14"),
    Picture(name="my-reviews", who="hana", path="/reviews/"),
    Picture(name="phone", who="hana", path="/reviews/", scheme="dark", size=PHONE),
]


class Command(BaseCommand):
    help = "Takes the README's screenshots from the demo that is running (manage.py demo) into docs/screenshots."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--into", type=Path, default=FOLDER)

    def handle(self, *, into: Path, **options: Any) -> None:
        try:
            from playwright.sync_api import Error, sync_playwright
        except ImportError:
            raise CommandError("The test dependencies are missing: run manage.py test once.") from None
        try:
            facts = json.loads((settings.VAR_DIR / "demo.json").read_text())
        except OSError:
            raise CommandError(NO_DEMO) from None
        try:
            program = bring_browser()
        except NoBrowser as reason:
            raise CommandError(str(reason)) from None
        into.mkdir(parents=True, exist_ok=True)
        with sync_playwright() as playwright:
            browser = launch(playwright, program)
            try:
                for picture in PICTURES:
                    self.take(browser, facts, picture, into / f"{picture.name}.png")
                    self.stdout.write(f"{picture.name}.png")
            except Error as problem:
                if "ERR_CONNECTION_REFUSED" in problem.message:
                    raise CommandError(NO_DEMO) from None
                raise
            finally:
                browser.close()

    def take(self, browser: Any, facts: dict[str, Any], picture: Picture, file: Path) -> None:
        width, height = picture.size
        context = browser.new_context(
            base_url=facts["base_url"], color_scheme=picture.scheme, viewport={"width": width, "height": height}
        )
        page = context.new_page()
        self.sign_in(page, facts, picture.who)
        page.goto(picture.path)
        picture.first(page)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=file)
        context.close()

    def sign_in(self, page: Any, facts: dict[str, Any], who: str) -> None:
        login = next(user for user in facts["users"] if user["email"].startswith(f"{who}@"))
        page.goto("/login/")
        page.get_by_label("E-mail").fill(login["email"])
        page.get_by_label("Password", exact=True).fill(login["password"])
        page.keyboard.press("Enter")
        page.wait_for_url("**/runs/**")
