"""The shim is killed at every step of its job's life, and so is the fork server."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crash.invariants import check
from crash.jobs import LIVES, Kind, Life, greet, live
from crash.processes import FORK_SERVER, SHIM, named
from crash.steps import each_step, turns
from crash.strace import KILL, STEPS, Step, at_step, steps_in, watching
from jobworker_lib import Engine

kinds = pytest.mark.parametrize("kind", LIVES, ids=str)

# Looking for the processes of a tree opens hundreds of files that are nobody's steps.
QUIET_STEPS = tuple(call for call in STEPS if call not in ("openat", "close"))


@turns
@kinds
def test_shim(kind: Kind, turn: int, new_life: Callable[[], Life]) -> None:
    def trial(step: Step | None) -> Life:
        life = new_life()
        with Engine(life.state_dir) as engine:
            greet(engine, life)  # one shim is idle now
            shim = named(SHIM, life.state_dir)
            strike = at_step(shim, step, KILL, life.log) if step else watching(shim, life.log, calls=calls)
            with strike:
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
            pid = named(FORK_SERVER, life.state_dir)
            with at_step(pid, step, KILL, life.log) if step else watching(pid, life.log):
                live(engine, kind, life)
        check(life)
        return life

    each_step(turn, steps_in(trial(None).log), trial)
