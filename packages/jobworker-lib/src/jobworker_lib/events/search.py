"""Looks up what the event log tells of one job; for the rare case that nobody remembers it."""

from __future__ import annotations

import fcntl
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from jobworker_lib.events import log
from jobworker_lib.events.event import Event, EventType

if TYPE_CHECKING:
    from collections.abc import Iterator


def told_since(events: str, job_id: str, time_ns: int) -> set[EventType] | None:
    """Which events of a job the log tells, of those from ``time_ns`` on. None: it is not kept from so early on.

    Only a caller who holds the job's lock can rely on it for longer than a moment. OSError where there is no log.
    """
    told: set[EventType] = set()
    with ExitStack() as files:
        for segment in _opened(events, files):
            since_ns = log.time_of_segment(segment.readline())
            told.update(_types_in(segment, job_id))
            if since_ns <= time_ns:
                return told
    return None


def _opened(events: str, files: ExitStack) -> list[BinaryIO]:
    """The segments that are kept, the newest first; open, so that none can be dropped before it is read."""
    with log.locked(events, fcntl.LOCK_SH) as (_, head):
        bases = [base for base in log.segments(events) if base <= head.base]
        return [files.enter_context(open(log.segment_path(events, base), "rb")) for base in reversed(bases)]


def _types_in(segment: BinaryIO, job_id: str) -> Iterator[EventType]:
    wanted = job_id.encode()
    for line in segment:
        event = Event.from_line(line, "") if wanted in line else None
        if event and event.job_id == job_id:
            yield event.type
