"""The disk fills at every step: for one call, and for good until there is space again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from conformance.processes import PATIENCE_SECONDS, wait_until
from crash.invariants import check
from crash.jobs import LIVES, Kind, Life, greet, live
from crash.processes import SHIM, named
from crash.steps import each_step, turns
from crash.strace import DISK_FULL, STEPS, STOP, Step, at_step, stands_still, steps_in, watching
from crash.test_owner import go_on, owner
from jobworker_lib import Engine, EngineError

_FULL_FOR_SECONDS = 0.5
"""How long the disk stays full, unless all is over before."""

kinds = pytest.mark.parametrize("kind", [kind for kind in LIVES if kind.name in ("exits", "talks")], ids=str)
needs_mount = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="only root can mount a small filesystem"
)

# What takes space. Not opening, for a file that is only read is never refused for want of it; nor renaming what has
# its name in the same directory already.
TAKES_SPACE = ("write", "pwrite64", "splice", "?mkdir", "mkdirat", "bind")


@turns
@kinds
def test_shim_is_refused_a_call(kind: Kind, turn: int, new_life: Callable[[], Life]) -> None:
    """The job waits and goes on, or is not started at all."""

    def trial(step: Step | None) -> Life:
        life = new_life()
        with Engine(life.state_dir) as engine:
            greet(engine, life)
            pid = named(SHIM, life.state_dir)
            calls = TAKES_SPACE[1:]  # it has the room for the record of a start before it executes anything
            strike = at_step(pid, step, DISK_FULL, life.log) if step else watching(pid, life.log, calls=calls)
            with strike, suppress(EngineError):
                live(engine, kind, life)
        check(life)
        return life

    each_step(turn, steps_in(trial(None).log), trial)


@turns
def test_owner_is_refused_a_call(turn: int, new_life: Callable[[], Life]) -> None:
    """It may give up, as any program may that is refused a start."""

    def trial(step: Step | None) -> Life:
        life = new_life()
        with owner(life, LIVES[0]) as process:
            pid = process.pid
            with at_step(pid, step, DISK_FULL, life.log) if step else watching(pid, life.log, calls=TAKES_SPACE):
                go_on(process, life)
        check(life)
        return life

    each_step(turn, steps_in(trial(None).log), trial, rarer=2)


@needs_mount
@turns
@kinds
def test_disk_fills_while_a_shim_works(kind: Kind, turn: int, new_life: Callable[[], Life]) -> None:
    def trial(step: Step | None) -> Life:
        life = new_life()
        with small_disk(life.state_dir), ThreadPoolExecutor() as pool:
            with Engine(life.state_dir) as engine:
                greet(engine, life)
                pid = named(SHIM, life.state_dir)
                strike = at_step(pid, step, STOP, life.log) if step else watching(pid, life.log, calls=STEPS)
                with strike:
                    living = pool.submit(live, engine, kind, life)
                    fill_when_stopped(pid, life, living)
                    with suppress(EngineError):
                        living.result(PATIENCE_SECONDS)
            check(life)
        return life

    each_step(turn, steps_in(trial(None).log), trial, rarer=2)


@needs_mount
@turns
def test_disk_fills_while_an_owner_works(turn: int, new_life: Callable[[], Life]) -> None:
    def trial(step: Step | None) -> Life:
        life = new_life()
        with small_disk(life.state_dir), ThreadPoolExecutor() as pool:
            with owner(life, LIVES[0]) as process:
                pid = process.pid
                strike = at_step(pid, step, STOP, life.log) if step else watching(pid, life.log, calls=STEPS)
                with strike:
                    going = pool.submit(go_on, process, life)
                    fill_when_stopped(pid, life, going)
                    going.result(PATIENCE_SECONDS)
            check(life)
        return life

    each_step(turn, steps_in(trial(None).log), trial, rarer=8)


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """A filesystem of 4 MiB; a state directory is at its root, and its output leaves nothing free: it meets the end."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(path)], check=True)
    (path / "reserve").write_text("0")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill_when_stopped(pid: int, life: Life, going: Future[None]) -> None:
    """When the process stands still at its step, fill the disk and let it go on; after a while there is space again."""
    wait_until(lambda: going.done() or stands_still(life.log), "the step")
    if going.done():
        return
    ballast = life.state_dir / "ballast"
    _fill(ballast)
    os.kill(pid, signal.SIGCONT)
    with suppress(TimeoutError, EngineError):
        going.result(_FULL_FOR_SECONDS)
    ballast.unlink()


def _fill(ballast: Path) -> None:
    about = os.statvfs(ballast.parent)
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        file.write(bytes(about.f_bavail * about.f_frsize))
        while True:
            file.write(b"x" * 512)
