"""What a job may use, and what it has used."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from conformance.jobs import SLEEPER, output_of, printed, python, refused, sh
from conformance.processes import wait_until
from conformance.subjects import RefusedError, Subject
from jobworker_lib import IoLimit, Limits, Usage

MEBI = 1 << 20

_HOG = """
held = []
while True:
    held.append(b"x" * (1 << 20))
"""
_FORKS = """
import os, time
children = 0
try:
    while children < 100:
        if os.fork() == 0:
            time.sleep(1000)
        children += 1
except BlockingIOError:
    print(children)
"""
_SPIN = """
import time
began = time.monotonic()
while time.process_time() < 1:
    pass
print(time.monotonic() - began)
"""


def start(subject: Subject, command: list[str], **limits: Any) -> str:
    """Start a job with limits that need a cgroup; skip the test on a host without."""
    try:
        return subject.start(command, limits=Limits(**limits))
    except RefusedError as error:
        if error.reason == "LIMIT_NOT_ENFORCEABLE":
            pytest.skip(f"this host can't enforce it: {error}")
        raise


@pytest.mark.parametrize(
    ("field", "limits"),
    [
        ("limits.memory_bytes", {"memory_bytes": 0}),
        ("limits.memory_high_bytes", {"memory_high_bytes": 0}),
        ("limits.cpus", {"cpus": float("nan")}),
        ("limits.cpus", {"cpus": 0.0}),
        ("limits.cpu_weight", {"cpu_weight": 10_001}),
        ("limits.pids", {"pids": 0}),
        ("limits.open_files", {"open_files": 0}),
        ("limits.nice", {"nice": 20}),
        ("limits.io[0]", {"io": (IoLimit(device="/"),)}),
        ("limits.io[0].read_bytes_per_second", {"io": (IoLimit(read_bytes_per_second=0),)}),
        ("limits.io", {"io": (IoLimit(read_bytes_per_second=1), IoLimit(write_bytes_per_second=1))}),
    ],
    ids=map(str, range(11)),
)
def test_what_can_be_no_limit_is_refused(subject: Subject, field: str, limits: dict[str, Any]) -> None:
    with refused("INVALID_ARGUMENT") as caught:
        subject.start(["true"], limits=Limits(**limits))
    assert caught.value.field == field
    assert not subject.list().statuses


def test_a_limit_that_can_not_be_enforced_is_refused(subject: Subject) -> None:
    """No host can: there is no disk below /proc."""
    with refused("LIMIT_NOT_ENFORCEABLE") as caught:
        subject.start(["true"], limits=Limits(io=(IoLimit(device="/proc", read_bytes_per_second=MEBI),)))
    assert "/proc" in str(caught.value)
    assert not subject.list().statuses


def test_limits_are_told(subject: Subject) -> None:
    limits = Limits(open_files=64, core_size_bytes=0, nice=3)
    job_id = subject.start(["true"], limits=limits)
    assert asdict(subject.status(job_id).limits) == asdict(subject.wait(job_id).limits) == asdict(limits)
    (listed,) = subject.list().statuses
    assert asdict(listed.limits) == asdict(limits)


def test_open_files(subject: Subject) -> None:
    job_id = subject.start(sh("ulimit -n; ulimit -Hn"), limits=Limits(open_files=33))
    assert printed(subject, job_id) == b"33\n33\n"


def test_a_process_that_opens_too_many_files(subject: Subject) -> None:
    script = "import os\nwhile True: os.open('/dev/null', os.O_RDONLY)"
    job_id = subject.start(python(script), limits=Limits(open_files=10))
    assert b"Too many open files" in b"".join(chunk.data for chunk in subject.output(job_id))
    assert subject.wait(job_id).exit_code == 1


def test_file_size(subject: Subject, tmp_path: Any) -> None:
    target = tmp_path / "file"
    job_id = subject.start(["dd", "if=/dev/zero", f"of={target}", "bs=1024"], limits=Limits(file_size_bytes=8192))
    status = subject.wait(job_id)
    assert (status.state, status.signal) == ("exited", 25)  # SIGXFSZ
    assert target.stat().st_size == 8192


def test_core_size(subject: Subject) -> None:
    job_id = subject.start(sh("ulimit -c; ulimit -Hc"), limits=Limits(core_size_bytes=0))
    assert printed(subject, job_id) == b"0\n0\n"


def test_niceness_of_the_whole_job(subject: Subject) -> None:
    command = sh("nice; sh -c nice")
    as_it_is = output_of(subject, command)
    job_id = subject.start(command, limits=Limits(nice=11))
    assert printed(subject, job_id) == b"11\n11\n"
    assert output_of(subject, command) == as_it_is, "the next job is as nice as the last one"


def test_a_job_that_needs_more_memory_is_out_of_memory(subject: Subject) -> None:
    job_id = start(subject, python(_HOG), memory_bytes=32 * MEBI)
    status = subject.wait(job_id)
    assert status.describe() == "exited (signal: 9, out of memory)"
    assert status.reason == "out_of_memory"
    assert status.usage
    assert status.usage.memory_peak_bytes
    assert status.usage.memory_peak_bytes <= 33 * MEBI
    if status.out_of_memory_process:
        assert "python" in status.out_of_memory_process


def test_a_job_can_not_have_more_processes(subject: Subject) -> None:
    job_id = start(subject, python(_FORKS), pids=7)
    assert printed(subject, job_id) == b"6\n"
    assert subject.wait(job_id).exit_code == 0


def test_a_job_with_a_quarter_of_a_processor_takes_four_times_as_long(subject: Subject) -> None:
    job_id = start(subject, python(_SPIN), cpus=0.25)
    assert float(printed(subject, job_id)) > 0.8 * 4
    usage = subject.wait(job_id).usage
    assert usage
    assert usage.cpu_throttled is not None  # on a busy host it may have been kept from running by others alone


def test_usage_while_it_runs_and_in_all(subject: Subject) -> None:
    job_id = subject.start(python("while True: pass"))

    def busy() -> bool:
        usage = subject.status(job_id).usage
        return usage is not None and usage.cpu_user is not None and usage.cpu_user > 0

    wait_until(busy, "CPU time in the job's usage")
    live = subject.status(job_id).usage
    assert live
    assert live.memory_bytes
    assert live.pids == 1
    status = subject.stop(job_id, force=True)
    assert status.usage
    assert status.usage.cpu_user
    assert status.usage.cpu_user > 0
    assert (status.usage.memory_bytes, status.usage.pids) == (None, None)
    assert status.usage == subject.status(job_id).usage
    subject.restart()
    assert subject.status(job_id).usage == status.usage


def test_usage_of_what_never_ran_is_not_known(subject: Subject) -> None:
    with refused("COMMAND_NOT_FOUND") as caught:
        subject.start(["no-such-command-anywhere"])
    assert caught.value.job_id
    usage = subject.status(caught.value.job_id).usage
    assert usage is None or asdict(usage) == asdict(replace(Usage(), **dict.fromkeys(_names(usage))))


def _names(usage: object) -> list[str]:
    return [field.name for field in fields(usage)]  # type: ignore[arg-type]  # one of two dataclasses


def test_limits_hold_for_each_job_alone(subject: Subject) -> None:
    """A shim serves one job after the other."""
    for number in range(3):
        job_id = subject.start(sh("ulimit -n"), limits=Limits(open_files=50 + number))
        assert printed(subject, job_id) == f"{50 + number}\n".encode()
    assert int(output_of(subject, sh("ulimit -n"))) > 52
    assert subject.status(subject.start(SLEEPER)).limits in (Limits(), type(subject.status(job_id).limits)())
