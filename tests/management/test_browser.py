"""Finding a Chromium, or bringing one. The programs here are small stand-ins."""

from pathlib import Path

import pytest

from evalhub.management import browser


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with nothing on its path but what a test puts there."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "playwright"))
    monkeypatch.delenv("EVALHUB_CHROMIUM", raising=False)
    monkeypatch.setattr(browser, "PLACES", ())
    return tmp_path


def make_program(file: Path, script: str = "exit 0") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_a_program_that_only_asks_for_another_installer_is_passed_over(machine):
    make_program(machine / "bin" / "chromium", "echo 'snap install chromium' >&2; exit 1")
    chrome = make_program(machine / "bin" / "google-chrome")

    assert browser.find_browser() == str(chrome)


def test_playwrights_own_is_found(machine):
    kept = make_program(machine / "playwright" / "chromium-1200" / "chrome-linux" / "chrome")

    assert browser.find_browser() == str(kept)


def test_the_browser_that_was_named_is_used_or_refused(machine, monkeypatch):
    monkeypatch.setenv("EVALHUB_CHROMIUM", str(make_program(machine / "mine")))
    assert browser.find_browser() == str(machine / "mine")

    monkeypatch.setenv("EVALHUB_CHROMIUM", str(machine / "gone"))
    with pytest.raises(browser.NoBrowser, match=f"EVALHUB_CHROMIUM is {machine}/gone, which does not start"):
        browser.find_browser()


def test_root_on_debian_gets_debians_package(machine, monkeypatch):
    package = make_program(machine / "package" / "chromium")
    make_program(machine / "bin" / "apt-get", f"[ $1 = update ] || /bin/cp {package} {machine}/bin/")
    monkeypatch.setattr("os.geteuid", lambda: 0)

    assert browser.bring_browser() == f"{machine}/bin/chromium"


def test_anybody_else_gets_playwrights(machine, monkeypatch):
    download = make_program(machine / "download" / "chromium-1" / "chrome-linux" / "chrome")
    python = make_program(machine / "python", f"/bin/cp -r {machine}/download {machine}/playwright")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("sys.executable", str(python))

    assert browser.bring_browser() == str(download).replace("download", "playwright")


def test_a_download_that_hangs_ends_in_one_sentence(machine, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("sys.executable", str(make_program(machine / "python", "exec /bin/sleep 60")))
    monkeypatch.setattr(browser, "DOWNLOAD_LIMIT", 0.2)

    with pytest.raises(browser.NoBrowser, match="The browser tests need Chromium or Chrome: install one"):
        browser.bring_browser()
