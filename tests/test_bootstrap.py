"""What manage.py does before anything is installed. Nothing is downloaded: the installers are stand-ins."""

import ast
import json
import os
import runpy
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from evalhub import bootstrap

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = [ROOT / "manage.py", ROOT / "evalhub" / "bootstrap.py"]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A fresh clone, and a machine with nothing on its path but what a test puts there."""
    for lock in ("base", "dev"):
        file = tmp_path / "clone" / "requirements" / f"{lock}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{lock}==1\n")
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(bootstrap, "ROOT", str(tmp_path / "clone"))
    monkeypatch.setattr(bootstrap, "VENV", str(tmp_path / "clone" / ".venv"))
    monkeypatch.setattr(bootstrap, "PYTHON", str(tmp_path / "clone" / ".venv" / "bin" / "python"))
    monkeypatch.setattr(bootstrap, "STAMP", str(tmp_path / "clone" / ".venv" / "evalhub-locks.json"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(bootstrap, "version_folders", list)
    for name in ("EVALHUB_PYTHON", "EVALHUB_STARTED_AGAIN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def make_program(file: Path, script: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def make_python(file: Path, version: tuple[int, int], has=("venv", "ensurepip"), free_threaded=False) -> Path:
    about = json.dumps({"version": version, "has": has, "free_threaded": free_threaded})
    return make_program(file, f"echo '{about}'")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_it_can_be_read_by_an_old_python(script):
    ast.parse(script.read_text(), feature_version=(3, 8))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_it_needs_the_standard_library_only(script):
    top = ast.parse(script.read_text()).body
    names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in top if isinstance(node, ast.ImportFrom)}

    assert {name.split(".")[0] for name in names} - {"evalhub"} <= sys.stdlib_module_names
    assert {name for name in names if name.startswith("evalhub")} <= {"evalhub.bootstrap"}


def test_a_python_too_old_to_search_says_so(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 6, 15))

    with pytest.raises(SystemExit, match="EvalHub needs Python 3.12 or newer, and this is 3.6: run it as python3.12"):
        runpy.run_path(str(ROOT / "manage.py"))


def test_a_python_that_does_not_run_is_passed_over(machine, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(make_python(machine / "old", (3, 11))))
    make_program(machine / "bin" / "python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    good = make_python(machine / "bin" / "python3.12", (3, 12))

    assert bootstrap.find_python() == str(good)


@pytest.mark.parametrize(
    "python",
    [
        {"version": (3, 11)},
        {"version": (3, 13), "has": ["ensurepip"]},
        {"version": (3, 13), "has": ["venv"]},
        {"version": (3, 13), "free_threaded": True},
    ],
    ids=["old", "without venv", "without pip", "free-threaded"],
)
def test_a_python_that_would_not_do_is_passed_over(machine, monkeypatch, python):
    monkeypatch.setattr(sys, "executable", str(make_python(machine / "python", **python)))

    with pytest.raises(bootstrap.CannotStart, match="needs Python 3.12 or newer"):
        bootstrap.find_python()


def test_a_python_without_pip_does_where_uv_is(machine, monkeypatch):
    python = make_python(machine / "python", (3, 13), has=["venv"])
    monkeypatch.setattr(sys, "executable", str(python))
    make_program(machine / "bin" / "uv", "exit 0")

    assert bootstrap.find_python() == str(python)


def test_pythons_of_pyenv_and_uv_are_found_with_the_preferred_version_first(machine, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(machine / "bin"))
    monkeypatch.setenv("HOME", str(machine / "home"))
    monkeypatch.setenv("PYENV_ROOT", str(machine / "pyenv"))
    monkeypatch.setattr(sys, "executable", "")
    monkeypatch.setattr("pwd.getpwuid", lambda uid: (_ for _ in ()).throw(KeyError(uid)))
    newest = make_python(machine / "pyenv" / "versions" / "3.15.0" / "bin" / "python3", (3, 15))
    older = make_python(machine / "pyenv" / "versions" / "3.12.1" / "bin" / "python3", (3, 12))
    uvs = machine / "home" / ".local" / "share" / "uv" / "python" / "cpython-3.13.1-linux-x86_64-gnu"
    preferred = make_python(uvs / "bin" / "python3", (3, 13))

    assert list(bootstrap.candidates()) == [str(preferred), str(older), str(newest)]
    assert bootstrap.find_python() == str(preferred)


def test_the_python_that_was_named_is_used_or_refused(machine, monkeypatch):
    good = make_python(machine / "good", (3, 12))
    old = make_python(machine / "old", (3, 9))

    monkeypatch.setenv("EVALHUB_PYTHON", str(good))
    assert bootstrap.find_python() == str(good)

    monkeypatch.setenv("EVALHUB_PYTHON", str(old))
    with pytest.raises(bootstrap.CannotStart, match=f"EVALHUB_PYTHON is {old}, which is no Python 3.12 or newer"):
        bootstrap.find_python()


def test_packages_are_installed_once(machine, monkeypatch):
    ran = pretend_to_install(machine, monkeypatch)

    bootstrap.install("base")

    assert bootstrap.is_installed("base")
    assert not bootstrap.is_installed("dev")
    assert [command[2] for command in ran] == ["venv", "ensurepip", "pip", "pip"]
    assert [command[3] for command in ran[2:]] == ["install", "uninstall"]


def test_the_test_tools_come_with_all_that_the_demo_needs(machine, monkeypatch):
    pretend_to_install(machine, monkeypatch)

    bootstrap.install("dev")

    assert bootstrap.is_installed("base")
    assert bootstrap.is_installed("dev")


def test_a_changed_lock_is_installed_again(machine, monkeypatch):
    pretend_to_install(machine, monkeypatch)
    bootstrap.install("base")

    (machine / "clone" / "requirements" / "base.txt").write_text("base==2\n")

    assert not bootstrap.is_installed("base")


def test_uv_is_used_where_it_is_and_pip_where_uv_fails(machine, monkeypatch):
    make_program(machine / "bin" / "uv", "exit 0")
    ran = pretend_to_install(machine, monkeypatch, failing="uv", said="error: no certificate")

    bootstrap.install("base")

    assert [Path(command[0]).name for command in ran] == ["python", "uv", "python", "python", "python"]
    assert bootstrap.is_installed("base")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device: '/x'", "The disk is full: EvalHub needs about"),
        (
            "WARNING: Retrying ... NewConnectionError(...): Failed to establish\nERROR: No matching distribution",
            "No network: ",
        ),
        ("error: Failed to fetch\n  Caused by: dns error: failed to lookup address information", "No network: "),
        ("one\nERROR: hashes do not match\nnotice", "EvalHub cannot be set up here: ERROR: hashes do not match"),
        ("", "EvalHub cannot be set up here: the installer said nothing"),
    ],
)
def test_a_failed_installation_is_one_sentence(machine, monkeypatch, said, sentence):
    pretend_to_install(machine, monkeypatch, failing="pip", said=said)

    with pytest.raises(bootstrap.CannotStart) as stopped:
        bootstrap.install("base")

    assert str(stopped.value).startswith(sentence)
    assert "\n" not in str(stopped.value)
    assert not bootstrap.is_installed("base")


def test_a_folder_that_cannot_be_written_is_one_sentence(machine):
    (machine / "clone" / "var").write_text("a file where the folder should be")

    with pytest.raises(bootstrap.CannotStart, match="EvalHub cannot be set up here: "), bootstrap.one_at_a_time():
        pass


def test_without_a_new_python_the_command_fails_in_one_sentence(tmp_path):
    """Through the front door: an old Python, alone on a machine."""
    for script in SCRIPTS:
        copy = tmp_path / script.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(script.read_text())
    (tmp_path / "evalhub" / "__init__.py").touch()
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "base.txt").touch()
    old = make_python(tmp_path / "old-python", (3, 8))
    environment = {"PATH": "/usr/bin:/bin", "EVALHUB_PYTHON": str(old)}

    tried = subprocess.run(
        [sys.executable, "manage.py", "demo"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )

    assert tried.returncode == 1
    assert tried.stderr.splitlines() == [
        f"EVALHUB_PYTHON is {old}, which is no Python 3.12 or newer with its venv module."
    ]
    assert not (tmp_path / ".venv").exists()


def pretend_to_install(machine: Path, monkeypatch, failing: str = "", said: str = "") -> list[list[str]]:
    """Let the installers succeed, except the failing one, which says something; return the commands that ran."""
    ran: list[list[str]] = []
    monkeypatch.setattr(sys, "executable", str(make_python(machine / "python", (3, 13))))

    def run(command: list[str]) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        if "venv" in command:
            make_python(Path(bootstrap.PYTHON), (3, 13))
        fails = failing in (Path(command[0]).name, command[2])
        return subprocess.CompletedProcess(command, int(bool(failing) and fails), said if fails else "")

    monkeypatch.setattr(bootstrap, "run", run)
    return ran


def test_the_scripts_may_be_run():
    modes = {name: stat.S_IMODE(os.stat(ROOT / name).st_mode) & 0o111 for name in ("manage.py", ".ci/run")}

    assert modes == {"manage.py": 0o111, ".ci/run": 0o111}
