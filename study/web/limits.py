"""Rate limits in memory: token buckets by participant, never by network address."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class RateLimiter:
    """Allows `burst` requests at once and `rate` per second on average, for each key."""

    def __init__(
        self,
        rate: float,
        burst: float,
        clock: Callable[[], float] = time.monotonic,
        most_keys: int = 20_000,
    ) -> None:
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._most_keys = most_keys
        self._buckets: dict[str, tuple[float, float]] = {}
        self._turn = threading.Lock()

    def allows(self, key: str) -> bool:
        """Take one token of `key`; False when there is none."""
        now = self._clock()
        with self._turn:
            if len(self._buckets) > self._most_keys:
                self._forget(now)
            tokens, then = self._buckets.get(key, (self.burst, now))
            tokens = min(self.burst, tokens + (now - then) * self.rate)
            allowed = tokens >= 1
            self._buckets[key] = (tokens - 1 if allowed else tokens, now)
            return allowed

    def _forget(self, now: float) -> None:
        """Drop buckets that are full again: they hold no information."""
        refill = self.burst / self.rate
        self._buckets = {
            key: (tokens, then)
            for key, (tokens, then) in self._buckets.items()
            if now - then < refill
        }
