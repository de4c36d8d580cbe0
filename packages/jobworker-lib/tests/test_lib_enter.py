"""The forked way to execute a command, which any limit of the job's own processes takes."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from jobworker_lib import (
    CommandNotExecutableError,
    CommandNotFoundError,
    Engine,
    InvalidArgumentError,
    LimitNotEnforceableError,
    Limits,
    TerminalSize,
    WorkingDirectoryError,
)
from jobworker_lib.job.limits import IoLimit
from jobworker_lib.job.start_errors import StepError
from jobworker_lib.shim.enter import Command, enter
from lib_testing import sh

FORKED = Limits(core_size_bytes=0)
FINE = IoLimit(write_bytes_per_second=1)


def test_limits_of_each_process_hold(engine: Engine) -> None:
    limits = Limits(open_files=50, core_size_bytes=0, nice=5)
    result = engine.run(sh("ulimit -n; ulimit -Hn; ulimit -c; nice; pwd"), limits=limits, cwd="/usr")
    assert result.stdout.split() == [b"50", b"50", b"0", b"5", b"/usr"]
    assert result.status.limits == limits


def test_a_file_grows_to_the_limit_and_no_further(engine: Engine, tmp_path: Path) -> None:
    command = ["dd", "if=/dev/zero", "bs=1000", "count=20", f"of={tmp_path}/file"]
    result = engine.run(command, limits=Limits(file_size_bytes=10_000))
    assert result.status.signal == signal.SIGXFSZ
    assert (tmp_path / "file").stat().st_size == 10_000
    assert engine.run(command).exit_code == 0
    assert (tmp_path / "file").stat().st_size == 20_000


def test_more_open_files_than_may_be_are_refused_by_name(engine: Engine) -> None:
    with pytest.raises(LimitNotEnforceableError) as caught:
        engine.start(["true"], limits=Limits(open_files=1 << 40))
    assert caught.value.limit == "open_files"


def test_niceness_counts_in_the_session_too(engine: Engine) -> None:
    if not Path("/proc/self/autogroup").exists():
        pytest.skip("this kernel does not group processes by sessions")
    assert b"nice 7" in engine.run(["cat", "/proc/self/autogroup"], limits=Limits(nice=7)).stdout


def test_a_start_fails_as_one_without_limits_does(engine: Engine, tmp_path: Path) -> None:
    for argv, cwd, error in (
        (["no-such-command"], "/", CommandNotFoundError),
        (["/no/such/command"], "/", CommandNotFoundError),
        (["/etc/passwd"], "/", CommandNotExecutableError),
        (["true"], str(tmp_path / "missing"), WorkingDirectoryError),
    ):
        told = []
        for limits in (None, FORKED):
            with pytest.raises(error) as caught:
                engine.start(argv, cwd=cwd, limits=limits)
            told.append(str(caught.value))
        assert told[0] == told[1]


def test_a_job_inherits_no_more_than_one_without_limits(engine: Engine) -> None:
    script = (
        "ls -l /proc/self/fd | grep -c pipe; grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status; ps -o sid= -p $$; echo $$"
    )
    bare, forked = (engine.run(sh(script), limits=limits).stdout.split() for limits in (None, FORKED))
    assert forked[:-2] == bare[:-2]
    assert forked[-2] == forked[-1]  # it leads a session


def test_a_terminal_is_the_controlling_one(engine: Engine) -> None:
    result = engine.run(sh("test -t 0 && echo ok > /dev/tty"), limits=FORKED, terminal=TerminalSize(24, 80))
    assert (result.stdout.strip(), result.exit_code) == (b"ok", 0)


def test_the_step_that_fails_is_told_by_name() -> None:
    def fail() -> None:
        raise OSError(errno.EXDEV, "cross-device")

    forked = []

    def fork() -> int:
        forked.append(os.fork())
        return forked[-1]

    command = Command(("true",), {"PATH": "/bin:/usr/bin"}, (0, 1, 2))
    with pytest.raises(StepError) as caught:
        enter(command, [("first", lambda: None), ("second", fail), ("third", lambda: None)], fork)
    assert (caught.value.step, caught.value.errno) == ("second", errno.EXDEV)
    with pytest.raises(ChildProcessError):
        os.waitpid(forked[0], os.WNOHANG)  # it was reaped


@pytest.mark.parametrize(
    ("field", "limits"),
    [
        ("limits.memory_bytes", Limits(memory_bytes=0)),
        ("limits.memory_bytes", Limits(memory_bytes=1.5)),  # type: ignore[arg-type]  # what programs without mypy give
        ("limits.memory_bytes", Limits(memory_bytes=1 << 63)),
        ("limits.memory_high_bytes", Limits(memory_bytes=1, memory_high_bytes=2)),
        ("limits.swap_bytes", Limits(swap_bytes=-1)),
        ("limits.cpus", Limits(cpus=0)),
        ("limits.cpus", Limits(cpus=float("nan"))),
        ("limits.cpus", Limits(cpus=float("inf"))),
        ("limits.cpus", Limits(cpus=True)),
        ("limits.cpu_weight", Limits(cpu_weight=10_001)),
        ("limits.pids", Limits(pids=0)),
        ("limits.pids", Limits(pids=(1 << 22) + 1)),
        ("limits.open_files", Limits(open_files=0)),
        ("limits.file_size_bytes", Limits(file_size_bytes=-1)),
        ("limits.core_size_bytes", Limits(core_size_bytes=-1)),
        ("limits.nice", Limits(nice=20)),
        ("limits.nice", Limits(nice=-21)),
        ("limits.io[0]", Limits(io=(IoLimit(device="/dev/sda"),))),
        (
            "limits.io[1].read_bytes_per_second",
            Limits(io=(IoLimit(write_bytes_per_second=1), IoLimit(read_bytes_per_second=0))),
        ),
        ("limits.io[0].device", Limits(io=(IoLimit(device="a\0b", write_bytes_per_second=1),))),
        ("limits.io", Limits(io=(FINE, FINE))),
    ],
    ids=repr,
)
def test_values_that_no_limit_has_are_refused(engine: Engine, field: str, limits: Limits) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        engine.start(["true"], limits=limits)
    assert caught.value.field == field
    assert len(engine.list()) == 0
