"""Memory and swap."""

from __future__ import annotations

from jobworker_lib import Engine, Isolation, Limits, Reason, StartError, State
from limits.tools import MIB, Machine, hog


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


def too_little_memory_to_begin_fails_the_start(engine: Engine, machine: Machine) -> None:
    """It says so, rather than that the command ran and was killed."""
    for isolation in (None, Isolation(pid=True), Isolation(uts=True)):
        error = None
        try:
            engine.run(["true"], limits=Limits(memory_bytes=4096), isolation=isolation)
        except StartError as found:
            error = found
        assert error is not None
        assert "killed before its command was executed: the limit memory_bytes, 4096" in str(error), error
        assert error.job_id is not None
        assert engine.get(error.job_id).status().state is State.FAILED
        assert machine.cgroups_with(error.job_id) == []


def memory_of_a_child_ends_the_whole_job(engine: Engine, _machine: Machine) -> None:
    """No part of it is left to run on without the other."""
    script = '"$@" & sleep 1000'
    result = engine.run(["sh", "-c", script, "sh", *hog(48)], limits=Limits(memory_bytes=16 * MIB))
    assert (result.status.reason, result.status.signal) == (Reason.OUT_OF_MEMORY, 9), result.status


def swap_is_bounded(engine: Engine, _machine: Machine) -> None:
    """What doesn't fit into memory goes there, as much as may."""
    for swap, fits in ((40 * MIB, True), (4 * MIB, False), (0, False), (None, False)):
        status = engine.run(hog(24), limits=Limits(memory_bytes=12 * MIB, swap_bytes=swap)).status
        assert (status.reason is Reason.EXITED) is fits, (swap, status)
        assert fits or status.reason is Reason.OUT_OF_MEMORY, (swap, status)


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
