"""Places and holds across connections, as across workers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from runs import slots
from runs.slots import Locks, LocksLost, number_of, numbers_held

pytestmark = pytest.mark.django_db(transaction=True)


@asynccontextmanager
async def two_workers():
    first, second = await Locks.open(), await Locks.open()
    try:
        yield first, second
    finally:
        await first.close()
        await second.close()


def test_one_holds_and_the_others_do_not():
    async def run():
        async with two_workers() as (first, second):
            async with (
                first.holding("shard:1") as mine,
                first.holding("shard:1") as twice,
                second.holding("shard:1") as theirs,
                second.holding("shard:2") as other,
            ):
                held = await asyncio.to_thread(numbers_held)
            async with second.holding("shard:1") as afterwards:
                pass
            return mine, twice, theirs, other, afterwards, held

    *said, held = asyncio.run(run())

    assert said == [True, False, False, True, True]
    assert held == {number_of("shard:1"), number_of("shard:2")}


def test_a_gate_lets_so_many_through_over_all_workers(monkeypatch):
    monkeypatch.setattr(slots, "TURN_SECONDS", 0.2)
    now, most, done = 0, 0, {"first": 0, "second": 0}

    async def pass_through(name: str, locks: Locks) -> None:
        nonlocal now, most
        async with locks.gate("endpoint:1", 3).turn():
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.02)
            now -= 1
        done[name] += 1

    async def run():
        async with two_workers() as (first, second), asyncio.TaskGroup() as group:
            for _ in range(60):
                group.create_task(pass_through("first", first))
                group.create_task(pass_through("second", second))

    asyncio.run(run())

    assert (most, done) == (3, {"first": 60, "second": 60})


def test_places_come_back_when_nobody_needs_them(monkeypatch):
    monkeypatch.setattr(slots, "IDLE_SECONDS", 0.05)

    async def run():
        async with two_workers() as (first, second):
            async with first.gate("endpoint:1", 1).turn():
                pass
            async with asyncio.timeout(5), second.gate("endpoint:1", 1).turn():
                return True

    assert asyncio.run(run())


def test_a_cancelled_caller_gives_its_place_to_the_next():
    async def run():
        async with two_workers() as (first, _):
            gate = first.gate("endpoint:1", 1)
            async with gate.turn():
                waiting = [asyncio.create_task(enter(gate)) for _ in range(3)]
                await asyncio.sleep(0.01)
                waiting[0].cancel()
            return await asyncio.gather(*waiting, return_exceptions=True)

    async def enter(gate):
        async with asyncio.timeout(5), gate.turn():
            return "in"

    first, *others = asyncio.run(run())

    assert isinstance(first, asyncio.CancelledError)
    assert others == ["in", "in"]


def test_a_rest_that_the_endpoint_asked_for_is_kept():
    async def run():
        async with two_workers() as (first, _):
            gate = first.gate("endpoint:1", 1)
            gate.rest(0.3)
            began = asyncio.get_running_loop().time()
            async with gate.turn():
                return asyncio.get_running_loop().time() - began

    assert asyncio.run(run()) >= 0.3


def test_who_waits_hears_that_the_locks_are_lost():
    async def run():
        async with two_workers() as (first, second):
            async with second.gate("endpoint:1", 1).turn():
                waiting = asyncio.create_task(enter(first))
                await asyncio.sleep(0.2)
                [[pid]] = await second._ask(
                    "SELECT pid FROM pg_stat_activity "
                    "WHERE application_name = 'evalhub locks' AND pid <> pg_backend_pid() "
                    "AND datname = current_database()",
                    [],
                )
                await second._ask("SELECT pg_terminate_backend(%s)", [pid])
                with pytest.raises(LocksLost):
                    async with asyncio.timeout(5):
                        await waiting
            return first.lost

    async def enter(locks):
        async with locks.gate("endpoint:1", 1).turn():
            pass

    assert asyncio.run(run())


def test_who_leaves_after_the_locks_are_lost_makes_no_place_free():
    """The database may have given it to somebody else meanwhile."""
    problems = []

    async def run():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        async with two_workers() as (first, _):
            gate = first.gate("endpoint:1", 2)
            async with gate.turn():
                waiting = asyncio.create_task(enter(gate))
                await asyncio.sleep(0.2)
                await first.close()
            async with asyncio.timeout(5):
                [later] = await asyncio.gather(enter(gate), return_exceptions=True)
                await waiting
            await asyncio.sleep(0.3)
        return later

    async def enter(gate):
        async with gate.turn():
            pass

    assert isinstance(asyncio.run(run()), LocksLost)
    assert problems == []
