"""Times, time spans and text."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from jobworker_server.errors import InvalidRequestError


def seconds(field: str, duration: Duration) -> float:
    """The seconds of a duration in a request.

    Raises:
        InvalidRequestError: it is negative, or not a well-formed duration.
    """
    if duration.seconds < 0 or not 0 <= duration.nanos < 1_000_000_000:
        raise InvalidRequestError(field, "give a duration of 0 or more")
    return duration.seconds + duration.nanos / 1e9


def moment(field: str, timestamp: Timestamp) -> datetime:
    """The moment of a timestamp in a request.

    Raises:
        InvalidRequestError: it is not a well-formed timestamp, of the years 1 to 9999.
    """
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except ValueError:
        raise InvalidRequestError(field, "give a moment of the years 1 to 9999") from None


def timestamp_of_ns(ns: int) -> Timestamp:
    """Of nanoseconds since the epoch."""
    seconds, nanos = divmod(ns, 1_000_000_000)
    return Timestamp(seconds=seconds, nanos=nanos)


def timestamp(time: datetime | None) -> Timestamp | None:
    """Of a moment, where there is one."""
    if time is None:
        return None
    moment = Timestamp()
    moment.FromDatetime(time)
    return moment


def duration(value: float | None) -> Duration | None:
    """Of seconds, where there are any."""
    if value is None:
        return None
    fraction, whole = math.modf(value)
    return Duration(seconds=int(whole), nanos=int(fraction * 1e9))


def text(text: str) -> str:
    """Text that a message can carry: bytes that are not UTF-8 become U+FFFD."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
