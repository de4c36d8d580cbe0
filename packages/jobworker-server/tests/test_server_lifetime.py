"""How calls end that may not go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobworker_server import lifetime as lifetime_module
from jobworker_server.errors import PermissionDeniedError, ShutdownError, UnauthenticatedError
from jobworker_server.identity import Identification, Identity
from jobworker_server.lifetime import Lifetimes
from server_testing import TIMEOUT, Authority

REVOKED = UnauthenticatedError("CERTIFICATE_REVOKED", "the client's certificate is revoked")
DENIED = PermissionDeniedError("NOT_ALLOWED", "the role does not allow it")


class Rule:
    """A check that is passed until ``error`` is set."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def __call__(self) -> None:
        if self.error:
            raise self.error


@pytest.fixture
def caller(authority: Authority) -> Identity:
    return Identification().identify(authority.client("ann", "full").certificate)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, TIMEOUT))


@asynccontextmanager
async def opened(lifetimes: Lifetimes, caller: Identity, *rules: Rule) -> AsyncIterator[Callable[[], Any]]:
    """A call that goes on for ever; it gives what waits for its end."""
    begun = asyncio.Event()

    async def call() -> None:
        async with lifetimes.of(caller) as lifetime:
            for rule in rules:
                lifetime.require(rule)
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(call())
    await begun.wait()
    try:
        yield lambda: task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_call_ends_with_what_its_check_says(caller: Identity) -> None:
    async def work() -> None:
        lifetimes, rule, other = Lifetimes(), Rule(), Rule()
        async with opened(lifetimes, caller, rule) as ended, opened(lifetimes, caller, other) as goes_on:
            lifetimes.check()
            rule.error = REVOKED
            lifetimes.check()
            with pytest.raises(UnauthenticatedError) as raised:
                await ended()
            assert raised.value is REVOKED
            assert not goes_on().done()

    run(work())


def test_the_first_check_that_fails_tells_why(caller: Identity) -> None:
    async def work() -> None:
        lifetimes, first, second = Lifetimes(), Rule(), Rule()
        async with opened(lifetimes, caller, first, second) as ended:
            first.error, second.error = REVOKED, DENIED
            lifetimes.check()
            lifetimes.close()
            with pytest.raises(UnauthenticatedError) as raised:
                await ended()
            assert raised.value is REVOKED

    run(work())


def test_a_call_that_fails_a_check_at_once_is_refused(caller: Identity) -> None:
    async def work() -> None:
        rule = Rule()
        rule.error = DENIED
        async with Lifetimes().of(caller) as lifetime:
            with pytest.raises(PermissionDeniedError):
                lifetime.require(rule)

    run(work())


def test_a_fault_in_a_check_ends_its_call_alone(caller: Identity) -> None:
    async def work() -> None:
        lifetimes, rule, other = Lifetimes(), Rule(), Rule()
        async with opened(lifetimes, caller, rule) as ended, opened(lifetimes, caller, other) as goes_on:
            rule.error = RuntimeError("a fault")
            lifetimes.check()
            with pytest.raises(RuntimeError):
                await ended()
            assert not goes_on().done()

    run(work())


def test_what_is_being_sent_is_sent_before_the_end(caller: Identity) -> None:
    async def work() -> None:
        lifetimes, rule = Lifetimes(), Rule()
        sent: list[str] = []

        async def send() -> None:
            async with lifetimes.of(caller) as lifetime:
                lifetime.require(rule)
                with lifetime.held():
                    rule.error = REVOKED
                    lifetimes.check()
                    await asyncio.sleep(0)
                    sent.append("whole")
                await asyncio.Event().wait()

        with pytest.raises(UnauthenticatedError) as raised:
            await send()
        assert raised.value is REVOKED
        assert sent == ["whole"]

    run(work())


@pytest.mark.parametrize("is_revoked", [True, False])
def test_a_client_that_takes_no_message_does_not_put_off_the_end_for_ever(
    caller: Identity, monkeypatch: pytest.MonkeyPatch, *, is_revoked: bool
) -> None:
    monkeypatch.setattr(lifetime_module, "STUCK_SECONDS", 0.05)

    async def work() -> None:
        lifetimes, rule = Lifetimes(), Rule()
        soon = datetime.now(UTC) + timedelta(seconds=0.1)
        async with lifetimes.of(caller if is_revoked else replace(caller, token_valid_until=soon)) as lifetime:
            lifetime.require(rule)
            with lifetime.held():
                if is_revoked:
                    rule.error = REVOKED
                    lifetimes.check()
                    lifetimes.check()
                await asyncio.Event().wait()

    with pytest.raises(UnauthenticatedError) as raised:
        run(work())
    assert raised.value.reason == (REVOKED.reason if is_revoked else "TOKEN_EXPIRED")


def test_a_closed_server_ends_calls_and_takes_none(caller: Identity) -> None:
    async def work() -> None:
        lifetimes = Lifetimes()
        async with opened(lifetimes, caller) as ended:
            lifetimes.close()
            with pytest.raises(ShutdownError):
                await ended()
        with pytest.raises(ShutdownError):
            async with lifetimes.of(caller):
                pass

    run(work())
