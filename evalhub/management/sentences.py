"""What can be wrong with a machine, said so that its owner knows what to do. `--traceback` tells the whole story."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, NotSupportedError, OperationalError
from psycopg_pool import PoolTimeout

from evalhub.database.postgres import PostgresError
from evalhub.management.supervisor import Broken

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)
AWAY = ("08", "28", "3D", "53", "57P")  # classes of SQLSTATE: no connection, no entry, no such database, full, stopping
REFUSALS = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.FeatureNotSupported,  # an extension that is not installed
    psycopg.errors.UndefinedFile,
)


class CannotServe(Exception):
    """One sentence that says why not."""


@contextmanager
def one_sentence_each() -> Iterator[None]:
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # the reason is said once, below
    try:
        yield
    except Exception as reason:
        sentence = None if "--traceback" in sys.argv else sentence_for(reason)
        if sentence is None:
            raise
        sys.exit(sentence)
    except KeyboardInterrupt:
        sys.exit(130)


def sentence_for(reason: Exception) -> str | None:
    """None where it is a mistake of ours, and its traceback is needed."""
    cause = driver_error(reason)
    match reason:
        case CannotServe() | PostgresError() | Broken():
            return str(reason)
        case ImproperlyConfigured():
            return f"The settings are wrong: {reason}."
        case OSError(errno=number) if number in NO_ROOM:
            return disk_is_full()
        case OSError(errno=number, filename=str(name)) if number in NOT_OURS:
            return f"{reason.strerror}: {name} must be a place where EvalHub may read and write."
        case DatabaseError() if isinstance(cause, psycopg.errors.DiskFull):
            return disk_is_full()
        case DatabaseError() if isinstance(cause, (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)):
            return "The database's tables are missing or old: run manage.py migrate first."
        case DatabaseError() if isinstance(cause, REFUSALS):
            return f"The database refuses: {first_line(cause)}. EvalHub's user must own its database."
        case NotSupportedError() if "or later is required" in str(reason):
            return f"The database is too old: {first_line(reason)}"
        case OperationalError() if (getattr(cause, "sqlstate", None) or AWAY[0]).startswith(AWAY):
            said = why_away() if isinstance(cause, PoolTimeout) else str(reason)
            return f"The database does not answer: {first_line(said)}"
    return None


def driver_error(reason: BaseException | None) -> psycopg.Error | None:
    """What PostgreSQL's driver said at first."""
    while reason is not None and not isinstance(reason, psycopg.Error):
        reason = reason.__cause__ or reason.__context__
    return reason


def first_line(said: object) -> str:
    return str(said).strip().splitlines()[0]


def disk_is_full() -> str:
    return f"The disk is full: make room for {settings.VAR_DIR} and start again."


def why_away() -> str:
    """The pool says only that it waited in vain."""
    from evalhub.web.health import own_connection

    try:
        with own_connection() as probe:
            probe.ensure_connection()
    except DatabaseError as reason:
        return str(reason)
    return "it is too busy to take another connection"
