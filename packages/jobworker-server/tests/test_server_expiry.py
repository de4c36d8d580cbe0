"""What expires is told in time, and not too often."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from jobworker_server.expiry import Expiring, Expiry
from server_testing import TIMEOUT

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def expiring(life: timedelta, left: timedelta) -> Expiring:
    return Expiring("the CRL", NOW + left - life, NOW + left, "get a new one")


@pytest.mark.parametrize(
    ("life", "ahead"),
    [(2 * HOUR, HOUR), (10 * HOUR, HOUR), (100 * HOUR, 10 * HOUR), (90 * DAY, 9 * DAY), (3650 * DAY, 30 * DAY)],
)
def test_an_end_is_told_ahead(life: timedelta, ahead: timedelta) -> None:
    second = timedelta(seconds=1)
    assert expiring(life, ahead + second).notice(NOW) is None
    assert expiring(life, ahead - second).notice(NOW) == (
        f"the CRL expires on {NOW + ahead - second:%Y-%m-%d %H:%M:%S} UTC: get a new one"
    )
    assert expiring(life, -second).notice(NOW) == "the CRL expired on 2026-05-04 09:59:59 UTC: get a new one"


def never(_: datetime) -> datetime:
    return datetime.max.replace(tzinfo=UTC)


def test_each_is_told_once_a_day_and_again_when_it_has_come(caplog: pytest.LogCaptureFixture) -> None:
    items = [expiring(90 * DAY, 2 * DAY + HOUR)]
    expiry = Expiry(lambda: items, never, lambda: None)
    for hours in range(72):
        expiry.tell(NOW + hours * HOUR)
    told = [record.getMessage().partition(" on ")[0] for record in caplog.records]
    assert told == ["the CRL expires", "the CRL expires", "the CRL expired"]
    caplog.clear()
    items.clear()
    expiry.tell(NOW + 80 * HOUR)
    assert not caplog.records


def test_calls_are_looked_at_when_something_has_expired() -> None:
    async def work() -> None:
        checked: asyncio.Queue[datetime] = asyncio.Queue()
        end = datetime.now(UTC) + timedelta(seconds=1.5)

        def next_expiry(now: datetime) -> datetime:
            return end if now < end else never(now)

        expiry = Expiry(list, next_expiry, lambda: checked.put_nowait(datetime.now(UTC)))
        task = asyncio.ensure_future(expiry.run())
        assert await checked.get() < end, "once at the start"
        assert await checked.get() >= end
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(work(), TIMEOUT))
