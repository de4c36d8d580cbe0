"""Which part of a job's output to stream, and the requests that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TypedDict

from jobworker.v1 import worker_service_pb2 as api
from jobworker_cli.client import convert
from jobworker_cli.errors import InvalidRequestError
from jobworker_cli.models import Stream


class OutputOptions(TypedDict, total=False):
    """The keyword arguments of ``Client.output``. Offsets count the bytes of both streams together."""

    offset: int
    """Where to begin, by default at the first byte; one beyond the end waits for it."""
    follow: bool
    """Go on until the job has ended (the default); otherwise end with what is there now."""
    stream: Stream | None
    """Only this one, by default both."""
    since: datetime | None
    """Leave out what was captured before this moment, which must be aware of its time zone."""
    tail: int | None
    """Begin with the last so many lines of what is there now, before ``end`` where that is given; 0: with what comes
    from now on. A last line without a newline is one. Not together with ``offset`` or ``since``."""
    end: int | None
    """Where to end: before the byte at this offset."""


def output_requests(
    job_id: str,
    now: int,
    *,
    offset: int = 0,
    follow: bool = True,
    stream: Stream | None = None,
    since: datetime | None = None,
    tail: int | None = None,
    end: int | None = None,
) -> Iterator[api.GetOutputRequest]:
    """Yield one request, or two that follow one another: each means the same whenever it is sent again.

    ``now`` is how many bytes of output there are, needed for ``tail`` alone.

    Raises:
        InvalidRequestError: an option can't be used.
    """
    request = api.GetOutputRequest(job_id=job_id, follow=follow, stream=convert.stream_value(stream))
    request.offset = convert.unsigned("offset", offset)
    if since is not None:
        request.since.CopyFrom(convert.moment("since", since))
    if end is not None:
        request.end_offset = convert.unsigned("end", end)
    if tail is None:
        yield request
        return
    if offset or since is not None:
        raise InvalidRequestError("tail: give it without an offset and a time to begin at")
    lines = api.GetOutputRequest(job_id=job_id, stream=request.stream, tail_lines=convert.unsigned("tail", tail))
    lines.end_offset = now if end is None else min(now, end)
    if tail:
        yield lines
    if follow and (end is None or end > now):
        request.offset = now
        yield request
