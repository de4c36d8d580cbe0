"""Ctrl-C and its like, handed on to a job."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any, Self

from jobworker_cli.errors import ClientError, JobNotRunningError
from jobworker_cli.terminal import report, say

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from jobworker_cli.client import Client

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STDERR = 2
_SOON_SECONDS = 1.0


class StopOnSignal:
    """While entered, the first signal stops the watched job, and each further Ctrl-C kills it.

    A signal before there is a job to stop is kept for it; a second one then gives up the start.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._job_id = ""
        self._received = 0
        self._is_over = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            # What was ignored stays so: `nohup` is asked for just that.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        for number, previous in self._previous.items():
            signal.signal(number, previous)

    def watch(self, job_id: str) -> None:
        """From now on, stop this job."""
        self._job_id = job_id
        if self._received:
            self.stop()

    def stop(self, *, force: bool = False) -> None:
        """Ask for the end of the watched job, without waiting for it."""
        # A thread: in a signal's handler the main thread may hold the locks that a call needs.
        threading.Thread(target=self._stop, kwargs={"force": force}, daemon=True).start()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._received += 1
        if self._job_id:
            self.stop(force=self._received > 1 and number == signal.SIGINT)
        elif self._received > 1:
            raise KeyboardInterrupt

    def _stop(self, *, force: bool) -> None:
        still_there = threading.Timer(_SOON_SECONDS, say, ["waiting for the job to end; another Ctrl-C kills it"])
        still_there.daemon = True
        if not force and os.isatty(_STDERR):
            still_there.start()
        try:
            self._client.stop(self._job_id, force=force)
        except ClientError as error:
            # It may have ended by itself meanwhile; and when its end is known, the answer is not waited for.
            if not (isinstance(error, JobNotRunningError) or self._is_over):
                report(error)
        finally:
            still_there.cancel()
