"""A job that ends by itself just before a stop or its timeout is told as one that ended by itself.

The shim is frozen while the job ends, so that it finds the end and the request at the same time.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobworker_lib import Engine, Job, Reason, State
from jobworker_lib.job.directory import CONTROL_SOCKET, JobDirectory
from jobworker_lib.messages import connect_in, receive, send
from lib_testing import awaiting, process_state, sh, shim_of, wait_until


@contextmanager
def ended_unseen(engine: Engine, gate: Path, timeout: float | None = None) -> Iterator[Job]:
    """A job that has exited with 7 while its shim, frozen until the end of the block, could not see it."""
    job = engine.start(sh(f"{awaiting(gate)}; exit 7"), timeout=timeout)
    main = engine._core.directory(job.id).read_started()
    assert main is not None
    shim = shim_of(job.id, main.pid)
    os.kill(shim, signal.SIGSTOP)
    try:
        wait_until(lambda: process_state(shim) == "T")
        gate.touch()
        wait_until(lambda: process_state(main.pid) == "Z")
        yield job
    finally:
        os.kill(shim, signal.SIGCONT)


def ask(directory: JobDirectory, request: dict[str, object]) -> socket.socket:
    """Leave a request with a shim, which need not run: where its answer will come."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        connect_in(sock, directory.path, CONTROL_SOCKET)
        send(sock, request, [theirs.fileno()])
    return ours


def test_stop_that_comes_too_late(engine: Engine, tmp_path: Path) -> None:
    with ended_unseen(engine, tmp_path / "gate") as job:
        answer = ask(engine._core.directory(job.id), {"do": "stop", "grace": 0.0})
    status = job.wait()
    answer.close()
    assert (status.state, status.reason, status.exit_code) == (State.EXITED, Reason.EXITED, 7)


def test_signal_that_comes_too_late(engine: Engine, tmp_path: Path) -> None:
    with ended_unseen(engine, tmp_path / "gate") as job:
        answer = ask(engine._core.directory(job.id), {"do": "signal", "signal": int(signal.SIGUSR1)})
    with answer:
        assert receive(answer, 0) in (({"running": False}, []), None)  # None: the shim was through before it looked
    assert job.wait().exit_code == 7


def test_end_of_the_shim_that_comes_too_late(engine: Engine, tmp_path: Path) -> None:
    with ended_unseen(engine, tmp_path / "gate") as job:
        started = engine._core.directory(job.id).read_started()
        assert started is not None
        os.kill(shim_of(job.id, started.pid), signal.SIGTERM)
    status = job.wait()
    assert (status.state, status.exit_code) == (State.EXITED, 7)


def test_timeout_that_comes_too_late(engine: Engine, tmp_path: Path) -> None:
    timeout = 4.0
    with ended_unseen(engine, tmp_path / "gate", timeout=timeout) as job:
        passed = time.monotonic() + timeout
        wait_until(lambda: time.monotonic() > passed)
    status = job.wait()
    assert (status.state, status.reason, status.exit_code) == (State.EXITED, Reason.EXITED, 7)
