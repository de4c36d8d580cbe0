"""Tells the event log what happens to one job: everything, in its order, also where the disk is full for a while."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.events import log
from jobworker_lib.events.event import Event, EventType
from jobworker_lib.events.telling import events_of

if TYPE_CHECKING:
    from jobworker_lib.job.directory import JobDirectory
    from jobworker_lib.job.spec import JobSpec
    from jobworker_lib.job.status import State

_RETRY_SECONDS = 1.0


class Teller:
    """What can't be told now waits, and what comes later waits behind it.

    What still waits when the shim has gone is told by who next looks at the job: it is to be seen in its directory.
    """

    def __init__(self, directory: JobDirectory, spec: JobSpec) -> None:
        self._events = events_of(directory)
        self._spec = spec
        self._untold: list[Event] = []
        self.retry_at: float | None = None
        """When to try again, by the monotonic clock; None: all is told."""

    def tell(self, event_type: EventType, time_ns: int, state: State | None) -> None:
        """Append an event; the caller has just made the change, and holds the job's lock."""
        self._untold.append(
            Event(type=event_type, job_id=self._spec.id, time_ns=time_ns, owner=self._spec.owner, state=state)
        )
        self.retry()

    def retry(self) -> None:
        """Append what waits, as far as that can be done now."""
        with suppress(OSError):
            while self._untold:
                log.append(self._events, self._untold[0])
                del self._untold[0]
        self.retry_at = time.monotonic() + _RETRY_SECONDS if self._untold else None
