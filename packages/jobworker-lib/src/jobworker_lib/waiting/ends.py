"""The ends of many jobs that somebody waits for: those that changed are looked at, and all of them now and then."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from jobworker_lib.waiting.drivers import Place
from jobworker_lib.waiting.watcher import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobworker_lib.core import Core
    from jobworker_lib.job.status import JobStatus

_ALL_AGAIN_SECONDS = 1.0


class Ends:
    """What is known of the jobs until now."""

    def __init__(self, core: Core, job_ids: Sequence[str], *, wait_for_any: bool) -> None:
        self._core = core
        self._ids = list(dict.fromkeys(job_ids))
        self._wait_for_any = wait_for_any
        self._ended: dict[str, JobStatus] = {}
        self._changed: set[str] = set()
        self._all_again_at = 0.0

    def places(self) -> list[Place]:
        """Where to watch: the directories of those that have not ended. JobNotFoundError."""
        return [
            Place(self._core.directory(job_id).path, Change.STATE, partial(self._changed.add, job_id))
            for job_id in self._ids
            if job_id not in self._ended
        ]

    def poll(self) -> list[JobStatus] | None:
        """Those that have ended, in the order that was asked for, once it is all of them, or any: None before.

        Raises:
            JobNotFoundError: one was deleted.
        """
        for job_id in self._to_look_at():
            if job_id not in self._ended and (status := self._core.poll_ended(job_id)):
                self._ended[job_id] = status
        if len(self._ended) < len(self._ids) and not (self._wait_for_any and self._ended):
            return None
        return [self._ended[job_id] for job_id in self._ids if job_id in self._ended]

    def _to_look_at(self) -> list[str]:
        now = time.monotonic()
        changed = [self._changed.pop() for _ in range(len(self._changed))]
        if changed and now < self._all_again_at:
            return changed
        self._all_again_at = now + _ALL_AGAIN_SECONDS
        return self._ids
