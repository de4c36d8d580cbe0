"""On this host, where its cgroups are of version 1."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobworker_lib import Engine
from jobworker_lib.cgroup import place
from limits import disks, memory, processes, processors, scenarios
from limits.runner import Order, run
from limits.scenarios import EVERYWHERE
from limits.table import USER, given_cgroups
from limits.tools import MIB, Machine, Scenario

LACKING = (
    ("kernel_log", memory.the_killed_is_named_without_the_kernels_log),
    ("unified", processes.nothing_is_left_of_a_job_whose_shim_is_killed),
    ("unified", processes.a_fork_bomb_and_a_memory_hog_leave_others_alone),
    ("unified freezer", processes.nothing_is_left_of_a_job_whose_shim_is_killed),
    ("unified freezer", processes.a_fork_bomb_and_a_memory_hog_leave_others_alone),
)
DELEGATED = (
    processes.is_in_its_cgroup_before_it_is_executed,
    memory.too_much_memory_is_told_as_such,
    processes.forks_are_refused,
    disks.reads_are_slowed_down,
    processes.a_job_ends_at_its_timeout,
    processes.usage_is_told_while_it_runs,
    processes.nothing_is_left_of_a_job_whose_shim_is_killed,
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "state") as engine:
        yield engine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    here = place.find()
    missing = {"memory", "cpu", "cpuacct", "pids", "blkio"} - here.parents.keys()
    if here.version != 1 or missing:
        pytest.skip(f"here the cgroups are of version {here.version}, and without {', '.join(missing) or 'nothing'}")
    file = tmp_path / "file"
    file.write_bytes(os.urandom(16 * MIB))
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    return Machine(version=1, disk=str(file), scratch=None)


@pytest.mark.parametrize("scenario", EVERYWHERE, ids=lambda scenario: scenario.__name__)
def test_on_this_host(scenario: Scenario, engine: Engine, machine: Machine) -> None:
    scenario(engine, machine)


@pytest.mark.parametrize(("hidden", "scenario"), LACKING, ids=lambda value: value if isinstance(value, str) else None)
def test_on_a_host_that_lacks_something(hidden: str, scenario: Scenario, machine: Machine, tmp_path: Path) -> None:
    name = scenario.__name__
    order = Order(scenarios=(name,), state_dir=str(tmp_path / "state"), disk=machine.disk, hidden=tuple(hidden.split()))
    told = run(order)
    assert not told[name]["failure"], told[name]["failure"]


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root, and setpriv (util-linux)")
@pytest.mark.parametrize("scenario", DELEGATED, ids=lambda scenario: scenario.__name__)
def test_as_a_user_to_whom_cgroups_were_given(scenario: Scenario, machine: Machine, tmp_path: Path) -> None:
    name, home = scenario.__name__, tmp_path / "home"
    home.mkdir()
    for path in (home, Path(machine.disk)):
        os.chown(path, USER, USER)
    with given_cgroups() as parent:
        order = Order(scenarios=(name,), state_dir=str(home / "state"), disk=machine.disk, parent=parent)
        # It may read what only root can, for Python may be there.
        through = f"setpriv --reuid={USER} --regid={USER} --clear-groups --inh-caps=-all,+dac_read_search"
        told = run(order, [*through.split(), "--ambient-caps=-all,+dac_read_search", "env", f"HOME={home}"])
    assert not told[name]["failure"], told[name]["failure"]


def test_no_scenario_is_forgotten() -> None:
    modules = (disks, memory, processes, processors)
    found = {name for module in modules for name, value in vars(module).items() if "engine" in _arguments(value)}
    assert scenarios.ALL.keys() == {name for name in found if not name.startswith("_")}


def _arguments(value: object) -> tuple[str, ...]:
    code = getattr(value, "__code__", None)
    return code.co_varnames[: code.co_argcount] if code else ()
