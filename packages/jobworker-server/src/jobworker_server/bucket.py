"""How often something may be done: so often on average, and some times at once."""

from __future__ import annotations

_TELL_EVERY_SECONDS = 1.0


class Bucket:
    """Fills at a rate, and may be in debt to those who wait for their turn."""

    __slots__ = ("_burst", "_omitted", "_rate", "_seen", "_tokens", "_told")

    def __init__(self, rate: float | None, burst: float, now: float) -> None:
        """``rate`` is how often a second, None: without a bound; ``burst`` how often at once."""
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._seen = now
        self._told: float | None = None
        self._omitted = 0

    def wait(self, now: float, tokens: float = 1.0) -> float:
        """How long it would be until one who comes now has its turn, which is not taken by this."""
        if self._rate is None:
            return 0.0
        self._tokens = min(self._burst, self._tokens + (now - self._seen) * self._rate)
        self._seen = now
        return max(0.0, (tokens - self._tokens) / self._rate)

    def take(self, now: float, tokens: float = 1.0) -> float:
        """Take the next turn: how long to wait for it."""
        wait = self.wait(now, tokens)
        self._tokens -= tokens
        return wait

    def omitted(self, now: float) -> int | None:
        """Somebody is turned away: how many were before without being told of; None: this one isn't either."""
        if self._told is not None and now - self._told < _TELL_EVERY_SECONDS:
            self._omitted += 1
            return None
        found, self._omitted, self._told = self._omitted, 0, now
        return found
