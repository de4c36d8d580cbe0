"""Tells the event log of a change to a job; for whoever holds the job's lock and has just made the change."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.events import log
from jobworker_lib.events.event import Event, EventType

if TYPE_CHECKING:
    from jobworker_lib.job.directory import JobDirectory
    from jobworker_lib.job.status import State


def events_of(directory: JobDirectory) -> str:
    """The event log of the state directory that a job's directory is in."""
    return os.path.join(directory.path, "..", "..", log.DIRECTORY)


def tell(
    events: str, event_type: EventType, *, job_id: str, owner: str, time_ns: int, state: State | None = None
) -> bool:
    """Append an event; False where the log can't be written now.

    Nothing is held up by that: what is missing is appended by who next looks at the job.
    """
    with suppress(OSError):
        log.append(events, Event(type=event_type, job_id=job_id, time_ns=time_ns, owner=owner, state=state))
        return True
    return False
