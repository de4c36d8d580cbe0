"""Sizes and moments as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobworker_cli import quantities

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("65536", 65536),
        ("64K", 65536),
        ("64k", 65536),
        ("64M", 64 << 20),
        ("64MB", 64 << 20),
        ("64MiB", 64 << 20),
        ("1.5G", 3 << 29),
        ("2T", 2 << 40),
        ("0", 0),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_sizes(text: str, expected: int) -> None:
    assert quantities.size(text) == expected


@pytest.mark.parametrize("text", ["", "M", "-1", "1X", "1 M", "1e6", "1.M", "64MM", "nan"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        quantities.size(text)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("10m", timedelta(minutes=10)),
        ("90s", timedelta(seconds=90)),
        ("1h30m", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        ("1.5h", timedelta(minutes=90)),
        ("1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("0s", timedelta()),
    ],
)
def test_how_long_ago(text: str, ago: timedelta) -> None:
    assert quantities.moment(text, NOW) == NOW - ago


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", NOW),
        ("2026-01-02T03:04:05.25Z", NOW + timedelta(milliseconds=250)),
        ("2026-01-02T05:04:05+02:00", NOW),
        ("2026-01-02 03:04:05Z", NOW),
    ],
)
def test_moments(text: str, expected: datetime) -> None:
    assert quantities.moment(text, NOW) == expected


def test_a_moment_without_a_time_zone_is_local() -> None:
    assert quantities.moment("2026-01-02T03:04:05", NOW) == datetime(2026, 1, 2, 3, 4, 5).astimezone()


@pytest.mark.parametrize("text", ["", "yesterday", "10", "10x", "-5m", "m", "1.2.3s", "99999999d", "2026-13-01"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time"):
        quantities.moment(text, NOW)
