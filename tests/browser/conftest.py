"""A Chromium for the tests in this folder. Every page is watched: no error, no violation of the policy, no stranger."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from playwright.sync_api import Browser, Page, sync_playwright

from evalhub.accounts.middleware import SESSION_KEY as ORGANIZATION_KEY
from evalhub.management.browser import find_browser, launch

EXPECTED = ("Failed to load resource: the server responded with a status of 4",)  # a test asks for these on purpose


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright's loop runs in this thread, beside the ORM
    program = find_browser()
    if program is None:
        pytest.fail("no Chromium: install one, or name yours in EVALHUB_CHROMIUM")
    with sync_playwright() as playwright, ExitStack() as stack:
        browser = launch(playwright, program)
        stack.callback(browser.close)
        yield browser


@pytest.fixture
def page_options() -> dict[str, Any]:
    """Override in a test module, or parametrise, for another size, colour scheme or a browser without scripts."""
    return {}


@pytest.fixture
def forgiven() -> tuple[str, ...]:
    """Parametrise with the beginnings of complaints that a test provokes on purpose."""
    return ()


@pytest.fixture
def page(browser: Browser, live_server: Any, page_options: dict[str, Any], forgiven: tuple[str, ...]) -> Iterator[Page]:
    options = {"viewport": {"width": 1440, "height": 900}, "base_url": live_server.url, **page_options}
    with ExitStack() as stack:
        context = browser.new_context(**options)
        stack.callback(context.close)
        context.set_default_timeout(8_000)
        context.on("page", make_patient)
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(f"script error: {error}"))
        page.on("console", lambda message: hear(message, complaints))
        page.on("request", lambda request: watch(request.url, live_server.url, complaints))
        yield page
        assert [complaint for complaint in complaints if not complaint.startswith(forgiven)] == []


def make_patient(page: Page) -> None:
    """It goes on, and its keys are pressed, only when its scripts listen: a test types faster than any person."""
    goto, press = page.goto, page.keyboard.press

    def go(url: str, **options: Any) -> Any:
        response = goto(url, **options)
        await_ready(page)
        return response

    def press_key(key: str, **options: Any) -> None:
        await_ready(page)
        press(key, **options)

    page.goto, page.keyboard.press = go, press_key  # type: ignore[method-assign]


def await_ready(page: Page) -> None:
    page.wait_for_load_state("load")
    if page.locator("html[data-js]").count():
        page.locator("html[data-ready]").wait_for(state="attached")


def hear(message: Any, complaints: list[str]) -> None:
    if message.type in ("error", "warning") and not message.text.startswith(EXPECTED):
        complaints.append(f"console: {message.text}")


def watch(url: str, home: str, complaints: list[str]) -> None:
    if not url.startswith((f"{home}/", "data:", "blob:", "about:")):
        complaints.append(f"a call to a stranger: {url}")


@pytest.fixture
def sign_in(page: Page, live_server: Any) -> Callable[..., None]:
    """sign_in(user, organization): a session as the login page makes it, without the detour."""

    def sign_in(user: Any, organization: Any = None) -> None:
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        if organization is not None:
            session[ORGANIZATION_KEY] = str(organization.pk)
        session.save()
        cookie = {"name": settings.SESSION_COOKIE_NAME, "value": session.session_key, "url": live_server.url}
        page.context.add_cookies([cookie])

    return sign_in


def serious(page: Page) -> list[str]:
    """What axe finds wrong, as far as it keeps people out; empty is good."""
    violations = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{found['id']}: {node['html'][:160]}"
        for found in violations
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]
