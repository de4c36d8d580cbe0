"""Times: nanoseconds since the epoch on disk, aware datetimes in UTC for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_from_ns(nanoseconds: int) -> datetime:
    """The moment, cut to microseconds (a float would round them)."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def ns_from_utc(time: datetime) -> int:
    """The nanoseconds of an aware datetime."""
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000
