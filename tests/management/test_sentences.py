"""What is wrong with a machine is one sentence, whichever command meets it; a mistake of ours is a traceback."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DataError, OperationalError, ProgrammingError
from django.db import NotSupportedError as DjangoNotSupported
from django.db.migrations.exceptions import MigrationSchemaMissing

from evalhub.database.postgres import PostgresError
from evalhub.management.sentences import CannotServe, sentence_for
from evalhub.management.supervisor import Broken

ROOT = Path(__file__).resolve().parent.parent.parent


def manage(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "EVALHUB_VAR")}
    return subprocess.run(
        [sys.executable, "manage.py", *words], cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True,
        timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("words", [["recount"], ["migrate"], ["create_organization", "A", "--admin", "a@example.com"]])
def test_a_database_that_is_away_is_one_sentence(words):
    tried = manage(*words, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")

    [sentence] = tried.stderr.splitlines()
    assert tried.returncode == 1
    assert sentence.startswith("The database does not answer: ")
    assert "Connection refused" in sentence


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("EVALHUB_POOL_SIZE", "many", "EVALHUB_POOL_SIZE is 'many', and must be a whole number of at least 1"),
        ("EVALHUB_VAR", "/dev/null/here", "EVALHUB_VAR is '/dev/null/here', and cannot be made: Not a directory"),
    ],
)
def test_bad_settings_are_one_sentence(variable, value, sentence):
    tried = manage("recount", **{variable: value})

    assert (tried.returncode, tried.stderr) == (1, f"The settings are wrong: {sentence}.\n")


def test_the_traceback_is_there_for_who_asks():
    tried = manage("recount", "--traceback", EVALHUB_POOL_SIZE="many")

    assert tried.stderr.startswith("Traceback")


REFUSED = psycopg.errors.InsufficientPrivilege('permission denied for schema public\nLINE 1: CREATE TABLE "x" ...')


def caused_by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def in_spite_of(error: Exception, earlier: Exception) -> Exception:
    error.__context__ = earlier
    return error


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (CannotServe("Port 80 is taken."), "Port 80 is taken."),
        (PostgresError("There is no initdb."), "There is no initdb."),
        (Broken("The worker does not stay up."), "The worker does not stay up."),
        (ImproperlyConfigured("X is not set"), "The settings are wrong: X is not set."),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "The disk is full: make room for "),
        (caused_by(OperationalError(), psycopg.errors.DiskFull()), "The disk is full: make room for "),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "Permission denied: /x must be a place where "),
        (caused_by(ProgrammingError(), psycopg.errors.UndefinedTable()), "The database's tables are missing or old: "),
        (
            in_spite_of(MigrationSchemaMissing(), caused_by(ProgrammingError(), REFUSED)),
            "The database refuses: permission denied for schema public. EvalHub's user must own its database.",
        ),
        (
            caused_by(DjangoNotSupported(), psycopg.errors.FeatureNotSupported('extension "pg_trgm" is not available')),
            'The database refuses: extension "pg_trgm" is not available. ',
        ),
        (
            DjangoNotSupported("PostgreSQL 15 or later is required (found 13.4)."),
            "The database is too old: PostgreSQL 15",
        ),
        (OperationalError("no route\nhint"), "The database does not answer: no route"),
        (caused_by(OperationalError("shut"), psycopg.errors.AdminShutdown()), "The database does not answer: shut"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_machine_lacks_is_said(reason, sentence):
    assert (sentence_for(reason) or "").startswith(sentence)


@pytest.mark.parametrize(
    "reason",
    [
        KeyError("x"),
        FileNotFoundError(errno.ENOENT, "No such file", "/x"),
        caused_by(DataError("too long"), psycopg.errors.StringDataRightTruncation()),
        caused_by(OperationalError("deadlock"), psycopg.errors.DeadlockDetected()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_mistake_of_ours_keeps_its_traceback(reason):
    assert sentence_for(reason) is None
