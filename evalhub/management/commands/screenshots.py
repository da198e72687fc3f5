"""manage.py screenshots: the README's pictures, taken from a running demo."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from evalhub.management.browser import NoBrowser, bring_browser

FOLDER = settings.BASE_DIR / "docs" / "screenshots"
WIDE, PHONE = (1440, 900), (375, 812)


class Command(BaseCommand):
    help = "Takes the README's screenshots from the demo that is running (manage.py demo) into docs/screenshots."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--into", type=Path, default=FOLDER)

    def handle(self, *, into: Path, **options: Any) -> None:
        try:
            from playwright.sync_api import sync_playwright
        except ImportError:
            raise CommandError("The test dependencies are missing: run manage.py test once.") from None
        try:
            facts = json.loads((settings.VAR_DIR / "demo.json").read_text())
        except OSError:
            raise CommandError("There is no demo here: start manage.py demo first, and leave it running.") from None
        into.mkdir(parents=True, exist_ok=True)
        arguments = ["--disable-dev-shm-usage", "--disable-gpu"] + (["--no-sandbox"] if os.geteuid() == 0 else [])
        try:
            program = bring_browser()
        except NoBrowser as reason:
            raise CommandError(str(reason)) from None
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=arguments)
            for name, who, path, scheme, size in self.pictures(facts):
                context = browser.new_context(
                    base_url=facts["base_url"], color_scheme=scheme, viewport={"width": size[0], "height": size[1]}
                )
                page = context.new_page()
                self.sign_in(page, facts, who)
                page.goto(path)
                page.wait_for_load_state("networkidle")
                if name == "drawer":
                    page.locator("tbody tr a").first.click()
                    page.wait_for_load_state("networkidle")
                page.screenshot(path=into / f"{name}.png")
                self.stdout.write(f"{name}.png")
                context.close()
            browser.close()

    def pictures(self, facts: dict[str, Any]) -> list[tuple[str, str, str, Any, tuple[int, int]]]:
        run = "/runs/demo-nightly-14/"
        return [
            ("runs", "ines", "/runs/", "light", WIDE),
            ("run", "ines", run, "light", WIDE),
            ("drawer", "ines", f"{run}?outcome=failed", "light", WIDE),
            ("summary", "ines", f"{run}?tab=summary", "dark", WIDE),
            ("assign", "ines", f"/assignments/?run={run.split('/')[2]}", "light", WIDE),
            ("my-reviews", "hana", "/reviews/", "light", WIDE),
            ("phone", "hana", "/reviews/", "dark", PHONE),
        ]

    def sign_in(self, page: Any, facts: dict[str, Any], who: str) -> None:
        login = next(user for user in facts["users"] if user["email"].startswith(f"{who}@"))
        page.goto("/login/")
        page.get_by_label("E-mail").fill(login["email"])
        page.get_by_label("Password", exact=True).fill(login["password"])
        page.keyboard.press("Enter")
        page.wait_for_url("**/runs/**")
