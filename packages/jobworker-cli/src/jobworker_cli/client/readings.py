"""Streams that outlive their connections: what each response means, and which request goes on after it.

Nothing here calls or waits: ``sync.py`` and ``aio.py`` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from jobworker.v1 import worker_service_pb2 as api
from jobworker_cli.client import convert
from jobworker_cli.errors import ClientError, NoAnswerError, OutputInterruptedError
from jobworker_cli.fence import Sample
from jobworker_cli.models import Chunk, Event

_ACCEPTED_KEY = "jobworker-api"
"""In the headers that a server sends as soon as it has accepted a call."""

T_co = TypeVar("T_co", covariant=True)


class Reading(Protocol[T_co]):
    """A stream as it is read."""

    rpc: str

    @property
    def request(self) -> Any:
        """What to send, at first and to go on after what was taken."""

    def take(self, response: Any) -> T_co | None:
        """What a response brings; None: nothing."""

    def given_up(self, error: ClientError) -> ClientError:
        """What to raise when the stream ends with this error."""


def is_accepted(metadata: Any) -> bool:
    """Whether the headers of a stream tell that the server has accepted it, though nothing may come for long."""
    return any(key == _ACCEPTED_KEY for key, _ in metadata or ())


class OutputReading:
    """A job's output; goes on with the byte after the last that came."""

    rpc = "GetOutput"

    def __init__(self, request: api.GetOutputRequest) -> None:
        self.request = request
        self._reached: int | None = None

    def take(self, response: api.GetOutputResponse) -> Sequence[Chunk] | None:
        """The chunks, where there are any."""
        batch = [convert.chunk(chunk) for chunk in response.chunks]
        if not batch:
            return None
        self._reached = self.request.offset = batch[-1].end
        self.request.ClearField("tail_lines")
        return batch

    def given_up(self, error: ClientError) -> ClientError:
        """Where to go on, once there was some output."""
        if self._reached is None:
            return error
        if not isinstance(error, NoAnswerError):  # such as a certificate that was revoked meanwhile
            error.offset = self._reached
            return error
        message = f"{error} (the output had come to offset {self._reached})"
        return OutputInterruptedError(message, self._reached)


class EventReading:
    """What happens to jobs; goes on after the last cursor."""

    rpc = "Watch"

    def __init__(self, request: api.WatchRequest) -> None:
        self.request = request

    def take(self, response: api.WatchResponse) -> tuple[Sequence[Event], str]:
        """The events, and the cursor after them."""
        self.request.cursor = response.cursor
        return [convert.event(event) for event in response.events], response.cursor

    def given_up(self, error: ClientError) -> ClientError:
        """Just that."""
        return error


class StatsReading:
    """What a job uses; goes on with what it uses then."""

    rpc = "GetStats"

    def __init__(self, request: api.GetStatsRequest) -> None:
        self.request = request

    def take(self, response: api.GetStatsResponse) -> Sample:
        """A sample."""
        return convert.sample(response)

    def given_up(self, error: ClientError) -> ClientError:
        """Just that."""
        return error
