"""How long a start takes and how many go a second, beside what the operating system takes for a process."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from jobworker.v1.worker_service_pb2 import StartRequest, WaitRequest
from jobworker.v1.worker_service_pb2_grpc import WorkerServiceStub
from jobworker_lib import Engine
from rig import Sizes, jobworker_server, scratch
from table import milliseconds, show, spread

_COMMAND = ["/bin/true"]
_THREADS = (1, 4)
_BLOCK = 10
_WARM_UP = 20

Start = Callable[[], Callable[[], object]]
"""Starts a process; what it returns waits for the end."""


def measure(sizes: Sizes) -> None:
    """Print both tables."""
    with _subjects() as subjects:
        for start in subjects.values():
            for _ in range(_WARM_UP):
                start()()
        _latency(subjects, sizes)
        _rate(subjects, sizes)


def _latency(subjects: dict[str, Start], sizes: Sizes) -> None:
    """In turns of a few starts each; the process's end is waited for, and not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(sizes.starts // _BLOCK):
        for name, start in subjects.items():
            for _ in range(_BLOCK):
                begin = time.perf_counter()
                wait = start()
                seconds[name].append(time.perf_counter() - begin)
                wait()
    rows = [(name, *milliseconds(values)) for name, values in seconds.items()]
    show("Start latency (ms)", ("", "median", "p99"), rows)


def _rate(subjects: dict[str, Start], sizes: Sizes) -> None:
    rates: dict[tuple[str, int], list[float]] = {(name, threads): [] for name in subjects for threads in _THREADS}
    for _ in range(sizes.rounds):
        for (name, threads), values in rates.items():
            values.append(sizes.rate_starts / _run(subjects[name], sizes.rate_starts, threads))
    rows = [(name, *(part for threads in _THREADS for part in spread(rates[name, threads]))) for name in subjects]
    show(
        "Jobs a second, from the first start to the last end",
        ("", "1 thread", "of all rounds", "4 threads", "of all rounds"),
        rows,
    )


def _run(start: Start, count: int, threads: int) -> float:
    """Seconds that it takes to start ``count`` processes and see all of them end."""

    def work() -> None:
        for wait in [start() for _ in range(count // threads)]:
            wait()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - begin


@contextmanager
def _subjects() -> Iterator[dict[str, Start]]:
    with (
        scratch() as directory,
        Engine(directory / "library") as engine,
        jobworker_server(directory) as server,
        server.stub() as stub,
        jobworker_server(directory, "audited", "audit: {file: audit.log}") as audited,
        audited.stub() as audited_stub,
    ):
        yield {
            "`os.posix_spawn`": _posix_spawn,
            "`subprocess.Popen`, a pipe for stdout": _popen,
            "jobworker-lib": lambda: engine.start(_COMMAND).wait,
            "jobworker-server": partial(_remote, stub),
            "jobworker-server, with an audit in a file": partial(_remote, audited_stub),
        }


def _remote(stub: WorkerServiceStub) -> Callable[[], object]:
    job = stub.Start(StartRequest(argv=_COMMAND)).job
    return lambda: stub.Wait(WaitRequest(job_ids=[job.id]))


def _posix_spawn() -> Callable[[], object]:
    pid = os.posix_spawn(_COMMAND[0], _COMMAND, os.environ)
    return lambda: os.waitpid(pid, 0)


def _popen() -> Callable[[], object]:
    process = subprocess.Popen(_COMMAND, stdout=subprocess.PIPE)
    return process.communicate
