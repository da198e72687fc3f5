"""Primary keys: UUIDs ordered by time, with version digit 4."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

_VERSION_4 = 0x4 << 76
_VARIANT = 0x2 << 62
_RANDOM_BITS = 74
_LOW = (1 << 62) - 1

_lock = threading.Lock()
_last = (0, 0)
_clock: Callable[[], int] = time.time_ns
_dice = random.Random()  # noqa: S311 - ids are no secrets; asking the system for bits costs a call each
os.register_at_fork(after_in_child=_dice.seed)


def first_id_since(moment: datetime) -> UUID:
    """What every id that is made from that moment on is larger than."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def new_id() -> UUID:
    """48 bits of Unix milliseconds, then random bits; version digit 4 (Gentrace's Node client accepts 1-5 only).

    Within one process later ids are larger, also within a millisecond: there the random bits only ever grow.
    """
    global _last
    with _lock:
        milliseconds = max(_clock() // 1_000_000, _last[0])
        if milliseconds == _last[0]:
            bits = _last[1] + 1 + _dice.getrandbits(32)
        else:
            bits = _dice.getrandbits(_RANDOM_BITS - 1)  # room to grow
        _last = milliseconds, bits
    return UUID(int=(milliseconds << 80) | _VERSION_4 | (bits >> 62) << 64 | _VARIANT | (bits & _LOW))


@contextmanager
def same_ids_each_time(since: datetime) -> Iterator[None]:
    """The ids that this process makes meanwhile follow from ``since`` alone: what is drawn by id can be repeated."""
    global _last, _clock
    before = _last, _clock, _dice.getstate()
    moment = int(since.timestamp()) * 1_000_000_000
    _last, _clock = (0, 0), lambda: moment
    _dice.seed(moment)
    try:
        yield
    finally:
        _last, _clock = before[:2]
        _dice.setstate(before[2])
