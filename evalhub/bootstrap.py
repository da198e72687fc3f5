"""Make a fresh machine ready: find a Python, make .venv, install the locked packages, and start again in there.

manage.py calls this before anything is installed: standard library only, and nothing that Python 3.8 does not know.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "evalhub-locks.json")  # which locks are installed, by their hash

OLDEST = (3, 12)
PREFERRED = ("3.13", "3.14", "3.12")  # every locked package has wheels for these

ABOUT_PYTHON = """
import importlib.util, json, sys, sysconfig
print(json.dumps({
    "version": sys.version_info[:2],
    "has": [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name)],
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
}))
"""

SIGNS_OF_NO_NETWORK = (
    "name resolution",
    "name or service not known",
    "nodename nor servname",
    "failed to resolve",
    "failed to lookup address",
    "dns error",
    "network is unreachable",
    "no route to host",
    "connection refused",
    "connection timed out",
    "newconnectionerror",
    "error sending request",
    "tcp connect error",
    "proxyerror",
)


class CannotStart(Exception):
    """One sentence that says what is missing, and what to do."""


def prepare(command: str) -> None:
    """Return when this process can run the command; else start again in .venv, and never return."""
    if os.name != "posix":
        raise CannotStart("EvalHub runs on Linux and macOS; on Windows, run it in WSL.")
    sets_up = command in ("demo", "test")  # these two promise to bring everything they need
    lock = "dev" if command == "test" else "base"
    if not sets_up and can_run_here():
        return
    if not is_installed(lock):
        with one_at_a_time():
            if not is_installed(lock):  # whoever was first may have done it
                install(lock)
    started_again = os.environ.pop("EVALHUB_STARTED_AGAIN", None)
    if is_home():
        return
    if started_again:
        raise CannotStart("The Python in %s does not find its packages: remove that folder and try again." % VENV)
    os.environ["EVALHUB_STARTED_AGAIN"] = "1"
    sys.stdout.flush()
    os.execv(PYTHON, [PYTHON, *sys.argv])


def can_run_here() -> bool:
    """Whether the packages are here already: in .venv, or in an image that was built from the lock."""
    return sys.version_info[:2] >= OLDEST and all(
        importlib.util.find_spec(name) for name in ("django", "procrastinate")
    )


def is_home() -> bool:
    return os.path.realpath(sys.prefix) == os.path.realpath(VENV)


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


# --- a Python ---------------------------------------------------------------------------------------------------------


def find_python() -> str:
    """A Python that is new enough. Each candidate is run: its name is only a promise (pyenv's shims break it)."""
    chosen = os.environ.get("EVALHUB_PYTHON")
    if chosen:
        if not is_usable(ask(chosen)):
            raise CannotStart("EVALHUB_PYTHON is %s, which is no Python 3.12 or newer with its venv module." % chosen)
        return chosen
    tried = set()
    for candidate in candidates():
        if os.path.realpath(candidate) not in tried:
            tried.add(os.path.realpath(candidate))
            if is_usable(ask(candidate)):
                return candidate
    raise CannotStart(
        "EvalHub needs Python 3.12 or newer with its venv module, and this machine has none:"
        " install one (Debian: python3 and python3-venv), or name yours in EVALHUB_PYTHON."
    )


def candidates() -> Iterator[str]:
    if sys.executable:
        yield sys.executable
    for name in ["python" + version for version in PREFERRED] + ["python3", "python"]:
        found = shutil.which(name)
        if found:
            yield found
    kept = [os.path.join(folder, entry) for folder in version_folders() for entry in os.listdir(folder)]
    for folder in sorted(kept, key=preference):
        yield os.path.join(folder, "bin", "python3")


def version_folders() -> list[str]:
    """Where pyenv and uv keep their Pythons."""
    import pwd

    homes = [os.environ.get("HOME", "")]
    with contextlib.suppress(KeyError):
        homes.append(pwd.getpwuid(os.getuid()).pw_dir)  # where HOME is empty
    folders = [os.path.join(os.environ.get("PYENV_ROOT", ""), "versions"), os.environ.get("UV_PYTHON_INSTALL_DIR", "")]
    folders += [os.path.join(os.environ.get("XDG_DATA_HOME", ""), "uv", "python")]
    for home in homes:
        folders += [os.path.join(home, ".pyenv", "versions"), os.path.join(home, ".local", "share", "uv", "python")]
    return [folder for folder in dict.fromkeys(folders) if os.path.isabs(folder) and os.path.isdir(folder)]


def preference(folder: str) -> tuple[int, str]:
    """Preferred versions first. A folder is called 3.13.0, or cpython-3.13.1-linux-x86_64-gnu."""
    version = os.path.basename(folder).replace("cpython-", "")
    places = [place for place, wanted in enumerate(PREFERRED) if version.startswith(wanted + ".")]
    return (places[0] if places else len(PREFERRED), folder)


def ask(python: str) -> dict[str, Any] | None:
    """What a Python says of itself; None where it does not run."""
    try:
        asked = subprocess.run(
            [python, "-I", "-c", ABOUT_PYTHON],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=20,
        )
        return json.loads(asked.stdout.decode()) if asked.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def is_usable(about: dict[str, Any] | None) -> bool:
    if about is None or tuple(about["version"]) < OLDEST or about["free_threaded"]:
        return False
    return "venv" in about["has"] and ("ensurepip" in about["has"] or shutil.which("uv") is not None)


# --- the packages -----------------------------------------------------------------------------------------------------


def is_installed(lock: str) -> bool:
    return os.path.exists(PYTHON) and stamps().get(lock) == fingerprint(lock)


def stamps() -> dict[str, str]:
    try:
        with open(STAMP) as file:
            return dict(json.load(file))
    except (OSError, ValueError, TypeError):
        return {}


def fingerprint(lock: str) -> str:
    with open(lock_file(lock), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def lock_file(lock: str) -> str:
    return os.path.join(ROOT, "requirements", lock + ".txt")


def install(lock: str) -> None:
    if not is_usable_venv():
        python = find_python()
        say("Making .venv with %s." % python)
        check([python, "-m", "venv", "--clear", "--without-pip", VENV])
    tools = " and the test tools" if lock == "dev" else ""
    say("Installing EvalHub's packages%s into .venv (once; a minute or two on a slow line)." % tools)
    arguments = ["install", "--quiet", "--require-hashes", "-r", lock_file(lock)]
    uv = shutil.which("uv")
    done = run([uv, "pip", *arguments, "--python", PYTHON]) if uv else None
    if done is None or (done.returncode != 0 and not is_disk_full(done.stdout)):
        # Also where uv failed: a machine's mirror and certificates are often set up for pip alone.
        check([PYTHON, "-m", "ensurepip", "--default-pip"])
        quietly = ["--no-input", "--disable-pip-version-check", "--retries", "2", "--no-compile"]
        done = run([PYTHON, "-m", "pip", *arguments, *quietly])
        run([PYTHON, "-m", "pip", "uninstall", "--yes", "pip"])  # a tenth of all that is installed, and of no more use
    if done.returncode != 0:
        raise CannotStart(explain(done.stdout))
    known = stamps()
    known.update((name, fingerprint(name)) for name in ("base", lock))  # dev holds all of base
    with open(STAMP + ".new", "w") as file:
        json.dump(known, file)
    os.replace(STAMP + ".new", STAMP)


def is_usable_venv() -> bool:
    """Whether there is a .venv whose Python still runs."""
    about = ask(PYTHON)
    return about is not None and tuple(about["version"]) >= OLDEST


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    import fcntl

    try:
        os.makedirs(os.path.join(ROOT, "var"), exist_ok=True)
        lock = os.open(os.path.join(ROOT, "var", "bootstrap.lock"), os.O_WRONLY | os.O_CREAT, 0o644)
    except OSError as error:
        raise CannotStart(explain(str(error))) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another start of EvalHub that is installing.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, PYTHONUTF8="1")
    environment.pop("VIRTUAL_ENV", None)
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        universal_newlines=True,
    )


def check(command: list[str]) -> None:
    done = run(command)
    if done.returncode != 0:
        raise CannotStart(explain(done.stdout))


def is_disk_full(said: str) -> bool:
    return "No space left on device" in said or "Disk quota exceeded" in said


def explain(said: str) -> str:
    """One sentence for what an installer wrote over many lines."""
    if is_disk_full(said):
        return "The disk is full: EvalHub needs about 300 MB in %s (700 MB with the test tools)." % ROOT
    if any(sign in said.lower() for sign in SIGNS_OF_NO_NETWORK):
        return "No network: the packages cannot be downloaded. Connect this machine, then run the same command again."
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["the installer said nothing"]
    errors = [line for line in lines if line.lower().startswith("error")]
    return "EvalHub cannot be set up here: %s" % (errors or lines)[-1]
