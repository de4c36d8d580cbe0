"""The index is damaged at every step of a program that uses it: it is derived, so nothing is lost with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from conformance.processes import PATIENCE_SECONDS, wait_until
from crash.invariants import check
from crash.jobs import LIVES, Life
from crash.steps import each_step, turns
from crash.strace import STEPS, STOP, Step, at_step, stands_still, steps_in, watching
from crash.test_owner import go_on, owner


def overwrite(index: Path) -> None:
    index.write_bytes(b"this is no database" * 1000)


def empty(index: Path) -> None:
    index.write_bytes(b"")


def cut(index: Path) -> None:
    os.truncate(index, index.stat().st_size // 2)


def remove(index: Path) -> None:
    for path in index.parent.glob("index.db*"):
        path.unlink()


def remove_log(index: Path) -> None:
    index.with_name("index.db-wal").unlink()


def replace_by_directory(index: Path) -> None:
    index.unlink()
    index.mkdir()
    (index / "file").touch()


DAMAGES = (overwrite, empty, cut, remove, remove_log, replace_by_directory)


@turns
@pytest.mark.parametrize("damage", DAMAGES)
def test_index_is_damaged(damage: Callable[[Path], None], turn: int, new_life: Callable[[], Life]) -> None:
    """The program goes on as if nothing had happened, and so do those that come after it."""

    def trial(step: Step | None) -> Life:
        life = new_life()
        with owner(life, LIVES[0]) as process, ThreadPoolExecutor() as pool:
            pid = process.pid
            with at_step(pid, step, STOP, life.log) if step else watching(pid, life.log, calls=STEPS):
                going = pool.submit(go_on, process, life)
                wait_until(lambda: going.done() or stands_still(life.log), "the step")
                if not going.done():
                    with suppress(FileNotFoundError):  # it is not there yet
                        damage(life.state_dir / "index.db")
                    os.kill(pid, signal.SIGCONT)
                going.result(PATIENCE_SECONDS)
        assert process.returncode == 0
        check(life)
        return life

    each_step(turn, steps_in(trial(None).log), trial, rarer=12)
