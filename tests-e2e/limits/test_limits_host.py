"""On this host, where its cgroups are of version 1."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobworker_lib import Engine
from jobworker_lib.cgroup import place
from limits import disks, memory, processes, processors, scenarios
from limits.runner import Order, run
from limits.scenarios import EVERYWHERE
from limits.tools import MIB, Machine, Scenario

LACKING = (
    ("kernel_log", memory.the_killed_is_named_without_the_kernels_log),
    ("unified", processes.nothing_is_left_of_a_job_whose_shim_is_killed),
    ("unified", processes.a_fork_bomb_and_a_memory_hog_leave_others_alone),
    ("unified freezer", processes.nothing_is_left_of_a_job_whose_shim_is_killed),
    ("unified freezer", processes.a_fork_bomb_and_a_memory_hog_leave_others_alone),
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


def test_no_scenario_is_forgotten() -> None:
    modules = (disks, memory, processes, processors)
    found = {name for module in modules for name, value in vars(module).items() if "engine" in _arguments(value)}
    assert scenarios.ALL.keys() == {name for name in found if not name.startswith("_")}


def _arguments(value: object) -> tuple[str, ...]:
    code = getattr(value, "__code__", None)
    return code.co_varnames[: code.co_argcount] if code else ()
