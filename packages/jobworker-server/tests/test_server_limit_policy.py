"""Defaults and maxima of limits: from the configuration file to the job."""

from __future__ import annotations

import os
from typing import Any

import pytest
import yaml

from jobworker_lib import IoLimit, LimitNotEnforceableError, Limits
from jobworker_lib.cgroup import devices
from jobworker_server.errors import ConfigError, InvalidRequestError
from jobworker_server.limit_policy import LimitPolicy
from jobworker_server.limit_setting import limit_policy

MEBI = 1 << 20


def policy(text: str) -> LimitPolicy:
    return limit_policy(yaml.safe_load(text))


def test_all_that_can_be_said() -> None:
    found = policy("""
        default: {memory: 512M, memoryHigh: 400MiB, swap: 0, cpus: 1.5, cpuWeight: 50, pids: 100, openFiles: 1024,
                  fileSize: 1G, coreSize: 0, nice: 5,
                  timeout: 90, io: [{read: 50M, write: 20M}, {device: /srv, readOps: 100, writeOps: 50}]}
        max: {memory: 1G, cpus: 2, timeout: 1.5h}
    """)
    assert found.default == Limits(
        memory_bytes=512 * MEBI,
        memory_high_bytes=400 * MEBI,
        swap_bytes=0,
        cpus=1.5,
        cpu_weight=50,
        pids=100,
        open_files=1024,
        file_size_bytes=1024 * MEBI,
        core_size_bytes=0,
        nice=5,
        io=(
            IoLimit(read_bytes_per_second=50 * MEBI, write_bytes_per_second=20 * MEBI),
            IoLimit(device="/srv", read_operations_per_second=100, write_operations_per_second=50),
        ),
    )
    assert found.maximum == Limits(memory_bytes=1024 * MEBI, cpus=2)
    assert (found.default_timeout, found.maximum_timeout) == (90, 5400)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "limits must hold default, max or both"),
        ("{defaults: {}}", "limits must hold default, max or both"),
        ("{max: 5}", "limits.max must hold none but memory,"),
        ("{default: {ram: 5}}", "limits.default must hold none but memory,"),
        ("{max: {io: {read: 5M}}}", "limits.max.io: expected a list"),
        ("{max: {memory: much}}", "limits.max.memory: expected a size such as 512M or 1.5G, not 'much'"),
        ("{max: {memory: 0}}", "limits.max.memory: give a whole number, 1 or more"),
        ("{max: {cpus: '2'}}", "limits.max.cpus: expected a number of processors, such as 0.5, not '2'"),
        ("{max: {cpus: true}}", "limits.max.cpus: expected a number of processors"),
        ("{max: {pids: 1.5}}", "limits.max.pids: expected a whole number, not 1.5"),
        ("{max: {nice: 20}}", "limits.max.nice: give a whole number, -20 to 19"),
        ("{default: {cpuWeight: 0}}", "limits.default.cpuWeight: give a whole number"),
        ("{default: {io: {read: 5M}}}", "limits.default.io: expected a list"),
        ("{default: {io: [{reads: 5M}]}}", "io must hold none but device, read, write, readOps, writeOps"),
        ("{default: {io: [{device: sda}]}}", "io.device: expected an absolute path, not 'sda'"),
        ("{default: {pids: 10}, max: {pids: 5}}", "limits.default.pids goes beyond limits.max.pids"),
        ("{max: {timeout: soon}}", "limits.max.timeout: expected a time such as 90s, 30m or 8h, not 'soon'"),
        ("{max: {timeout: 0}}", "limits.max.timeout: expected more than no time, not 0"),
        ("{max: {timeout: -1}}", "limits.max.timeout: expected a time"),
        ("{default: {timeout: 2h}, max: {timeout: 1h}}", "limits.default.timeout goes beyond limits.max.timeout"),
        ("{default: {nice: 0}, max: {nice: 5}}", "limits.default.nice goes beyond limits.max.nice"),
    ],
)
def test_what_can_not_be_used_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policy(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("given", "asked", "holds"),
    [
        ("{}", {}, {}),
        ("{}", {"pids": 5}, {"pids": 5}),
        ("{default: {pids: 10}}", {}, {"pids": 10}),
        ("{default: {pids: 10}}", {"pids": 20}, {"pids": 20}),
        ("{max: {pids: 10}}", {}, {"pids": 10}),
        ("{max: {pids: 10}}", {"pids": 10}, {"pids": 10}),
        ("{default: {pids: 5}, max: {pids: 10}}", {}, {"pids": 5}),
        ("{default: {swap: 0}}", {}, {"swap_bytes": 0}),
        ("{max: {cpuWeight: 200}}", {}, {}),
        ("{max: {cpuWeight: 50}}", {}, {"cpu_weight": 50}),
        ("{max: {nice: -5}}", {}, {}),
        ("{max: {nice: 5}}", {}, {"nice": 5}),
        ("{max: {nice: 5}}", {"nice": 10}, {"nice": 10}),
        ("{max: {nice: 0}}", {}, {}),
        (
            "{default: {memoryHigh: 1M}}",
            {"memory_bytes": 2 * MEBI},
            {"memory_bytes": 2 * MEBI, "memory_high_bytes": MEBI},
        ),
        ("{default: {memoryHigh: 1M}}", {"memory_bytes": MEBI}, {"memory_bytes": MEBI}),
    ],
)
def test_what_holds_for_a_job(given: str, asked: dict[str, Any], holds: dict[str, Any]) -> None:
    assert policy(given).applied(Limits(**asked), "/") == Limits(**holds)


@pytest.mark.parametrize(
    ("given", "asked", "holds"),
    [
        ("{}", None, None),
        ("{}", 5, 5),
        ("{default: {timeout: 60}}", None, 60),
        ("{default: {timeout: 60}}", 1e9, 1e9),
        ("{max: {timeout: 60}}", None, 60),
        ("{max: {timeout: 60}}", 60, 60),
        ("{default: {timeout: 30}, max: {timeout: 60}}", None, 30),
    ],
)
def test_how_long_a_job_may_run(given: str, asked: float | None, holds: float | None) -> None:
    assert policy(given).applied_timeout(asked) == holds


def test_more_time_than_the_maximum_is_refused() -> None:
    found = policy("{max: {timeout: 90m}}")
    with pytest.raises(InvalidRequestError, match="timeout: this server allows jobs to run 90m at most"):
        found.applied_timeout(5400.1)
    with pytest.raises(InvalidRequestError, match="no_timeout: this server allows jobs to run 90m at most"):
        found.check_timeout("no_timeout", None)


@pytest.mark.parametrize(
    ("one", "other", "default", "most"),
    [
        ("{max: {timeout: 1h}}", "{}", None, 3600),
        ("{max: {timeout: 1h}}", "{max: {timeout: 2h}}", None, 3600),
        ("{max: {timeout: 1h}}", "{default: {timeout: 2h}}", 3600, 3600),
        ("{default: {timeout: 5m}}", "{default: {timeout: 9m}, max: {timeout: 1h}}", 540, 3600),
        ("{default: {timeout: 5m}}", "{max: {timeout: 1m}}", 60, 60),
    ],
)
def test_of_two_the_tighter_time_holds(one: str, other: str, default: float | None, most: float) -> None:
    both = policy(one).and_(policy(other))
    assert (both.default_timeout, both.maximum_timeout) == (default, most)


def test_devices_are_those_of_the_start_or_else_the_default() -> None:
    found = policy("{default: {io: [{read: 1M}]}}")
    own = (IoLimit(write_bytes_per_second=5),)
    assert found.applied(Limits(io=own), "/").io == own
    assert found.applied(Limits(), "/").io == (IoLimit(read_bytes_per_second=MEBI),)


@pytest.mark.parametrize(
    ("given", "asked", "problem"),
    [
        ("{max: {pids: 10}}", {"pids": 11}, "limits.pids: this server allows at most 10"),
        ("{max: {nice: 5}}", {"nice": 4}, "limits.nice: this server allows at least 5"),
        ("{max: {memory: 1M}}", {"memory_bytes": MEBI + 1}, "limits.memory_bytes: this server allows at most 1M"),
    ],
)
def test_more_than_the_maximum_is_refused(given: str, asked: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        policy(given).applied(Limits(**asked), "/")
    assert str(caught.value) == problem


@pytest.fixture
def disks() -> list[str]:
    """Those of this host, by their numbers."""
    if not (found := devices.all_disks()):
        pytest.skip("this host has no disk")
    return found


def test_the_maximum_without_a_device_holds_of_each_disk(disks: list[str]) -> None:
    found = policy("{max: {io: [{read: 1M}]}}").applied(Limits(), "/").io
    assert found == tuple(IoLimit(device=disk, read_bytes_per_second=MEBI) for disk in disks)


def test_the_maximum_of_a_device_holds_whether_it_is_named_or_not(disks: list[str]) -> None:
    """Whatever a start calls it; and several hold together, also those of a server and of a role."""
    disk, number = _some_disk(disks)
    bounds = policy(f"{{max: {{io: [{{device: {disk}, read: 1M, readOps: 50}}, {{read: 2M}}]}}}}")
    bounds = bounds.and_(policy("{max: {io: [{write: 3M}]}}"))
    bound = {
        "read_bytes_per_second": MEBI,
        "read_operations_per_second": 50,
        "write_bytes_per_second": 3 * MEBI,
    }
    (unnamed,) = [limit for limit in bounds.applied(Limits(), "/").io if limit.device == number]
    assert unnamed == IoLimit(device=number, **bound)
    for name in (disk, number):
        asked = IoLimit(device=name, read_bytes_per_second=5)
        first, *others = bounds.applied(Limits(io=(asked,)), "/").io
        assert first == IoLimit(device=name, **{**bound, "read_bytes_per_second": 5})
        assert number not in [other.device for other in others]
        with pytest.raises(InvalidRequestError) as caught:
            bounds.applied(Limits(io=(IoLimit(device=name, read_bytes_per_second=MEBI + 1),)), "/")
        assert str(caught.value) == "limits.io[0].read_bytes_per_second: this server allows at most 1048576"


def test_a_default_beyond_the_maximum_of_its_disk_is_cut(disks: list[str]) -> None:
    disk, _ = _some_disk(disks)
    bounds = policy(f"{{default: {{io: [{{device: {disk}, read: 5M}}]}}, max: {{io: [{{read: 1M}}]}}}}")
    assert bounds.applied(Limits(), "/").io[0] == IoLimit(device=disk, read_bytes_per_second=MEBI)


def test_a_maximum_of_what_is_no_disk_refuses_the_start() -> None:
    with pytest.raises(LimitNotEnforceableError):
        policy("{max: {io: [{device: /proc, read: 1M}]}}").applied(Limits(), "/")


def _some_disk(disks: list[str]) -> tuple[str, str]:
    """The path of a disk, and its numbers."""
    for number in disks:
        path = f"/dev/{os.path.basename(os.path.realpath(f'/sys/dev/block/{number}'))}"
        if os.path.exists(path):
            return path, number
    pytest.skip("this host has no path for its disks")
