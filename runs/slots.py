"""Who may call how often at once, and who works at what, across all workers: advisory locks of PostgreSQL.

The locks live as long as their connection, so a killed worker's are free at once, and no clock is compared.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Self

import psycopg
from django.db import connection
from procrastinate.contrib.django.utils import connector_params

TURN_SECONDS: Final = 5.0  # so long a lock is handed on within a process before other workers get a chance
IDLE_SECONDS: Final = 1.0
PROBE_SECONDS: Final = 0.1
BOARD: Final = 0x45484C  # the first of the two lock numbers of what is held whole


class LocksLost(Exception):
    """The connection that held the locks is gone: what they protected may be done by others now."""


class Locks:
    """The advisory locks of one process. Only to be used in the event loop that opened them."""

    def __init__(self, database: psycopg.AsyncConnection[Any]) -> None:
        self._database = database
        self._held: set[str] = set()
        self._gates: dict[str, Gate] = {}

    @classmethod
    async def open(cls) -> Self:
        params = {**connector_params(), "autocommit": True, "application_name": "evalhub locks"}
        return cls(await psycopg.AsyncConnection.connect(**params))

    @property
    def lost(self) -> bool:
        return self._database.closed

    async def close(self) -> None:
        for gate in self._gates.values():
            gate.stop()
        with suppress(psycopg.Error):
            await self._database.close()

    @asynccontextmanager
    async def holding(self, name: str) -> AsyncIterator[bool]:
        """Whether this is now the only one, anywhere, to hold ``name``; it is until the block ends."""
        if name in self._held:  # the database would say yes: it is the same session
            yield False
            return
        self._held.add(name)
        try:
            number = number_of(name)
            [[mine]] = await self._ask("SELECT pg_try_advisory_lock(%s, %s)", [BOARD, number])
            try:
                yield bool(mine)
            finally:
                if mine:
                    with suppress(LocksLost):
                        await self._ask("SELECT pg_advisory_unlock(%s, %s)", [BOARD, number])
        finally:
            self._held.discard(name)

    def gate(self, name: str, limit: int) -> Gate:
        """The gate of that name; ``limit`` may differ from the last time."""
        if name not in self._gates:
            self._gates[name] = Gate(self, name)
        gate = self._gates[name]
        gate.limit = max(1, limit)
        return gate

    async def take(self, number: int, limit: int, wanted: int, mine: set[int]) -> list[int]:
        """Up to ``wanted`` of the places 0 to ``limit`` that nobody holds."""
        rows = await self._ask(
            "SELECT place FROM unnest(%s::int[]) AS place WHERE pg_try_advisory_lock(%s, place) LIMIT %s",
            [_shuffled(limit, mine), number, wanted],
        )
        return [place for (place,) in rows]

    async def give_back(self, number: int, places: list[int]) -> None:
        with suppress(LocksLost):
            await self._ask("SELECT pg_advisory_unlock(%s, place) FROM unnest(%s::int[]) AS place", [number, places])

    async def _ask(self, statement: str, values: list[Any]) -> list[Any]:
        try:
            found = await self._database.execute(statement, values)
            return await found.fetchall()
        except psycopg.OperationalError as problem:
            await self.close()
            raise LocksLost("The database connection that held the locks is gone.") from problem


class Gate:
    """At most ``limit`` at once over all processes. Places are taken when somebody waits, and given back when idle."""

    def __init__(self, locks: Locks, name: str) -> None:
        self.locks, self.number, self.limit = locks, number_of(name), 1
        self._taken: dict[int, float] = {}  # place: since when
        self._free: list[int] = []
        self._waiting: deque[asyncio.Future[int]] = deque()
        self._keeper: asyncio.Task[None] | None = None
        self._stir = asyncio.Event()
        self._closed_until = 0.0

    def rest(self, seconds: float) -> None:
        """Nobody of this process gets a place for so long: the other side asked for it."""
        self._closed_until = max(self._closed_until, time.monotonic() + seconds)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        while (left := self._closed_until - time.monotonic()) > 0:
            await asyncio.sleep(left)
        place = await self._enter()
        try:
            yield
        finally:
            self._leave(place)

    async def _enter(self) -> int:
        if self._free and len(self._taken) <= self.limit:
            return self._free.pop()
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wake()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._leave(future.result())
            raise

    def _leave(self, place: int) -> None:
        """Hand the place on; one that was kept for a whole turn goes back, so that other workers may win it."""
        if place not in self._taken:  # lost with the locks: it may be somebody else's by now
            return
        fresh = time.monotonic() - self._taken[place] < TURN_SECONDS and len(self._taken) <= self.limit
        while fresh and self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(place)
                return
        self._free.append(place)
        self._wake()

    def _wake(self) -> None:
        self._stir.set()
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep(), name="gate")

    def stop(self) -> None:
        if self._keeper is not None and self._keeper is not _current_task():
            self._keeper.cancel()
        self._fail(LocksLost("The locks are closed."))

    async def _keep(self) -> None:
        """As long as anybody waits or places lie idle: take what is wanted, give back what is not."""
        try:
            while self._waiting or self._free:
                await self._give_back_stale()
                waiting = sum(not future.done() for future in self._waiting)
                room = self.limit - len(self._taken)
                if waiting and room > 0:
                    for place in await self.locks.take(self.number, self.limit, min(waiting, room), set(self._taken)):
                        self._taken[place] = time.monotonic()
                        self._leave(place)
                if self._waiting:
                    await asyncio.sleep(random.uniform(0.5, 1.5) * PROBE_SECONDS)  # noqa: S311
                elif self._free:
                    self._stir.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._stir.wait(), IDLE_SECONDS)
        except LocksLost as problem:
            self._fail(problem)

    async def _give_back_stale(self) -> None:
        now = time.monotonic()
        stale = [
            place
            for place in self._free
            if now - self._taken[place] >= (TURN_SECONDS if self._waiting else IDLE_SECONDS)
            or len(self._taken) > self.limit
        ]
        self._free = [place for place in self._free if place not in stale]
        for place in stale:
            del self._taken[place]
        if stale:
            await self.locks.give_back(self.number, stale)
            if self._waiting:
                await asyncio.sleep(0)
        while self._free and self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(self._free.pop())

    def _fail(self, problem: BaseException) -> None:
        self._taken.clear()
        self._free.clear()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(problem)


def numbers_held() -> set[int]:
    """The numbers of all names that any process holds at this moment."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s "
            "AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [BOARD],
        )
        return {number - 2**32 if number >= 2**31 else number for (number,) in cursor.fetchall()}


def number_of(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big", signed=True)


def _shuffled(limit: int, mine: set[int]) -> list[int]:
    """Places that are ours would be given again: the database counts per session."""
    places = [place for place in range(limit) if place not in mine]
    random.shuffle(places)
    return places


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
