"""The keeper of a queue is killed at every step of starting what is queued; whoever looks starts another."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crash.invariants import check
from crash.jobs import GREETING, KINDS, LABEL, Kind, Life, bring_to_end, start
from crash.processes import KEEPER, named
from crash.steps import each_step, turns
from crash.strace import KILL, Step, at_step, steps_in, watching
from jobworker_lib import Bounds, Engine, Job, State

BLOCKER = KINDS["is stopped"]


@turns
@pytest.mark.parametrize("kind", [KINDS["exits"], KINDS["fails"]], ids=str)
def test_keeper(kind: Kind, turn: int, new_life: Callable[[], Life]) -> None:
    def trial(step: Step | None) -> Life:
        life = new_life()

        def queued(start_it: Callable[[], Job]) -> Job:
            job = start_it()
            assert job.status().state is State.QUEUED
            life.told.started.append(job.id)
            return job

        with Engine(life.state_dir, bounds=Bounds(running=1)) as engine:
            blocker = engine.start(BLOCKER.argv(life.runs), labels={LABEL: BLOCKER.name})
            life.told.started.append(blocker.id)
            first = queued(lambda: start(engine, kind, life.runs))
            second = queued(lambda: engine.start(GREETING.argv(life.runs), labels={LABEL: GREETING.name}))
            keeper = named(KEEPER, life.state_dir)
            with at_step(keeper, step, KILL, life.log) if step else watching(keeper, life.log):
                for job, of_kind in ((blocker, BLOCKER), (first, kind), (second, GREETING)):
                    bring_to_end(job, of_kind)
                    life.told.ended[job.id] = repr(job.status())
        check(life)
        return life

    each_step(turn, steps_in(trial(None).log), trial)
