"""Work that an interrupt can't cut in two.

A signal's handler may raise an exception, such as KeyboardInterrupt, between any two steps of the main thread, and what
they were about is then neither done nor undone. Other threads are never interrupted.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Uninterrupted(Generic[T]):
    """Something that is done as a whole or not at all, and afterwards it can be told which."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._outcome: Future[T] = Future()

    def result(self) -> T:
        """Do it and wait for it: what it gives or raises. An interrupt ends the waiting alone; to be called once."""
        threading.Thread(target=self._do, name="jobworker-uninterrupted").start()
        return self._outcome.result()

    def settle(self) -> T | None:
        """What it gave or raised, when it is done; None where it was not begun, and then it never is."""
        return None if self._outcome.cancel() else self._outcome.result()

    def _do(self) -> None:
        if not self._outcome.set_running_or_notify_cancel():
            return
        try:
            self._outcome.set_result(self._work())
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised where the result is asked for
            self._outcome.set_exception(error)
