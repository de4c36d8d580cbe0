"""What the doctor tells of this host is what a start finds."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields

import pytest

from jobworker_lib import Engine, Isolation, LimitNotEnforceableError, Limits, doctor


@pytest.fixture(scope="module")
def findings() -> list[doctor.Finding]:
    return list(doctor.examine())


def test_each_limit_and_each_part_of_the_isolation_is_told(findings: list[doctor.Finding]) -> None:
    names = {(finding.kind, re.split("[:,]", finding.name)[0]) for finding in findings}
    assert {name for kind, name in names if kind == "limit"} == {limit.name for limit in fields(Limits)}
    expected = {part.name for part in fields(Isolation)} - {"writable", "kept_capabilities"} | {"all", "user"}
    assert {name for kind, name in names if kind == "isolation"} == expected


@pytest.mark.parametrize("name", [name for name in doctor._LIMITS if not name.startswith("io")])
def test_what_it_says_of_a_limit_is_what_a_start_finds(
    engine: Engine, findings: list[doctor.Finding], name: str
) -> None:
    (problem,) = [finding.problem for finding in findings if (finding.kind, finding.name) == ("limit", name)]
    limits = doctor._LIMITS[name]
    if problem is None:
        assert engine.start(["true"], limits=limits).wait().exit_code == 0
    else:
        with pytest.raises(LimitNotEnforceableError) as caught:
            engine.start(["true"], limits=limits)
        assert caught.value.problem == problem


def test_a_cgroup_that_is_not_there_is_told_once() -> None:
    told = doctor.report("/no-such-cgroup")
    assert "  NO   memory_bytes\n" in told
    (problem,) = re.findall(r"  - memory_bytes; .*(?:\n    .*)*", told)
    assert "no-such-cgroup" in problem.replace("\n    ", "")


def test_command() -> None:
    command = [sys.executable, "-m", "jobworker_lib"]
    before = doctor.report()  # other tests make cgroups meanwhile, and remove them
    told = subprocess.run([*command, "doctor"], check=True, capture_output=True, text=True, timeout=60).stdout
    assert told in (f"{before}\n", f"{doctor.report()}\n")
    wrong = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (wrong.returncode, wrong.stdout) == (2, "")
