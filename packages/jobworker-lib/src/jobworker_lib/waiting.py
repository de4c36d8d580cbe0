"""Waits for what a job does: the thin drivers, one that blocks and one that is awaited, of polls that never wait."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from jobworker_lib.watcher import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobworker_lib.core import Core

T = TypeVar("T")


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
    changed = threading.Event()
    deadline = None if timeout is None else time.monotonic() + timeout
    with core.watcher.watch(core.directory(job_id), change, changed.set):
        for pause in core.watcher.pauses():
            changed.clear()
            if (found := poll()) is not None:
                return found
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError(f"job {job_id} has not ended after {timeout} seconds")
            changed.wait(pause if left is None else min(pause, left))
    raise AssertionError("unreachable: pauses never end")


async def until_async(core: Core, job_id: str, poll: Callable[[], T | None], change: Change = Change.STATE) -> T:
    """Wait until ``poll`` gives something; it is asked again at each such change of the job."""
    if (found := poll()) is not None:
        return found
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(changed.set)

    with core.watcher.watch(core.directory(job_id), change, wake):
        for pause in core.watcher.pauses():
            changed.clear()
            if (found := poll()) is not None:
                return found
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await changed.wait()
    raise AssertionError("unreachable: pauses never end")
