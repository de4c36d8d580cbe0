"""Runs scenarios in a process of its own: as another user, in another cgroup, or on a host that lacks something.

``python -m limits.runner ORDER`` prints what became of each, as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jobworker_lib import Engine
from jobworker_lib.cgroup import place
from limits import scenarios
from limits.hiding import hide
from limits.tools import Machine, Scenario

Told = dict[str, dict[str, Any]]
"""What became of scenarios, by name: ``failure``, empty where there is none, and ``seconds``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to run, and how."""

    scenarios: tuple[str, ...]
    state_dir: str
    disk: str
    scratch: str | None = None
    hidden: tuple[str, ...] = ()
    """What is hidden, see :mod:`.hiding`."""
    cgroup: str | None = None
    """The cgroup of version 2 to enter before."""
    user: int | None = None
    parent: str | None = None
    """The path of the cgroup that the engine is told to use."""


def run_here(chosen: Iterable[Scenario], engine: Engine, machine: Machine) -> Told:
    """Run scenarios in this process."""
    told: Told = {}
    for scenario in chosen:
        begin, failure = time.monotonic(), ""
        try:
            scenario(engine, machine)
        except Exception:  # noqa: BLE001 - whatever it is, it is told, and the others follow
            failure = traceback.format_exc()
        told[scenario.__name__] = {"failure": failure, "seconds": time.monotonic() - begin}
    return told


def run(order: Order, through: Sequence[str] = ()) -> Told:
    """Run scenarios as they are ordered, ``through`` a command that executes its arguments."""
    command = [*through, sys.executable, "-m", "limits.runner", json.dumps(asdict(order))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    told: Told = json.loads(done.stdout)
    return told


def become(user: int) -> None:
    """Run as a user without privileges from now on."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def main() -> None:
    """Do so."""
    order = Order(**json.loads(sys.argv[1]))
    hide(order.hidden)
    if order.cgroup is not None:
        Path("/sys/fs/cgroup", order.cgroup, "cgroup.procs").write_text("0")
    if order.user is not None:
        become(order.user)
    machine = Machine(version=place.find(order.parent).version, disk=order.disk, scratch=order.scratch)
    with Engine(order.state_dir, cgroup=order.parent) as engine:
        print(json.dumps(run_here((scenarios.ALL[name] for name in order.scenarios), engine, machine)))


if __name__ == "__main__":
    main()
