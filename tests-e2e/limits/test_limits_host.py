"""On this host, where its cgroups are of version 1."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobworker_lib import Engine
from jobworker_lib.cgroup import place
from limits import hiding, scenarios
from limits.scenarios import EVERYWHERE, MIB, Machine, Scenario


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


def test_without_the_kernels_log(machine: Machine, tmp_path: Path) -> None:
    hiding.run(["kernel_log"], str(tmp_path / "state"), machine.disk, ["the_killed_is_named_without_the_kernels_log"])


def test_no_scenario_is_forgotten() -> None:
    named = {name for name, value in vars(scenarios).items() if callable(value) and "engine" in _arguments(value)}
    assert {
        scenario.__name__ for scenario in (*EVERYWHERE, *scenarios.IN_VERSION_2, *scenarios.WITHOUT_KERNEL_LOG)
    } == {name for name in named if not name.startswith("_")}


def _arguments(value: object) -> tuple[str, ...]:
    code = getattr(value, "__code__", None)
    return code.co_varnames[: code.co_argcount] if code else ()
