"""An endpoint in a thread of its own, for tests of work that other processes do."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.runs.stub import Behave, Request, Stub, answer, stub_server


@contextmanager
def endpoint_in_a_thread(behave: Behave) -> Iterator[Stub]:
    ready, done = threading.Event(), threading.Event()
    found: list[Stub] = []
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        async with stub_server(behave) as stub:
            found.append(stub)
            loops.append((asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()

    def run() -> None:
        asyncio.run(serve())
        done.set()

    threading.Thread(target=run, daemon=True).start()
    assert ready.wait(10)
    try:
        yield found[0]
    finally:
        loop, stop = loops[0]
        loop.call_soon_threadsafe(stop.set)
        done.wait(10)


def echo(*, seconds: float = 0.0, flaky: float = 0.0, seed: int = 1) -> Behave:
    """Repeats what it is asked, after a while; a share of the calls gets a 503 or a lost connection."""
    dice = random.Random(seed)

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(dice.uniform(0.5, 1.5) * seconds)
        luck = dice.random()
        if luck < flaky / 2:
            writer.write(answer({"error": "busy"}, 503))
        elif luck < flaky:
            writer.transport.abort()
        else:
            writer.write(answer({"output": f"You said: {request.json['message']}", "session_id": "s-1"}))

    return behave
