"""The shim is killed at every step of its job's life; so are the fork server and the job itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from conformance.processes import holders, wait_until
from crash.invariants import check
from crash.jobs import LIVES, Kind, Life, greet, live
from crash.steps import each_step, turns
from crash.strace import KILL, STEPS, Step, at_step, steps_in, watching
from jobworker_lib import Engine, EngineError

kinds = pytest.mark.parametrize("kind", LIVES, ids=lambda kind: kind.name)

# Looking for the processes of a tree opens hundreds of files that are nobody's steps.
QUIET_STEPS = tuple(call for call in STEPS if call not in ("openat", "close"))


def named(name: str, state_dir: Path) -> int:
    """The one process of an engine with this name."""
    found: list[int] = []

    def is_there() -> bool:
        found[:] = [pid for pid in holders(state_dir) if comm(pid) == name]
        return len(found) == 1

    wait_until(is_there, f"one {name}")
    return found[0]


def comm(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


@turns
@kinds
def test_shim(kind: Kind, turn: int, new_life: Callable[[], Life]) -> None:
    def trial(step: Step | None) -> Life:
        life = new_life()
        with Engine(life.state_dir) as engine:
            greet(engine, life)  # one shim is idle now
            shim = named("jobworker-shim", life.state_dir)
            strike = at_step(shim, step, KILL, life.log) if step else watching(shim, life.log, calls=calls)
            with strike, suppress(EngineError):
                live(engine, kind, life)
        check(life, may_be_lost=True)
        return life

    calls = QUIET_STEPS if kind.is_stopped or kind.name == "lingers" else STEPS
    each_step(turn, steps_in(trial(None).log), trial)


@turns
@kinds
def test_fork_server(kind: Kind, turn: int, new_life: Callable[[], Life]) -> None:
    def trial(step: Step | None) -> Life:
        life = new_life()
        with Engine(life.state_dir) as engine:
            greet(engine, life)
            pid = named("jobworker-fork", life.state_dir)
            with at_step(pid, step, KILL, life.log) if step else watching(pid, life.log):
                live(engine, kind, life)
        check(life)
        return life

    each_step(turn, steps_in(trial(None).log), trial)
