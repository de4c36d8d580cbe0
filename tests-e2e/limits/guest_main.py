"""Runs all scenarios in the guest, one after the other, and leaves what became of each in a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jobworker_lib import Engine
from limits import hiding
from limits.guest.boot import DISK
from limits.scenarios import EVERYWHERE, IN_VERSION_2, WITHOUT_KERNEL_LOG, Machine, Scenario
from limits.table import COLUMNS, EXAMINED, USER, examined, examined_without_root

DELEGATED = "without_root_in_a_delegated_cgroup"
REFUSED = "without_root_and_delegation"
_WITHOUT_ROOT = """
import os, sys
from jobworker_lib import Engine, LimitNotEnforceableError, Limits, Reason
from limits import scenarios
if sys.argv[2]:
    with open(f"/sys/fs/cgroup/{sys.argv[2]}/cgroup.procs", "w") as file:
        file.write("0")
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
machine = scenarios.Machine(version=2, disk="", scratch=None)
with Engine(sys.argv[1]) as engine:
    if sys.argv[2]:
        scenarios.is_in_its_cgroup_before_it_is_executed(engine, machine)
        scenarios.too_much_memory_is_told_as_such(engine, machine)
        scenarios.the_killed_is_named_without_the_kernels_log(engine, machine)
        scenarios.forks_are_refused(engine, machine)
    else:
        try:
            engine.run(["true"], limits=Limits(pids=10))
        except LimitNotEnforceableError as error:
            print(error)
            assert "Delegate=yes" in str(error), error
        else:
            raise AssertionError("it was not refused")
"""


def main() -> None:
    """Do so; the argument is the file to leave it in."""
    machine = Machine(version=2, disk=DISK, scratch=DISK)
    told: dict[str, dict[str, Any]] = {}

    def run(name: str, scenario: Scenario, engine: Engine) -> None:
        begin, failure = time.monotonic(), ""
        try:
            scenario(engine, machine)
        except Exception:  # noqa: BLE001 - whatever it is, it is told, and the others follow
            failure = traceback.format_exc()
        told[name] = {"failure": failure, "seconds": time.monotonic() - begin}
        Path(sys.argv[1]).write_text(json.dumps(told))

    with Engine("/tmp/state") as engine:  # the guest's own
        for scenario in (*EVERYWHERE, *IN_VERSION_2):
            run(scenario.__name__, scenario, engine)
        run(WITHOUT_KERNEL_LOG[0].__name__, lambda *_: _hiding("kernel_log", WITHOUT_KERNEL_LOG), engine)
        Path("/proc/sys/kernel/dmesg_restrict").write_text("1")  # as it is on many hosts
        run(DELEGATED, lambda *_: _without_root("delegated"), engine)
        run(REFUSED, lambda *_: _without_root(""), engine)
    _delegate("examined")
    into = "open('/sys/fs/cgroup/examined/cgroup.procs', 'w').write('0')\n"
    found = (examined(), examined_without_root(into), examined_without_root())
    told[EXAMINED] = dict(zip(COLUMNS, found, strict=False))
    Path(sys.argv[1]).write_text(json.dumps(told))


def _hiding(hidden: str, chosen: Iterable[Scenario]) -> None:
    """Run scenarios on a host that lacks something."""
    hiding.run([hidden], f"/tmp/state-{hidden}", DISK, [scenario.__name__ for scenario in chosen])


def _delegate(cgroup: str) -> None:
    """Give a new cgroup to the user, as systemd does."""
    directory = f"/sys/fs/cgroup/{cgroup}"
    os.mkdir(directory)
    for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
        os.chown(os.path.join(directory, name), USER, USER)


def _without_root(cgroup: str) -> None:
    state = f"/tmp/state-{cgroup}"  # the guest's own
    os.mkdir(state)
    os.chown(state, USER, USER)
    if cgroup:
        _delegate(cgroup)
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_ROOT, state, cgroup], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    main()
