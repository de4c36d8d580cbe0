"""Runs scenarios in the guest, one after the other, and leaves what became of each in a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from jobworker_lib import Engine, LimitNotEnforceableError, Limits
from limits import disks, memory, processes, processors
from limits.runner import Order, Told, become, run, run_here
from limits.scenarios import EVERYWHERE, IN_VERSION_2, WITH_SWAP, WITHOUT_KERNEL_LOG
from limits.table import COLUMNS, EXAMINED, USER, examined, examined_without_root
from limits.tools import Machine, Scenario

IN_VERSION_1: tuple[Scenario, ...] = (
    processes.is_in_its_cgroup_before_it_is_executed,
    memory.too_much_memory_is_told_as_such,
    *WITH_SWAP,
    processes.forks_are_refused,
    disks.reads_are_slowed_down,
    processes.nothing_is_left_of_a_job_whose_shim_is_killed,
)
"""The host may be one that has version 1, and runs the rest then; it has no swap, and no test gives it any."""
DELEGATED: tuple[Scenario, ...] = (
    processes.is_in_its_cgroup_before_it_is_executed,
    memory.too_much_memory_is_told_as_such,
    *WITHOUT_KERNEL_LOG,
    *WITH_SWAP,
    processors.processor_time_is_bounded,
    processors.weights_share_a_processor,
    processes.forks_are_refused,
    disks.reads_are_slowed_down,
    disks.operations_of_reading_are_slowed_down,
    *IN_VERSION_2,
    processes.files_of_each_process_are_bounded,
    processes.core_dumps_are_bounded,
    processors.niceness_shares_a_processor,
    processes.a_job_ends_at_its_timeout,
    processes.nothing_is_left_of_a_job_whose_shim_is_killed,
)
WITHOUT_CLONE3: tuple[Scenario, ...] = (
    processes.is_in_its_cgroup_before_it_is_executed,
    memory.memory_of_a_child_ends_the_whole_job,
)
RESTARTED = "restarted_in_a_delegated_cgroup"
REFUSED = "without_root_and_delegation"


def names(version: int) -> list[str]:
    """What is told of all that runs in a guest with cgroups of a version."""
    if version == 1:
        return [scenario.__name__ for scenario in IN_VERSION_1]
    return [
        *(scenario.__name__ for scenario in (*EVERYWHERE, *IN_VERSION_2, *WITH_SWAP)),
        *(f"{scenario.__name__}, kernel_log hidden" for scenario in WITHOUT_KERNEL_LOG),
        *(f"{scenario.__name__}, clone3 hidden" for scenario in WITHOUT_CLONE3),
        *(f"{scenario.__name__}, delegated" for scenario in DELEGATED),
        RESTARTED,
        REFUSED,
    ]


def main() -> None:
    """Do so; the arguments are the version, the file to leave it in, and three disks."""
    version, results = int(sys.argv[1]), Path(sys.argv[2])
    disk, swap, other_disk = sys.argv[3:]
    told: Told = {}

    def note(found: Told, suffix: str = "") -> None:
        told.update({f"{name}{suffix}": result for name, result in found.items()})
        results.write_text(json.dumps(told))

    machine = Machine(version=version, disk=disk, scratch=disk)
    subprocess.run(["mkswap", swap], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["swapon", swap], check=True)
    with Engine("/tmp/state") as engine:  # the guest's own
        for scenario in IN_VERSION_1 if version == 1 else (*EVERYWHERE, *IN_VERSION_2, *WITH_SWAP):
            note(run_here([scenario], engine, machine))
    if version == 2:
        _vary(note, disk, other_disk)
        _delegate("examined")
        into = "open('/sys/fs/cgroup/examined/cgroup.procs', 'w').write('0')\n"
        found = (examined(), examined_without_root(into), examined_without_root())
        told[EXAMINED] = dict(zip(COLUMNS, found, strict=False))
        results.write_text(json.dumps(told))


def _vary(note: Callable[..., None], disk: str, other_disk: str) -> None:
    """The same on other hosts, and as another user."""
    for what, chosen in (("kernel_log", WITHOUT_KERNEL_LOG), ("clone3", WITHOUT_CLONE3)):
        note(run(replace(_order(what, chosen, 0, disk), hidden=(what,))), f", {what} hidden")
    Path("/proc/sys/kernel/dmesg_restrict").write_text("1")  # as it is on many hosts
    _delegate("delegated")
    # A disk of its own: what is written to a file may count for the cgroup that has written to it before.
    os.chown(other_disk, USER, USER)
    note(run(replace(_order("delegated", DELEGATED, USER, other_disk), cgroup="delegated")), ", delegated")
    note({RESTARTED: {"failure": _not_restarted()}})
    note({REFUSED: {"failure": _not_refused()}})


def _not_restarted() -> str:
    """What is wrong where an engine without privileges dies and is started again while a job runs, as by systemd."""
    _delegate("restarted")
    os.setxattr("/sys/fs/cgroup/restarted", "user.delegate", b"1")
    _order("restarted", (), USER, "")
    told = ""
    for act in ("first", "second"):
        command = [sys.executable, "-m", "limits.restart", act, "restarted", str(USER)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        told += done.stdout + done.stderr if done.returncode else ""
    return told


def _order(name: str, chosen: tuple[Scenario, ...], user: int, disk: str) -> Order:
    state_dir = f"/tmp/state-{name}"  # the guest's own
    os.mkdir(state_dir)
    os.chown(state_dir, user, user)
    names = tuple(scenario.__name__ for scenario in chosen)
    return Order(scenarios=names, state_dir=state_dir, disk=disk, scratch=disk, user=user or None)


def _delegate(cgroup: str) -> None:
    """Give a new cgroup to the user, as systemd does."""
    Path("/sys/fs/cgroup/cgroup.subtree_control").write_text("+memory +cpu +pids +io")
    directory = f"/sys/fs/cgroup/{cgroup}"
    os.mkdir(directory)
    for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
        os.chown(os.path.join(directory, name), USER, USER)


def _not_refused() -> str:
    """What is wrong where a user without privileges, in a cgroup of others, gets a limit; nothing where it doesn't."""
    child = os.fork()  # no engine is open here
    if child == 0:
        become(USER)
        try:
            with Engine("/tmp/state-refused") as engine:
                engine.run(["true"], limits=Limits(pids=10))
        except LimitNotEnforceableError as error:
            os._exit("Delegate=yes" not in str(error))
        os._exit(2)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {0: "", 1: "the message does not say what would help"}.get(status, "it was not refused")


if __name__ == "__main__":
    main()
