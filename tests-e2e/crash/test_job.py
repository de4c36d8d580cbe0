"""The job itself is killed at every step of its own, and just before it is executed: that is its end, and no loss."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.processes import job_processes
from crash.jobs import GREETING, Life, greet
from crash.processes import FORK_SERVER, SHIM, named
from crash.steps import each_step, turns
from crash.strace import KILL, STEPS, Step, at_step, steps_in
from jobworker_lib import Engine, State

SCRIPT = "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; /bin/true; done; exit 3"
_WRITE = re.compile(r"^write\([12], .* = (\d+)$", re.MULTILINE)


@turns
def test_job(turn: int, new_life: Callable[[], Life]) -> None:
    """It runs under strace, which dies as its child does."""

    def trial(step: Step | None) -> Life:
        life = new_life()
        options = [f"--trace={','.join(STEPS)}"]
        if step:
            options.append(f"--inject={step.call}:{KILL}:when={step.number}")
        with Engine(life.state_dir) as engine:
            job = engine.start(["strace", "-o", str(life.log), *options, "sh", "-c", SCRIPT])
            status = job.wait()
            assert status.state is State.EXITED
            assert (status.exit_code, status.signal) == ((None, 9) if step else (3, None))
            assert sum(len(chunk.data) for chunk in job.output()) == written_by(life.log), "all that it wrote is there"
            assert job_processes(job.id) == []
        return life

    steps = [step for step in steps_in(trial(None).log) if step.call != "execve"]  # that is strace's own
    each_step(turn, steps, trial)


@pytest.mark.parametrize("call", ["setsid", "execve"])
def test_process_that_is_to_become_the_job(call: str, new_life: Callable[[], Life]) -> None:
    life = new_life()
    with Engine(life.state_dir) as engine:
        greet(engine, life)
        step = Step(call, 1)
        fork_server, shim = named(FORK_SERVER, life.state_dir), named(SHIM, life.state_dir)
        with (  # another shim is forked where this one is not known to be idle yet
            at_step(fork_server, step, KILL, life.path / "other.log", follow=True),
            at_step(shim, step, KILL, life.log, follow=True),
        ):
            status = engine.start(GREETING.argv(life.runs)).wait()
        assert (status.state, status.exit_code, status.signal) == (State.EXITED, None, 9)
        assert job_processes(status.id) == []
        greet(engine, life)


def written_by(log: Path) -> int:
    """Bytes of output that a process has written, as strace saw it."""
    return sum(map(int, _WRITE.findall(log.read_text())))
