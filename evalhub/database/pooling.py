"""Connections that requests hand on to each other."""

from __future__ import annotations

import select
from time import monotonic
from typing import Any

from django.db import connections
from psycopg_pool import ConnectionPool

ASKED_EVERY = 30.0  # seconds


def check_connection(connection: Any) -> None:
    """Raise where the connection is broken, mostly without asking PostgreSQL.

    A server that goes away says goodbye, or its system does: there is something to read. What goes away without a word
    (a firewall that forgot about us) is found by asking, now and then.
    """
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    if waiting.poll(0) or monotonic() - getattr(connection, "asked_at", float("-inf")) >= ASKED_EVERY:
        ConnectionPool.check_connection(connection)
        connection.asked_at = monotonic()


def close_pools() -> None:
    """While threads still run: left to the interpreter's last moments, each pool waits 5 seconds for its own."""
    for connection in connections.all(initialized_only=True):
        connection.close()
        for pool in list(getattr(connection, "_connection_pools", {}).values()):  # close_pool() would make one first
            pool.close()
