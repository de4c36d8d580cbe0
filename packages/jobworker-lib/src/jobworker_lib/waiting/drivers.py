"""Waits for what a job does: the thin drivers, one that blocks and one that is awaited, of polls that never wait."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from jobworker_lib.waiting.watcher import Change

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from jobworker_lib.core import Core
    from jobworker_lib.waiting.request import Request

T = TypeVar("T")


class Place(NamedTuple):
    """A directory to watch."""

    path: str | os.PathLike[str]
    change: Change
    note: Callable[[], None] | None = None
    """Is called at each change, before the poll is."""


def until(
    core: Core,
    job_id: str,
    poll: Callable[[], T | None],
    change: Change = Change.STATE,
    timeout: float | None = None,
) -> T:
    """Block until ``poll`` gives something; it is asked again at each such change of the job."""
    if (found := poll()) is not None:
        return found
    places = [Place(core.directory(job_id).path, change)]
    return block(core, places, poll, timeout=timeout, late=f"job {job_id} has not ended")


async def until_async(core: Core, job_id: str, poll: Callable[[], T | None], change: Change = Change.STATE) -> T:
    """Wait until ``poll`` gives something; it is asked again at each such change of the job."""
    if (found := poll()) is not None:
        return found
    return await block_async(core, [Place(core.directory(job_id).path, change)], poll)


def done(core: Core, request: Request) -> None:
    """Block until a job's shim has done what is asked of it."""
    with request:
        until(core, request.job_id, request.poll_patiently)


async def done_async(core: Core, request: Request) -> None:
    """Wait until a job's shim has done what is asked of it."""
    with request:
        if request.poll() is None:
            places = [Place(core.directory(request.job_id).path, Change.STATE)]
            await block_async(core, places, request.poll, request)


def block(
    core: Core, places: Iterable[Place], poll: Callable[[], T | None], *, timeout: float | None = None, late: str = ""
) -> T:
    """Block until ``poll`` gives something. TimeoutError, which says what is ``late``, after ``timeout`` seconds."""
    changed = threading.Event()
    deadline = None if timeout is None else time.monotonic() + timeout
    with ExitStack() as watches:
        for place in places:
            watches.enter_context(core.watcher.watch(place.path, place.change, _waking(place, changed.set)))
        for pause in core.watcher.pauses():
            changed.clear()
            if (found := poll()) is not None:
                return found
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError(f"{late} after {timeout} seconds")
            changed.wait(pause if left is None else min(pause, left))
    raise AssertionError("unreachable: pauses never end")


async def block_async(
    core: Core, places: Iterable[Place], poll: Callable[[], T | None], request: Request | None = None
) -> T:
    """Wait until ``poll`` gives something, which an answer to ``request`` may be."""
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(changed.set)

    with ExitStack() as watches:
        for place in places:
            watches.enter_context(core.watcher.watch(place.path, place.change, _waking(place, wake)))
        for pause in core.watcher.pauses():
            changed.clear()
            if (found := poll()) is not None:
                return found
            with suppress(TimeoutError), _answers(request, changed.set):
                async with asyncio.timeout(pause):
                    await changed.wait()
    raise AssertionError("unreachable: pauses never end")


@contextmanager
def _answers(request: Request | None, wake: Callable[[], None]) -> Iterator[None]:
    """Call ``wake`` when the answer comes that a request waits for."""
    descriptor = -1 if request is None else request.fileno()
    if descriptor < 0:
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, wake)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)


def _waking(place: Place, wake: Callable[[], None]) -> Callable[[], None]:
    note = place.note
    if note is None:
        return wake

    def note_and_wake() -> None:
        note()
        wake()

    return note_and_wake
