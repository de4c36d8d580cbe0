"""The program that owns an engine is killed at every step of it: of opening, starting, reading, deleting, closing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conformance.processes import PATIENCE_SECONDS
from crash.invariants import check
from crash.jobs import LIVES, Kind, Life
from crash.steps import each_step, turns
from crash.strace import KILL, STEPS, Step, at_step, steps_in, watching

_HERE = Path(__file__).parent
_LIBRARY = _HERE.parents[1] / "packages" / "jobworker-lib"
_IMPORTS = (_HERE.parent, _LIBRARY / "src", _LIBRARY / "tests")


@contextmanager
def owner(life: Life, kind: Kind) -> Iterator[subprocess.Popen[str]]:
    """The program, before it does anything."""
    command = [sys.executable, str(_HERE / "owner.py"), str(life.state_dir), str(life.runs), kind.name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, _IMPORTS))}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            assert "ready" in process.stdout.readline()
            yield process
        finally:
            process.kill()


def go_on(process: subprocess.Popen[str], life: Life) -> None:
    """Let it go, until it has ended or is killed, and note what it said."""
    said, _ = process.communicate("\n", timeout=PATIENCE_SECONDS)
    told = life.told
    for line in said.splitlines():
        about = json.loads(line)
        match str(about["what"]):
            case "started":
                told.started.append(about["id"])
            case "ended":
                told.ended[about["id"]] = about["status"]
                told.output[about["id"]] = about["output"].encode()
            case "deleting":
                told.deleting.add(about["id"])
            case "deleted":
                told.deleted.append(about["id"])
            case _:  # closed
                assert about["what"] == "closed", line


@turns
@pytest.mark.parametrize("kind", [kind for kind in LIVES if kind.name in ("exits", "is stopped", "fails")], ids=str)
def test_owner(kind: Kind, turn: int, new_life: Callable[[], Life]) -> None:
    def trial(step: Step | None) -> Life:
        life = new_life()
        with owner(life, kind) as process:
            pid = process.pid
            with at_step(pid, step, KILL, life.log) if step else watching(pid, life.log, calls=STEPS):
                go_on(process, life)
        assert step or process.returncode == 0
        check(life)
        return life

    each_step(turn, steps_in(trial(None).log), trial)
