"""Launches jobs one after another, but lets none wait long for one whose launch hangs.

That may be for ever: a working directory may be on a filesystem that does not answer, a shim may have been stopped.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from jobworker_lib.errors import JobworkerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobworker_lib.job.directory import JobDirectory

_MOST = 64
"""Launches that are under way at once; more than one only where some hang."""
_PATIENCE_SECONDS = 2.0
"""A launch that takes longer is not waited for: the next one begins, and may be done first."""


class Launches:
    """Those that a keeper has begun; each that hangs has a thread."""

    def __init__(self, launch: Callable[[JobDirectory, int], None]) -> None:
        """``launch`` gets a job with its lock, which it closes, and raises a JobworkerError or an OSError."""
        self._launch = launch
        self._changed = threading.Condition()
        self._under_way: set[JobDirectory] = set()
        self._failed: list[tuple[JobDirectory, str]] = []

    @property
    def room(self) -> int:
        """How many more may begin."""
        return _MOST - len(self._under_way)

    @property
    def are_over(self) -> bool:
        """Whether none is under way, and none has failed that :meth:`take_failed` has not given."""
        with self._changed:
            return not (self._under_way or self._failed)

    def begin(self, directory: JobDirectory, lock: int) -> bool:
        """Launch a job, and wait until that is done, or seems to hang. False: this launch, or another, has failed."""
        with self._changed:
            self._under_way.add(directory)
        try:
            threading.Thread(target=self._run, args=(directory, lock), daemon=True).start()
        except RuntimeError:  # this user may have no more threads
            self._run(directory, lock)
        with self._changed:
            self._changed.wait_for(lambda: directory not in self._under_way, _PATIENCE_SECONDS)
            return not self._failed

    def take_failed(self) -> list[tuple[JobDirectory, str]]:
        """The jobs whose launches have failed since the last call, each with what is to be told of it."""
        with self._changed:
            failed, self._failed = self._failed, []
        return failed

    def _run(self, directory: JobDirectory, lock: int) -> None:
        error = None
        try:
            self._launch(directory, lock)
        except (JobworkerError, OSError) as failure:
            error = str(failure)
        finally:
            with self._changed:
                self._under_way.discard(directory)
                if error is not None:
                    self._failed.append((directory, error))
                self._changed.notify_all()
