"""What a client has still to send in a call, bounded, so that who writes waits for who reads."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from jobworker.v1.worker_service_pb2 import AttachRequest

_MOST_BYTES = 256 << 10


class RequestQueue:
    """An iterator of requests for gRPC, which takes the next one when the one before is on its way."""

    def __init__(self) -> None:
        self._requests: deque[AttachRequest] = deque()
        self._size = 0
        self._is_open = True
        self._changed = threading.Condition()

    def put(self, request: AttachRequest) -> bool:
        """Add a request; waits for room. False: the call has ended, and it is not sent."""
        with self._changed:
            self._changed.wait_for(lambda: self._size < _MOST_BYTES or not self._is_open)
            if self._is_open:
                self._requests.append(request)
                self._size += len(request.input)
                self._changed.notify_all()
            return self._is_open

    def close(self) -> None:
        """Send nothing more, not even what is waiting."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> AttachRequest:
        with self._changed:
            self._changed.wait_for(lambda: self._requests or not self._is_open)
            if not self._is_open:
                raise StopIteration
            request = self._requests.popleft()
            self._size -= len(request.input)
            self._changed.notify_all()
            return request
