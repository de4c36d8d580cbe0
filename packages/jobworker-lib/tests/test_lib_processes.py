"""What the engine costs: which processes, descriptors and threads it has, and that it lets go of them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from jobworker_lib import CommandNotFoundError, Engine, EngineError
from lib_testing import (
    IDLE_DESCRIPTORS,
    SLEEPER,
    engine_processes,
    finish,
    fork_servers,
    job_processes,
    program,
    sh,
    shims,
    wait_until,
    wait_until_idle,
)


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def own() -> tuple[int, int]:
    """How many descriptors and threads this process has."""
    return descriptors(os.getpid()), threading.active_count()


def has_no_more_than(before: tuple[int, int]) -> bool:
    """It may have fewer: what earlier tests left is collected at any time, and housekeepers open files for a moment."""
    return all(now <= then for now, then in zip(own(), before, strict=True))


def test_open_engine_alone_has_no_process(state_dir: Path, engine: Engine) -> None:
    assert len(engine.list()) == 0
    assert engine_processes(state_dir) == []


def test_closed_engine_leaves_no_process(state_dir: Path) -> None:
    with Engine(state_dir) as engine:
        for _ in range(5):
            engine.run(["true"])
        assert len(fork_servers(state_dir)) == 1
    wait_until(lambda: not engine_processes(state_dir), "the end of fork server and shims")


def test_closed_engine_leaves_a_shim_for_each_running_job(state_dir: Path) -> None:
    with Engine(state_dir) as engine:
        jobs = [engine.start(SLEEPER) for _ in range(3)]
    wait_until(lambda: len(engine_processes(state_dir)) == 3, "the end of the fork server")
    assert len(shims(state_dir)) == 3
    for number, job in enumerate(jobs):
        (pid,) = job_processes(job.id)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda left=2 - number: len(engine_processes(state_dir)) == left, "the end of a shim")  # type: ignore[misc]  # mypy can't infer a default


def test_shims_are_recycled_and_retired(state_dir: Path, engine: Engine) -> None:
    """One job after another goes to one shim, until that has had a hundred."""
    jobs_of: Counter[bytes] = Counter()
    for _ in range(230):
        shim = engine.run(sh("echo $PPID")).stdout
        jobs_of[shim] += 1
        wait_until_idle(int(shim))
    assert max(jobs_of.values()) <= 100
    assert len(jobs_of) <= 12
    wait_until(lambda: len(shims(state_dir)) <= 8, "the end of idle shims")


def test_few_idle_shims_are_kept(state_dir: Path, engine: Engine) -> None:
    jobs = [engine.start(SLEEPER) for _ in range(20)]
    assert len(shims(state_dir)) == 20
    with ThreadPoolExecutor(20) as pool:
        assert {status.signal for status in pool.map(lambda job: job.stop(), jobs)} == {signal.SIGTERM}
    wait_until(lambda: len(shims(state_dir)) <= 8, "the end of idle shims")
    assert engine.run(["true"]).exit_code == 0


def work(engine: Engine) -> None:
    """A bit of everything."""
    job = engine.start(sh("echo out; echo err >&2; exec sleep 1000"))
    output = job.output()
    next(output)
    output.close()  # type: ignore[attr-defined]  # it is a generator
    with suppress(TimeoutError):
        job.wait(timeout=0.001)
    with pytest.raises(CommandNotFoundError):
        engine.start(["no-such-command-anywhere"])
    engine.list(limit=1)
    job.signal("SIGCONT")
    job.stop()
    assert len(list(job.output())) == 2
    job.delete()
    engine.run(["true"])


def test_nothing_is_leaked(state_dir: Path, engine: Engine) -> None:
    work(engine)
    before = own()
    for _ in range(15):
        work(engine)
    wait_until(lambda: has_no_more_than(before), "as few descriptors and threads as before")


def test_idle_shims_hold_nothing_of_their_jobs(state_dir: Path, engine: Engine) -> None:
    """Nor does the fork server, which holds a link to each of them."""
    with ThreadPoolExecutor(6) as pool:
        jobs = [engine.start(SLEEPER) for _ in range(6)]
        list(pool.map(lambda job: job.stop(), jobs))
    (server,) = fork_servers(state_dir)
    wait_until(
        lambda: {descriptors(shim) for shim in shims(state_dir)} == {IDLE_DESCRIPTORS},
        "idle shims without other descriptors",
    )
    links = descriptors(server) - len(shims(state_dir))
    for _ in range(20):
        engine.run(["true"])
    wait_until(lambda: descriptors(server) - len(shims(state_dir)) == links, "a fork server without other descriptors")


def test_closed_engine_has_let_go_of_everything(state_dir: Path) -> None:
    before = own()
    for _ in range(3):
        with Engine(state_dir) as engine:
            work(engine)
    assert has_no_more_than(before), f"{own()} instead of {before}"


def test_start_of_a_fork_server_that_cannot_be_is_told(
    state_dir: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    with pytest.raises(EngineError, match="fork server"):
        engine.start(["true"])
    assert len(engine.list()) == 0
    assert list((state_dir / "jobs").iterdir()) == []
    monkeypatch.undo()
    assert engine.run(["true"]).exit_code == 0


def test_start_with_a_fork_server_that_always_dies_is_told(
    state_dir: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again, and in the end nothing is left of the job."""
    dying = f"""#!{sys.executable} -IS
import os, socket
if os.fork() == 0:
    connection, _ = socket.socket(fileno=0).accept()
    connection.recv(1)
"""
    (tmp_path / "dying").write_text(dying)
    (tmp_path / "dying").chmod(0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "dying"))
    with pytest.raises(EngineError):
        engine.start(["true"])
    monkeypatch.undo()
    assert list((state_dir / "jobs").iterdir()) == []
    assert len(engine.list()) == 0
    assert engine.run(["true"]).exit_code == 0


def test_jobs_inherit_nothing_from_the_program(state_dir: Path) -> None:
    """Neither signal settings nor umask nor environment; nor does a program without standard streams matter."""
    script = """
import os, signal, sys
from jobworker_lib import Engine
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD):
    signal.signal(number, signal.SIG_IGN)
os.umask(0o077)
os.environ["SECRET"] = "x"
report = os.dup(1)
for standard in (0, 1, 2):
    os.close(standard)
with Engine(sys.argv[1]) as engine:
    result = engine.run(["sh", "-c", sys.argv[2]])
os.write(report, result.stdout + result.stderr)
"""
    look = "grep -E '^Sig(Blk|Ign)' /proc/self/status; umask; env | grep -c SECRET; ls /proc/self/fd"
    with program(script, state_dir, look) as process:
        _, blocked, _, ignored, *rest = finish(process).split()
    # glibc's posix_spawn(3), by which Python 3.13 starts the fork server, leaves its own two signals (32, 33) ignored.
    glibc_own = 0b11 << 31
    assert (int(blocked, 16), int(ignored, 16) & ~glibc_own) == (0, 0)
    assert rest == ["0022", "0", "0", "1", "2", "3"]
