"""The events that somebody wants, of all that are told. It never waits: its driver blocks or awaits."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from jobworker_lib.events import log
from jobworker_lib.events.event import Cursor, EventType
from jobworker_lib.events.reader import EventReader, end_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobworker_lib.events.event import Event

_MOST_PASSED_OVER = 1 << 20
"""Bytes of events that nobody wants, after which the cursor is worth to be told."""


class EventFeed:
    """One watcher's place in the event log."""

    def __init__(self, events: str, *, cursor: str | None, owner: str | None, jobs: Collection[str] | None) -> None:
        """Begin after ``cursor``, or with what happens from now on.

        Raises:
            InvalidArgumentError: it is no cursor.
            CursorExpiredError: what follows it is not kept any more.
        """
        log.prepare(events)
        self._reader = EventReader(events, end_of(events) if cursor is None else Cursor.parse(cursor))
        self._told = self._reader.cursor.offset
        self._owner = owner
        state_dir = os.path.dirname(events)
        self._hidden, self._shown = os.path.join(state_dir, "new"), os.path.join(state_dir, "jobs")
        self._jobs = None if jobs is None else frozenset(jobs)

    @property
    def cursor(self) -> str:
        """To go on after all that was given."""
        return str(self._reader.cursor)

    def next_batch(self) -> list[Event] | None:
        """The next events that are there; None: none yet; an empty list: many were passed over that nobody wants.

        Raises:
            CursorExpiredError: this watcher is so far behind that the next events are not kept any more.
        """
        while batch := self._next_shown():
            wanted = [event for event in batch if self._is_wanted(event)]
            if wanted or self._reader.cursor.offset - self._told > _MOST_PASSED_OVER:
                self._told = self._reader.cursor.offset
                return wanted
        return None

    def _next_shown(self) -> list[Event]:
        """The next events, up to the first of a job that is told of already and will be there in a moment."""
        begin = self._reader.cursor
        batch = self._reader.next_batch()
        for position, event in enumerate(batch):
            if event.type is EventType.CREATED and self._is_being_made(event.job_id):
                self._reader.cursor = Cursor.parse(batch[position - 1].cursor) if position else begin
                return batch[:position]
        return batch

    def _is_being_made(self, job_id: str) -> bool:
        hidden, shown = os.path.join(self._hidden, job_id), os.path.join(self._shown, job_id)
        return os.path.exists(hidden) and not os.path.exists(shown)

    def close(self) -> None:
        """Let go of the log."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_wanted(self, event: Event) -> bool:
        return self._owner in (None, event.owner) and (self._jobs is None or event.job_id in self._jobs)
