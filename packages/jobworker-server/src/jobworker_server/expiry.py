"""What expires while the server runs: told in time, in its log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_LOOK_SECONDS = 0.5
_CHECK_EVERY = timedelta(minutes=1)
_TELL_EVERY = timedelta(days=1)
_SHORTEST_NOTICE = timedelta(hours=1)
_LONGEST_NOTICE = timedelta(days=30)
_NOTICE = 0.1
"""From when on an end is told: in this last part of the whole time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Expiring:
    """Something that has a time, and a message about its end."""

    what: str
    begin: datetime
    end: datetime
    remedy: str
    """What becomes of it, and what to do."""

    def notice(self, now: datetime) -> str | None:
        """What is to be told of it now; None: nothing."""
        if now > self.end:
            return f"{self.what} expired on {self.end:%Y-%m-%d %H:%M:%S} UTC: {self.remedy}"
        ahead = max(_SHORTEST_NOTICE, min((self.end - self.begin) * _NOTICE, _LONGEST_NOTICE))
        if now > self.end - ahead:
            return f"{self.what} expires on {self.end:%Y-%m-%d %H:%M:%S} UTC: {self.remedy}"
        return None


class Expiry:
    """Looks at the clock: tells of what expires, and calls ``check`` when calls may have lost what they stand on."""

    def __init__(
        self,
        expiring: Callable[[], Iterable[Expiring]],
        next_expiry: Callable[[datetime], datetime],
        check: Callable[[], None],
    ) -> None:
        self._expiring = expiring
        self._next_expiry = next_expiry
        self._check = check
        self._told: dict[str, datetime] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        checked = datetime.min.replace(tzinfo=UTC)
        while True:
            now = datetime.now(UTC)
            try:
                if not checked < now < min(self._next_expiry(checked), checked + _CHECK_EVERY):
                    checked = now
                    self._check()
                    self.tell(now)
            except Exception:  # noqa: BLE001  whatever it is, the rest is to be told on
                _log.exception("a fault in looking at what expires; it is looked at again")
            await asyncio.sleep(_LOOK_SECONDS)

    def tell(self, now: datetime) -> None:
        """Write to the log what is to be told, each thing once a day."""
        notices = [notice for item in self._expiring() if (notice := item.notice(now))]
        self._told = {notice: told for notice, told in self._told.items() if notice in notices}
        for notice in notices:
            if notice not in self._told or now > self._told[notice] + _TELL_EVERY:
                self._told[notice] = now
                _log.warning("%s", notice)
