"""Find a Chromium for the browser tests, or bring one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
PACKAGE_LIMIT = 300  # seconds for the system's package
DOWNLOAD_LIMIT = 60  # seconds for Playwright's own


class NoBrowser(Exception):
    """One sentence that says what to install."""


def find_browser() -> str | None:
    """A Chromium that really starts: some distributions ship an empty shell that asks for another installer."""
    named = os.environ.get("EVALHUB_CHROMIUM")
    if named:
        if not starts(named):
            raise NoBrowser(f"EVALHUB_CHROMIUM is {named}, which does not start.")
        return named
    for candidate in [*map(shutil.which, NAMES), *PLACES, playwrights_own()]:
        if candidate and starts(candidate):
            return candidate
    return None


def bring_browser() -> str:
    found = find_browser()
    if found:
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing Debian's chromium for the browser tests.", file=sys.stderr, flush=True)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        attempt(["apt-get", "update", "-q"], PACKAGE_LIMIT, quiet)
        attempt(["apt-get", "install", "-qy", "--no-install-recommends", "chromium"], PACKAGE_LIMIT, quiet)
        found = find_browser()
    if not found:
        print("Downloading a Chromium for the browser tests.", file=sys.stderr, flush=True)
        attempt([sys.executable, "-m", "playwright", "install", "chromium"], DOWNLOAD_LIMIT)
        found = find_browser()
    if not found:
        raise NoBrowser("The browser tests need Chromium or Chrome: install one, or name yours in EVALHUB_CHROMIUM.")
    return found


def launch(playwright: Any, program: str) -> Any:
    """A browser as every one of ours is started; containers have little shared memory, and root no sandbox."""
    arguments = ["--disable-dev-shm-usage", "--disable-gpu"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")
    return playwright.chromium.launch(executable_path=program, args=arguments)


def starts(program: str) -> bool:
    try:
        return subprocess.run([program, "--version"], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def attempt(command: list[str], limit: int, environment: dict[str, str] | None = None) -> None:
    """Run it; whether it helped, the next look for a browser says."""
    try:
        subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=limit, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return


def playwrights_own() -> str | None:
    """Where Playwright keeps the Chromium that it downloads."""
    kept = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    programs = [*kept.glob("chromium-*/chrome-*/chrome"), *kept.glob("chromium-*/chrome-*/*.app/Contents/MacOS/*")]
    return str(max(programs)) if programs else None
