"""Primary keys: UUIDs ordered by time, with version digit 4."""

import secrets
import time
from uuid import UUID

_VERSION_4 = 0x4 << 76
_VARIANT = 0x2 << 62
_RANDOM_BITS = (0xFFF << 64) | ((1 << 62) - 1)


def new_id() -> UUID:
    """48 bits of Unix milliseconds, then random bits; version digit 4 (Gentrace's Node client accepts 1-5 only)."""
    milliseconds = time.time_ns() // 1_000_000
    return UUID(int=(milliseconds << 80) | _VERSION_4 | _VARIANT | (secrets.randbits(76) & _RANDOM_BITS))
