"""A real PostgreSQL for every test. The migrated database is made once per set of migrations, then copied."""

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection

ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests last: once Playwright has started, its event loop runs in this process to the end."""
    items.sort(key=lambda item: item.path.is_relative_to(ROOT / "tests" / "browser"))
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "contract"):
            item.add_marker(pytest.mark.xdist_group("contract"))  # they share one running EvalHub


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings, django_db_blocker):
    for model in apps.get_app_config("procrastinate").get_models():
        model._meta.managed = True  # or the queue is not emptied after a test that commits
    with django_db_blocker.unblock():
        connection.settings_dict["TEST"]["TEMPLATE"] = migrated_template()


def migrated_template() -> str:
    """The name of a database with all migrations applied, made now if the migrations changed."""
    name = f"evalhub_template_{fingerprint_of_migrations()}"
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
    with open(settings.VAR_DIR / "template.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # or two xdist workers make it at once
        with connection._nodb_cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE 'evalhub\\_template\\_%'")
            existing = {row[0] for row in cursor.fetchall()}
            if name in existing:
                return name
            for old in existing | {f"{name}_half"}:
                cursor.execute(f'DROP DATABASE IF EXISTS "{old}" WITH (FORCE)')
            cursor.execute(f'CREATE DATABASE "{name}_half"')
        with connected_to(f"{name}_half"):
            call_command("migrate", verbosity=0, interactive=False)
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'ALTER DATABASE "{name}_half" RENAME TO "{name}"')
    return name


@contextmanager
def connected_to(database: str) -> Iterator[None]:
    before = connection.settings_dict["NAME"]
    connection.close()
    connection.close_pool()
    connection.settings_dict["NAME"] = database
    try:
        yield
    finally:
        connection.close()
        connection.close_pool()
        connection.settings_dict["NAME"] = before


def fingerprint_of_migrations() -> str:
    parts = [(ROOT / "requirements" / "dev.txt").read_bytes(), settings.DATABASES["default"]["ENGINE"].encode()]
    for app in apps.get_app_configs():
        folder = Path(app.path, "migrations")
        if ROOT in folder.parents and ".venv" not in folder.parts:
            parts += [str(file).encode() + file.read_bytes() for file in sorted(folder.glob("*.py"))]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]
