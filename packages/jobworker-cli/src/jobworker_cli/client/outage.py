"""What a call does that is repeated while its server is away: how long, how often, and what is said of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc

from jobworker_cli.client import rpc_errors

_SHORTEST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0

Tell = Callable[[str], None]
"""Is told, in a sentence, that a connection was lost, and that it is there again."""


class Outage:
    """The times that the server is away during one call, which may be repeated: jobs outlive their server."""

    def __init__(self, address: object, seconds: float, tell: Tell) -> None:
        """Give up after so many ``seconds`` without an answer."""
        self._address = address
        self._seconds = seconds
        self._tell = tell
        self._answered = False
        self._began: float | None = None
        self._pause = _SHORTEST_PAUSE_SECONDS

    def over(self) -> None:
        """The server has answered."""
        self._answered = True
        if self._began is not None:
            self._began = None
            self._pause = _SHORTEST_PAUSE_SECONDS
            self._tell(f"connected to {self._address} again")

    def pause(self, error: grpc.RpcError) -> float | None:
        """Seconds to pause before the call is repeated that has failed so.

        None: it is no use. The server has never answered, has been away for too long, or has refused.
        """
        now = time.monotonic()
        told_to_wait = rpc_errors.retry_seconds(error)
        is_over = told_to_wait is None and not rpc_errors.is_no_answer(error)
        if not self._answered or not self._seconds or is_over:
            return None
        if self._began is None:
            self._began = now
            lost = f"the connection to {self._address} was lost"
            busy = f"{self._address} takes no more calls of this client now"
            self._tell(f"{lost if told_to_wait is None else busy}; trying again for {self._seconds:g} seconds")
        elif now - self._began > self._seconds:
            return None
        pause = max(self._pause, min(told_to_wait or 0.0, self._seconds))
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        return pause
