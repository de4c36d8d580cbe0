"""What the doctor tells of this host is what a start finds."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest

from jobworker_lib import Engine, Isolation, LimitNotEnforceableError, Limits, doctor


@pytest.fixture(scope="module")
def findings() -> list[doctor.Finding]:
    return list(doctor.examine())


def test_each_limit_and_each_part_of_the_isolation_is_told(findings: list[doctor.Finding]) -> None:
    names = {(finding.kind, finding.name.partition(" (")[0]) for finding in findings}
    assert {name for kind, name in names if kind == "limits"} == {limit.name for limit in fields(Limits)}
    lists = {"writable", "hidden", "kept_capabilities"}
    expected = {part.name for part in fields(Isolation)} - lists | {"all of it", "user"}
    assert {name for kind, name in names if kind == "isolation"} == expected


@pytest.mark.parametrize("name", doctor._LIMITS)
def test_what_it_says_of_a_limit_is_what_a_start_finds(
    engine: Engine, findings: list[doctor.Finding], name: str
) -> None:
    (problem,) = [finding.problem for finding in findings if (finding.kind, finding.name) == ("limits", name)]
    limits = doctor._LIMITS[name]
    if problem is None:
        assert engine.start(["true"], cwd="/", limits=limits).wait().exit_code == 0
    else:
        with pytest.raises(LimitNotEnforceableError) as caught:
            engine.start(["true"], cwd="/", limits=limits)
        assert caught.value.problem == problem


def test_a_cgroup_that_is_not_there_is_told_once() -> None:
    lines = list(doctor.report("/no-such-cgroup"))
    memory = next(line for line in lines if line.startswith("  memory_bytes"))
    assert memory.split()[1] == "no:"
    assert "no-such-cgroup" in memory
    assert any(line.split()[1:] == ["no,", "as", "memory_bytes"] for line in lines)


def test_command() -> None:
    command = [sys.executable, "-m", "jobworker_lib", "doctor"]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert told.splitlines() == list(doctor.report())
