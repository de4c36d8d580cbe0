"""What is asked of a running job's shim, until it has done it."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any, Self

from jobworker_lib.errors import EngineError, JobNotRunningError
from jobworker_lib.messages import ask, receive

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from jobworker_lib.job.directory import JobDirectory
    from jobworker_lib.store.store import Store

_PATIENCE_MILLISECONDS = 1000


class Request:
    """One request. It never waits: its driver does, for a shim may be stopped (SIGSTOP) or hang on a filesystem."""

    def __init__(
        self,
        store: Store,
        job_id: str,
        message: dict[str, Any],
        descriptors: Sequence[int] = (),
        *,
        already: Callable[[JobDirectory], bool] | None = None,
        ended_will_do: bool = False,
    ) -> None:
        """Prepare to ask.

        ``already`` tells each time whether there is nothing to ask any more: it may do itself what is wanted of a job
        that waits for its turn.
        ``ended_will_do``: it is as well done where the job has ended.
        """
        self._store = store
        self.job_id = job_id
        self._message = message
        self._descriptors = descriptors
        self._already = already
        self._ended_will_do = ended_will_do
        self._reply: socket.socket | None = None

    def fileno(self) -> int:
        """To wait for the answer; -1 where none is to come, and it is to be asked again."""
        return -1 if self._reply is None else self._reply.fileno()

    def poll(self) -> bool | None:
        """True, once the shim has done it; None: not yet. JobNotRunningError, JobNotFoundError."""
        directory = self._store.directory(self.job_id)
        if self._already and self._already(directory):
            return True
        if self._reply is None:
            self._reply = ask(directory, self._message, self._descriptors)
        answer = None
        if self._reply is not None:
            try:
                received = receive(self._reply, 0)
            except BlockingIOError:
                return None
            answer = received[0] if received else None
            self.close()
        if answer is None and not self._store.has_ended(directory):
            return None  # just starting, or just ending
        if answer is None or not answer["running"]:
            if self._ended_will_do:
                return True
            raise JobNotRunningError(self.job_id)
        if "error" in answer:
            raise EngineError(answer["error"])
        return True

    def poll_patiently(self) -> bool | None:
        """The same, for a thread that may wait a while for the answer."""
        done = self.poll()
        if done is None and self._reply is not None:
            poller = select.poll()
            poller.register(self._reply, select.POLLIN)
            poller.poll(_PATIENCE_MILLISECONDS)
            return self.poll()
        return done

    def close(self) -> None:
        """Wait for no answer; what the shim was asked for it does still."""
        if self._reply is not None:
            self._reply.close()
            self._reply = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
