"""How many requests a token may make: a bucket that fills steadily, kept in the memory of each web process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable

from django.conf import settings

MOST_REMEMBERED = 10_000


class Allowance:
    """``per_minute`` requests, and as many at once; behind several web processes each grants its own."""

    def __init__(self, per_minute: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self.clock = per_minute, clock
        self.full_at: dict[Hashable, float] = {}

    @property
    def per_minute(self) -> int:
        return self._per_minute if self._per_minute is not None else int(settings.API_REQUESTS_PER_MINUTE)

    def take(self, who: Hashable) -> int:
        """0 when the request may go on, else the seconds to wait."""
        rate = self.per_minute
        if not rate:
            return 0
        now, cost = self.clock(), 60 / rate
        full_at = max(self.full_at.get(who, now), now) + cost
        if full_at - now > 60 + cost / 2:
            return max(1, math.ceil(full_at - now - 60))
        if len(self.full_at) >= MOST_REMEMBERED:
            self.full_at = {key: moment for key, moment in self.full_at.items() if moment > now}
        self.full_at[who] = full_at
        return 0
