"""Sizes, time spans and moments as people write them on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGT]?)(?:i?B)?", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SPAN = re.compile(r"(?:([0-9.]+)d)?(?:([0-9.]+)h)?(?:([0-9.]+)m)?(?:([0-9.]+)s)?")


def size(text: str) -> int:
    """Bytes: a number, and K, M, G or T for powers of 1024, as in ``64M``, ``1.5G`` and ``64MiB``.

    Raises:
        ValueError: it is none of these.
    """
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError("expected a size, such as 64M or 1G")
    from decimal import Decimal

    return int(Decimal(found[1]) * _FACTORS[found[2].upper()])


def count(text: str) -> int:
    """A whole number. ValueError where it is none."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError("expected a whole number")
    return int(text)


def moment(text: str, now: datetime) -> datetime:
    """A moment of RFC 3339 (in the local time zone where it names none), or how long before ``now``, as in ``10m``.

    Raises:
        ValueError: it is none of these.
    """
    try:
        span = _SPAN.fullmatch(text) if text else None
        if span is None:
            return datetime.fromisoformat(text).astimezone(UTC)
        days, hours, minutes, seconds = (float(part or 0) for part in span.groups())
        return now - timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except (ValueError, OverflowError):
        raise ValueError("expected a time, such as 2026-01-31T12:00:00Z, or how long ago, such as 1h30m") from None
