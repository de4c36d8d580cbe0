"""What is done uninterrupted is done as a whole, or never."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import NoReturn

import pytest

from jobworker_lib.interruption import Uninterrupted
from lib_testing import PATIENCE_SECONDS


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Also where the tests were started with SIGINT ignored, as by a shell in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_gives_what_the_work_gives() -> None:
    work = Uninterrupted(lambda: 7)
    assert work.result() == 7
    assert work.settle() == 7


def test_raises_what_the_work_raises() -> None:
    def fail() -> NoReturn:
        raise LookupError("as it was")

    work = Uninterrupted(fail)
    with pytest.raises(LookupError, match="as it was"):
        work.result()
    with pytest.raises(LookupError, match="as it was"):
        work.settle()


def test_interrupt_ends_the_waiting_alone() -> None:
    released = threading.Event()

    def work_that_is_interrupted() -> int:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        assert released.wait(PATIENCE_SECONDS)
        return 7

    work = Uninterrupted(work_that_is_interrupted)
    with pytest.raises(KeyboardInterrupt):
        work.result()
    released.set()
    assert work.settle() == 7


def test_what_was_not_begun_never_is() -> None:
    done: list[int] = []
    work = Uninterrupted(lambda: done.append(1))
    assert work.settle() is None
    work._do()
    assert done == []
