"""Production refuses to start half configured; what does start there is clean."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PRODUCTION = {
    "EVALHUB_MODE": "production",
    "SECRET_KEY": "k3-" + "abcdefghij" * 6,
    "ALLOWED_HOSTS": "evalhub.example.com",
}


def start(*command: str, without: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh process, with nothing of this one's environment that EvalHub reads."""
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "EVALHUB_VAR")}
    given = {key: value for key, value in {**kept, **environment}.items() if key != without}
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=given, capture_output=True, text=True, timeout=60)


def read_settings(*names: str, without: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    program = f"from evalhub import settings as s; print({', '.join(f's.{name}' for name in names)}, sep='\\n')"
    return start("-c", program, without=without, **environment)


@pytest.mark.parametrize("missing", ["SECRET_KEY", "ALLOWED_HOSTS"])
def test_production_without_its_essentials_does_not_start_and_names_them(missing):
    tried = read_settings("SECRET_KEY", without=missing, **PRODUCTION)

    assert tried.returncode != 0
    assert f"{missing} is not set" in tried.stderr.strip().splitlines()[-1]


def test_a_start_that_says_nothing_is_production():
    tried = start("-c", "import evalhub.wsgi")

    assert tried.returncode != 0
    assert "SECRET_KEY is not set" in tried.stderr.strip().splitlines()[-1]


def test_the_deployment_check_finds_nothing_in_production():
    checked = start("manage.py", "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_production_cookies_are_bound_to_this_host_and_to_https():
    names = ["SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"]

    told = read_settings(*names, "SECURE_HSTS_SECONDS", "DEBUG", **PRODUCTION)

    assert told.stdout.split() == ["__Host-evalhub-session", "__Host-evalhub-csrf", "True", "True", "31536000", "False"]


def test_debug_cannot_be_switched_on_in_production():
    assert read_settings("DEBUG", **PRODUCTION, EVALHUB_DEBUG="yes").stdout.split() == ["False"]


def test_the_demo_works_over_plain_http_on_this_machine():
    names = ["SESSION_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS", "DEBUG"]

    assert read_settings(*names, EVALHUB_MODE="demo").stdout.split() == ["False", "False", "0", "False"]


def test_a_local_secret_is_made_once_and_read_by_its_owner_only(tmp_path):
    var = str(tmp_path / "var")

    first, second = (read_settings("SECRET_KEY", EVALHUB_MODE="demo", EVALHUB_VAR=var).stdout for _ in range(2))

    assert first == second
    assert len(first.strip()) >= 50
    assert (tmp_path / "var" / "secret_key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("EVALHUB_MODE", "prod", "must be one of: production, demo, development, test"),
        ("EVALHUB_DEBUG", "maybe", "must be yes or no"),
        ("EVALHUB_POOL_SIZE", "0", "must be a whole number of at least 1"),
        ("EVALHUB_POOL_SIZE", "٣", "must be a whole number of at least 1"),
        ("EVALHUB_VAR", "var", "must be an absolute path"),
        ("EVALHUB_ALLOWED_NETWORKS", "10.0.0.0/8:0", "is no network with ports: write 10.0.0.0/8, 10.0.0.0/8:8000"),
        ("EVALHUB_ALLOWED_NETWORKS", "[fd00::/8]:9-8", "is no network with ports"),
        ("EVALHUB_ALLOWED_NETWORKS", "unix", "is no network with ports"),
        ("ALLOWED_HOSTS", " , ", "names nothing"),
        ("EVALHUB_JUDGE_URL", "ftp://judge.example.com/v1", "is no http:// or https:// address of a host"),
        ("EVALHUB_JUDGE_URL", "https://ann:pass@judge.example.com", "is no http:// or https:// address of a host"),
        ("EVALHUB_JUDGE_URL", "judge.example.com", "is no http:// or https:// address of a host"),
        ("DATABASE_URL", "mysql:someone@db/evalhub", "must start with postgresql"),
        ("DATABASE_URL", "postgresql://someone@db", "names no database"),
        ("DATABASE_URL", "postgresql://someone:pass@db:port/evalhub", "is not an address that can be read"),
    ],
)
def test_a_value_that_cannot_be_meant_stops_the_start(variable, value, sentence):
    tried = read_settings("MODE", **{"EVALHUB_MODE": "demo", variable: value})

    last_line = tried.stderr.strip().splitlines()[-1]
    assert variable in last_line
    assert sentence in last_line
    assert ":pass@" not in tried.stderr


def test_a_database_address_is_read_whole():
    address = "postgresql://ann%40example.com:p%2Fw@db.example.com:6432/eval%20hub?sslmode=require"

    names = [f"DATABASE[{key!r}]" for key in ("USER", "PASSWORD", "HOST", "PORT", "NAME")]

    told = read_settings(*names, "DATABASE['OPTIONS']['sslmode']", EVALHUB_MODE="demo", DATABASE_URL=address)

    assert told.stdout.splitlines() == ["ann@example.com", "p/w", "db.example.com", "6432", "eval hub", "require"]
