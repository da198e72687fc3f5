"""The locks hold what pyproject.toml asks for, by hash, and name no address."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "pyproject.toml"
LOCKS = {"base": ("local",), "dev": ("local", "test")}


@pytest.fixture(params=LOCKS)
def lock(request) -> str:
    return request.param


def test_a_lock_names_no_address(lock):
    assert "://" not in text_of(lock)


def test_every_locked_package_has_hashes(lock):
    packages = re.split(r"\n(?=\S)", text_of(lock).strip())

    assert [package for package in packages if "==" not in package or "--hash=sha256:" not in package] == []


def test_a_lock_satisfies_the_project(lock):
    locked = dict(re.findall(r"^(\S+)==(\S+)", text_of(lock), re.MULTILINE))

    unmet = [
        str(wanted)
        for wanted in map(Requirement, dependencies(*LOCKS[lock]))
        if not wanted.specifier.contains(locked.get(canonicalize_name(wanted.name), "0"), prereleases=True)
    ]

    assert unmet == []


def test_both_locks_agree():
    base, dev = (set(re.findall(r"^(\S+==\S+)", text_of(name), re.MULTILINE)) for name in LOCKS)

    assert base - dev == set()


def test_every_dependency_says_why_it_is_there():
    lines = PROJECT.read_text().splitlines()

    silent = [
        name for name in dependencies("local", "test") if not any(name in line and "  # " in line for line in lines)
    ]

    assert silent == []


def dependencies(*groups: str) -> list[str]:
    project = tomllib.loads(PROJECT.read_text())
    return [
        *project["project"]["dependencies"],
        *(line for group in groups for line in project["dependency-groups"][group]),
    ]


def text_of(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.txt").read_text()
