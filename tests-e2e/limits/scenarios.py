"""Jobs that run into their limits, each beside the same job without the limit.

A scenario takes an engine and a machine, and asserts; it needs no test runner, so that it runs in the guest as well.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from jobworker_lib import Engine, IoLimit, Isolation, Job, JobNotRunningError, Limits, Reason, State, Usage

MIB = 1 << 20
Scenario = Callable[[Engine, "Machine"], None]

_PATIENCE_SECONDS = 60.0
_BUSY = """
import sys, time
begin, used = time.monotonic(), time.process_time()
while time.monotonic() < begin + float(sys.argv[1]):
    pass
print((time.process_time() - used) / (time.monotonic() - begin))
"""

_PINNED = """
import os, sys
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
print("ready", flush=True)
import time
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the scenarios need to know of where they run."""

    version: int
    """Of the cgroups."""
    disk: str
    """A block device, or a file on one, with 16 MiB to read."""
    scratch: str | None
    """A block device that may be written to."""

    def pids_of(self, job: Job) -> list[int]:
        """The processes in the cgroup of a job."""
        files = [Path(directory, "cgroup.procs") for directory in self.cgroups_of(job)]
        return sorted({int(pid) for file in files if file.exists() for pid in file.read_text().split()})

    def cgroups_of(self, job: Job) -> list[str]:
        """The directories that are the cgroup of a job."""
        return [path for path, _, _ in os.walk("/sys/fs/cgroup") if path.endswith(f"/jobworker-{job.id}")]


def python(script: str, *arguments: object) -> list[str]:
    """A Python script, of as few pages as there can be."""
    return [sys.executable, "-I", "-S", "-c", script, *map(str, arguments)]


def hog(mebibytes: int) -> list[str]:
    """A command that takes so much memory."""
    return python("import sys; held = b'x' * (int(sys.argv[1]) << 20)", mebibytes)


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Return as soon as the condition holds; fail where it does not for long."""
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at, f"{what} did not come true"
        time.sleep(0.05)


def _words(job: Job) -> list[bytes]:
    """What the job prints, when it has ended."""
    return b"".join(chunk.data for chunk in job.output()).split()


def usage_of(job: Job) -> Usage:
    """What a job has used."""
    usage = job.status().usage
    assert usage is not None
    return usage


def is_in_its_cgroup_before_it_is_executed(engine: Engine, machine: Machine) -> None:
    """The job is, and its shim is not."""
    script = "cat /proc/self/cgroup; echo =; cat /proc/$PPID/cgroup"
    result = engine.run(["sh", "-c", script], limits=Limits(pids=100))
    own, _, of_shim = result.stdout.decode().partition("\n=\n")
    name = f"/jobworker-{result.status.id}"
    assert own.count(name) >= (1 if machine.version == 2 else 4), own
    assert name not in of_shim, of_shim
    assert name not in engine.run(["cat", "/proc/self/cgroup"]).stdout.decode()


def too_much_memory_is_told_as_such(engine: Engine, _machine: Machine) -> None:
    """Killed, with the reason and the process that was killed."""
    limits = Limits(memory_bytes=16 * MIB)
    status = engine.run(hog(48), limits=limits).status
    assert (status.state, status.reason, status.signal) == (State.EXITED, Reason.OUT_OF_MEMORY, 9), status
    assert status.describe() == "exited (signal: 9, out of memory)"
    assert status.out_of_memory_process is not None
    assert status.out_of_memory_process.startswith("python"), status
    assert status.usage is not None
    peak = status.usage.memory_peak_bytes
    assert peak is None or 8 * MIB <= peak <= 16 * MIB, peak  # not before Linux 5.19 in version 2
    free = engine.run(hog(48)).status
    assert (free.reason, free.exit_code, free.out_of_memory_process) == (Reason.EXITED, 0, None), free
    assert engine.run(hog(2), limits=limits).exit_code == 0


def the_killed_is_named_without_the_kernels_log(engine: Engine, machine: Machine) -> None:
    """For sure where it was the only one, else as what it is likely to be."""
    limits = Limits(memory_bytes=16 * MIB)
    for isolation in (None, Isolation(pid=True)):
        job = engine.start(hog(48), limits=limits, isolation=isolation)
        (pid,) = machine.pids_of(job) or [0]
        told = job.wait().out_of_memory_process
        assert told is not None
        assert told.startswith("python"), told
        assert told.endswith(f"({pid})") or not pid, (told, pid)
        status = engine.run(
            ["sh", "-c", '"$@" & sleep 1000', "sh", *hog(48)], limits=limits, isolation=isolation
        ).status
        assert status.reason is Reason.OUT_OF_MEMORY, status
        assert "python" in (status.out_of_memory_process or ""), status
        if machine.version == 2:
            assert (status.out_of_memory_process or "").startswith("probably python"), status


def memory_of_a_child_ends_the_whole_job(engine: Engine, _machine: Machine) -> None:
    """No part of it is left to run on without the other."""
    script = '"$@" & sleep 1000'
    result = engine.run(["sh", "-c", script, "sh", *hog(48)], limits=Limits(memory_bytes=16 * MIB))
    assert (result.status.reason, result.status.signal) == (Reason.OUT_OF_MEMORY, 9), result.status


def processor_time_is_bounded(engine: Engine, _machine: Machine) -> None:
    """The measured share is that of the limit; a busy machine may give less, never more."""
    shares = []
    favoured = Limits(cpu_weight=10_000)  # the machine may be busy
    for _ in range(5):
        result = engine.run(python(_BUSY, 3), limits=replace(favoured, cpus=0.3))
        shares.append(float(result.stdout))
        assert shares[-1] < 0.35, shares
        assert result.status.usage is not None
        if shares[-1] > 0.25:
            assert (result.status.usage.cpu_throttled or 0) > 0.5, result.status.usage
            break
    else:
        raise AssertionError(f"it never came near its limit: {shares}")
    free = [float(engine.run(python(_BUSY, 2), limits=favoured).stdout) for _ in range(3)]
    assert max(free) > 0.4, free


def weights_share_a_processor(engine: Engine, _machine: Machine) -> None:
    """Of two jobs on one processor that with three times the weight gets about three times as much."""
    with tempfile.TemporaryDirectory() as directory:
        gate = Path(directory, "gate")
        command = python(_PINNED + _BUSY, 5, gate)
        jobs = [engine.start(command, limits=Limits(cpu_weight=weight)) for weight in (3000, 1000)]
        for job in jobs:
            wait_until(lambda job=job: job.status().output_bytes, "output of the job")  # type: ignore[misc]  # a default
        gate.touch()  # both begin at once
        much, little = (float(_words(job)[-1]) for job in jobs)
    assert 2 < much / little < 4.5, (much, little)


def forks_are_refused(engine: Engine, _machine: Machine) -> None:
    """Beyond the limit."""
    script = "for number in 1 2 3 4 5 6 7 8; do sleep 0.2 & done; wait; echo done"
    limited = engine.run(["sh", "-c", script], limits=Limits(pids=4))
    assert b"fork" in limited.stderr, limited
    assert limited.status.usage is not None
    assert limited.status.usage.pids_peak in (None, 4), limited.status.usage
    free = engine.run(["sh", "-c", script])
    assert (free.stdout, free.stderr) == (b"done\n", b"")


def reads_are_slowed_down(engine: Engine, machine: Machine) -> None:
    """To so many bytes a second, which are counted."""
    command = ["dd", f"if={machine.disk}", "of=/dev/null", "bs=256K", "count=16", "iflag=direct"]
    limits = Limits(io=(IoLimit(device=machine.disk, read_bytes_per_second=2 * MIB),))
    rate, usage = _rate(engine, command, limits)
    assert 1.2 * MIB < rate < 2.6 * MIB, rate
    assert 4 * MIB <= (usage.io_read_bytes or 0) < 5 * MIB, usage
    free, _ = _rate(engine, command, None)
    assert free > 4 * MIB, free


def writes_are_slowed_down(engine: Engine, machine: Machine) -> None:
    """Those through the page cache too."""
    assert machine.scratch is not None
    command = ["dd", "if=/dev/zero", f"of={machine.scratch}", "bs=256K", "count=16", "conv=fsync,notrunc"]
    limits = Limits(io=(IoLimit(device=machine.scratch, write_bytes_per_second=2 * MIB),))
    rate, usage = _rate(engine, command, limits)
    assert 1.2 * MIB < rate < 2.6 * MIB, rate
    assert 4 * MIB <= (usage.io_write_bytes or 0) < 5 * MIB, usage
    free, _ = _rate(engine, command, None)
    assert free > 4 * MIB, free


def memory_above_the_high_mark_is_taken_back(engine: Engine, machine: Machine) -> None:
    """Without an end of the job."""
    command = ["dd", f"if={machine.disk}", "of=/dev/null", "bs=256K", "count=128"]
    peaks = []
    for high in (6 * MIB, 1 << 40):
        result = engine.run(command, limits=Limits(memory_high_bytes=high, memory_bytes=1 << 41))
        assert result.exit_code == 0, result
        assert result.status.usage is not None
        assert result.status.usage.memory_peak_bytes is not None
        peaks.append(result.status.usage.memory_peak_bytes)
    assert peaks[0] < 12 * MIB < 24 * MIB < peaks[1], peaks


def a_fork_bomb_and_a_memory_hog_leave_others_alone(engine: Engine, machine: Machine) -> None:
    """Others start, run and end meanwhile, and so do these when they are told to."""
    bomb = engine.start(python(_BOMB), limits=Limits(pids=20, cpus=0.3))
    greedy = engine.start(python(_GREEDY), limits=Limits(memory_bytes=16 * MIB, pids=5, cpus=0.3))
    wait_until(lambda: (usage_of(bomb).pids or 0) >= 19, "a bomb that has gone off")
    begin = time.monotonic()
    for _ in range(3):
        assert engine.run(["echo", "hello"]).stdout == b"hello\n"
    took = time.monotonic() - begin
    assert took < 20, took
    for job in (bomb, greedy):
        try:
            job.stop(force=True)
        except JobNotRunningError:
            assert job.status().reason is Reason.OUT_OF_MEMORY
        assert machine.cgroups_of(job) == []


_BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
_GREEDY = """
held = []
while True:
    held.append(b"x" * (1 << 20))
"""


def usage_is_told_while_it_runs(engine: Engine, machine: Machine) -> None:
    """And in the end, with a cgroup and without."""
    script = (
        "import time\nheld = b'x' * (4 << 20)\nwhile time.process_time() < 0.3: pass\n"
        "print('ready', flush=True)\ntime.sleep(1000)"
    )
    for limits in (Limits(pids=10), None):
        job = engine.start(python(script), limits=limits)
        wait_until(lambda job=job: job.status().output_bytes, "output of the job")  # type: ignore[misc]  # a default
        usage = usage_of(job)
        assert usage.pids == 1, usage
        assert (usage.memory_bytes or 0) > 4 * MIB, usage
        assert (usage.cpu_user or 0) + (usage.cpu_system or 0) > 0.05, usage
        assert bool(machine.cgroups_of(job)) == (limits is not None)
        last = job.stop(force=True).usage
        assert last is not None
        assert last.memory_bytes is None
        assert last.pids is None
        assert (last.cpu_user or 0) + 0.05 > (usage.cpu_user or 0), (last, usage)
        assert machine.cgroups_of(job) == []


def nothing_is_left_of_a_job_whose_shim_is_killed(engine: Engine, machine: Machine) -> None:
    """Neither processes nor its cgroup, not even a cgroup that it has made itself."""
    script = 'for own in "$@"; do mkdir $own/below; echo $$ > $own/below/cgroup.procs; done; echo $PPID; sleep 1000'
    find = 'set -- $(find /sys/fs/cgroup -type d -name "jobworker-$JOBWORKER_JOB_ID")'
    job = engine.start(["sh", "-c", f"{find}; {script}"], limits=Limits(pids=20))
    wait_until(lambda: job.status().output_bytes, "output of the job")
    shim = int(next(iter(job.output())).data)
    assert machine.cgroups_of(job) != []
    os.kill(shim, 9)
    assert job.wait(_PATIENCE_SECONDS).state is State.LOST
    wait_until(lambda: machine.cgroups_of(job) == [], "the end of its cgroup")


def _rate(engine: Engine, command: list[str], limits: Limits | None) -> tuple[float, Usage]:
    """How many bytes a second of 4 MiB a job makes, by its own clock, and what it has used."""
    begin = time.monotonic()
    result = engine.run(command, limits=limits)
    took = time.monotonic() - begin
    assert result.exit_code == 0, result
    assert result.status.usage is not None
    words = result.stderr.decode().split(", ")
    own = next(float(word.removesuffix(" s")) for word in words if word.endswith(" s"))
    return 4 * MIB / min(own, took), result.status.usage


EVERYWHERE: tuple[Scenario, ...] = (
    is_in_its_cgroup_before_it_is_executed,
    too_much_memory_is_told_as_such,
    memory_of_a_child_ends_the_whole_job,
    processor_time_is_bounded,
    weights_share_a_processor,
    forks_are_refused,
    reads_are_slowed_down,
    a_fork_bomb_and_a_memory_hog_leave_others_alone,
    usage_is_told_while_it_runs,
    nothing_is_left_of_a_job_whose_shim_is_killed,
)
WITHOUT_KERNEL_LOG: tuple[Scenario, ...] = (the_killed_is_named_without_the_kernels_log,)
IN_VERSION_2: tuple[Scenario, ...] = (writes_are_slowed_down, memory_above_the_high_mark_is_taken_back)
