"""`manage.py test`: what it runs, in which order, and how it ends. The tools themselves are not started here."""

import sys
from pathlib import Path

import pytest
from django.core.management import load_command_class

from evalhub.management.browser import NoBrowser
from evalhub.management.commands import test as command


@pytest.fixture
def tools(monkeypatch):
    """Let every tool succeed, except those that are given another exit code; return what ran."""
    codes: dict[str, int] = {}
    ran: list[list[str]] = []

    class Tool:
        def __init__(self, arguments: list[str], cwd: Path, env: dict[str, str]) -> None:
            words = [word for word in arguments if word not in (sys.executable, "-m")]
            ran.append(words)
            self.code = codes.get(words[0], 0)
            assert "DJANGO_SETTINGS_MODULE" not in env  # or pytest would not take the tests' own

        def wait(self) -> int:
            return self.code

        def kill(self) -> None:
            pass

    monkeypatch.setattr(command.subprocess, "Popen", Tool)
    monkeypatch.setattr(command.signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(command.settings, "EMBEDDED_POSTGRES", None)
    monkeypatch.setattr(command, "bring_browser", lambda: "/usr/bin/chromium")
    monkeypatch.setenv("EVALHUB_CHROMIUM", "")
    return ran, codes


def run_command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        load_command_class("evalhub", "test").run_from_argv(["manage.py", "test", *arguments])
    return ended.value.code


def test_the_checks_come_first_and_pytest_last(tools):
    ran, _ = tools

    assert run_command() == 0
    assert [words[0] for words in ran] == ["ruff", "mypy", "manage.py", "pytest"]
    assert ran[2] == ["manage.py", "makemigrations", "--check", "--dry-run"]
    assert ran[3] == ["pytest", "-n", "auto", "--dist", "loadgroup"]


def test_arguments_go_to_pytest_as_they_are(tools):
    ran, _ = tools

    run_command("tests/results", "-k", "counters", "-x")

    assert ran[-1] == ["pytest", "tests/results", "-k", "counters", "-x"]


@pytest.mark.parametrize("tool", ["ruff", "mypy", "manage.py"])
def test_a_check_that_fails_ends_it_with_its_code(tools, tool):
    ran, codes = tools
    codes[tool] = 3

    assert run_command() == 3
    assert ran[-1][0] == tool


def test_it_ends_with_the_code_of_pytest(tools):
    _, codes = tools
    codes["pytest"] = 5

    assert run_command() == 5


def test_without_a_browser_it_says_so_and_ends(tools, monkeypatch, capsys):
    ran, _ = tools
    monkeypatch.setattr(command, "bring_browser", lambda: (_ for _ in ()).throw(NoBrowser("Install a browser.")))

    assert run_command() == 1
    assert ran == []
    assert capsys.readouterr().err.strip() == "Install a browser."
