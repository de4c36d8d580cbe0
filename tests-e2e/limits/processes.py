"""Processes: how many there may be, what each of them may do, and that none is left."""

from __future__ import annotations

import os
import tempfile
import time

from jobworker_lib import Engine, Isolation, JobNotRunningError, Limits, Reason, State
from limits.tools import MIB, PATIENCE_SECONDS, Machine, python, usage_of, wait_until

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
_OPENS = """
import os
try:
    while True:
        os.open("/dev/null", os.O_RDONLY)
except OSError as error:
    print(error.strerror)
"""
_DUMPS = """
import os, resource
if os.fork() == 0:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    os.abort()
print(os.WCOREDUMP(os.wait()[1]), *(os.stat(name).st_size for name in os.listdir() if name.startswith("core")))
"""


def is_in_its_cgroup_before_it_is_executed(engine: Engine, machine: Machine) -> None:
    """The job is, and its shim is not."""
    script = "cat /proc/self/cgroup; echo =; cat /proc/$PPID/cgroup"
    result = engine.run(["sh", "-c", script], limits=Limits(pids=100))
    own, _, of_shim = result.stdout.decode().partition("\n=\n")
    name = f"/jobworker-{result.status.id}"
    assert own.count(name) >= (1 if machine.version == 2 else 4), own
    assert name not in of_shim, of_shim
    assert name not in engine.run(["cat", "/proc/self/cgroup"]).stdout.decode()


def forks_are_refused(engine: Engine, _machine: Machine) -> None:
    """Beyond the limit."""
    script = "for number in 1 2 3 4 5 6 7 8; do sleep 0.2 & done; wait; echo done"
    limited = engine.run(["sh", "-c", script], limits=Limits(pids=4))
    assert b"fork" in limited.stderr, limited
    assert limited.status.usage is not None
    assert limited.status.usage.pids_peak in (None, 4), limited.status.usage
    free = engine.run(["sh", "-c", script])
    assert (free.stdout, free.stderr) == (b"done\n", b"")


def a_fork_bomb_and_a_memory_hog_leave_others_alone(engine: Engine, machine: Machine) -> None:
    """Others start, run and end meanwhile, and so do these when they are told to."""
    limits = Limits(pids=20, cpus=0.3)
    bombs = [engine.start(python(_BOMB), limits=limits, isolation=fence) for fence in (None, Isolation(pid=True))]
    greedy = engine.start(python(_GREEDY), limits=Limits(memory_bytes=16 * MIB, pids=5, cpus=0.3))
    wait_until(lambda: all((usage_of(bomb).pids or 0) >= 19 for bomb in bombs), "bombs that have gone off")
    begin = time.monotonic()
    for _ in range(3):
        assert engine.run(["echo", "hello"]).stdout == b"hello\n"
    took = time.monotonic() - begin
    assert took < 20, took
    for job in (*bombs, greedy):
        try:
            assert job.stop(force=True).state in (State.STOPPED, State.EXITED)
        except JobNotRunningError:
            assert job.status().reason is Reason.OUT_OF_MEMORY
        assert machine.cgroups_of(job) == []


def files_of_each_process_are_bounded(engine: Engine, _machine: Machine) -> None:
    """How many are open, how large they grow, and what is left of one that crashes."""
    opens = engine.run(python("import os\nfor _ in range(50): os.open('/dev/null', os.O_RDONLY)"))
    assert opens.exit_code == 0, opens
    assert engine.run(python(_OPENS), limits=Limits(open_files=33)).stdout == b"Too many open files\n"
    with tempfile.TemporaryDirectory() as directory:
        for limit, ending in ((Limits(file_size_bytes=8192), (25, 8192)), (None, (None, 16384))):
            command = ["dd", "if=/dev/zero", "of=file", "bs=4096", "count=4"]
            status = engine.run(command, limits=limit, cwd=directory).status
            assert (status.signal, os.stat(f"{directory}/file").st_size) == ending, status
            os.unlink(f"{directory}/file")


def core_dumps_are_bounded(engine: Engine, _machine: Machine) -> None:
    """To nothing, to some bytes, or not at all."""
    told = []
    for limits in (Limits(core_size_bytes=0), Limits(core_size_bytes=65536), None):
        with tempfile.TemporaryDirectory() as directory:
            told.append(engine.run(python(_DUMPS), limits=limits, cwd=directory).stdout.split())
    assert told[0] == [b"False"], told
    assert told[1] == [b"True", b"65536"], told
    assert told[2][0] == b"True", told
    assert int(told[2][1]) > MIB, told


def a_job_ends_at_its_timeout(engine: Engine, machine: Machine) -> None:
    """All of it, whether or not it has a cgroup."""
    for limits in (Limits(pids=10), None):
        begin = time.monotonic()
        status = engine.run(["sh", "-c", "sleep 1000 & sleep 1000"], limits=limits, timeout=0.5).status
        assert (status.state, status.reason) == (State.STOPPED, Reason.TIMED_OUT), status
        assert time.monotonic() - begin > 0.5
        assert machine.cgroups_with(status.id) == []


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
        has_pressure = any(os.path.exists(f"{path}/cpu.pressure") for path in machine.cgroups_of(job))
        assert (usage.cpu_pressure is not None) == has_pressure, usage
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
    assert job.wait(PATIENCE_SECONDS).state is State.LOST
    wait_until(lambda: machine.cgroups_of(job) == [], "the end of its cgroup")
