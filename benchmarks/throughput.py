"""How fast output flows: into the log, out of the library, and through the server."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from jobworker.v1.worker_service_pb2 import DeleteRequest, StartRequest, WaitRequest
from jobworker_lib import Engine, Job
from rig import Server, Sizes, bare_server, followers, jobworker_server, producer, scratch
from table import show, spread

_MIB = 1 << 20
_GIB = 1 << 30
_FOLLOWERS = (1, 8)

_Name = TypeVar("_Name")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _Streamed:
    """What it took until all followers had everything."""

    seconds: float
    cpu_seconds: float
    """Of the server's process."""


def measure(sizes: Sizes) -> None:
    """Print both tables."""
    with scratch() as directory:
        _library(directory, sizes)
    with scratch() as directory:
        _server(directory, sizes)


def _library(directory: Path, sizes: Sizes) -> None:
    total = sizes.stream_bytes
    with Engine(directory / "state") as engine:
        command = producer(total)

        def captured() -> float:
            begin = time.perf_counter()
            job = engine.start(command)
            job.wait()
            return _seconds_since(begin, job)

        def followed() -> float:
            begin = time.perf_counter()
            job = engine.start(command)
            _read(job, total)
            return _seconds_since(begin, job)

        def read_again() -> float:
            job = engine.start(command)
            job.wait()
            begin = time.perf_counter()
            _read(job, total)
            return _seconds_since(begin, job)

        subjects: dict[str, Callable[[], float]] = {
            "`dd \\| cat > file`": lambda: _shell_pipe(command, directory / "file"),
            "job, captured, nobody reads": captured,
            "job, followed live by one reader": followed,
            "ended job, read by one reader": read_again,
        }
        seconds = _in_turns(subjects, sizes.rounds)
    rows = [(name, *spread([total / _MIB / taken for taken in values])) for name, values in seconds.items()]
    show(f"Library: {total // _MIB} MiB of output (MiB/s)", ("", "median", "of all rounds"), rows)


def _server(directory: Path, sizes: Sizes) -> None:
    total = sizes.stream_bytes
    with jobworker_server(directory) as server, bare_server(directory, total) as bare:
        subjects: dict[tuple[str, int], Callable[[], _Streamed]] = {}
        for count in _FOLLOWERS:
            subjects["bare grpc.aio stream", count] = partial(_bare, bare, count, total)
            subjects["live job", count] = partial(_job, server, count, total, live=True)
            subjects["ended job", count] = partial(_job, server, count, total, live=False)
        results = _in_turns(subjects, sizes.rounds)
    rows = []
    for (name, count), streamed in results.items():
        rates = [count * total / _MIB / each.seconds for each in streamed]
        cpu = [each.cpu_seconds / count / (total / _GIB) for each in streamed]
        people = "1 follower" if count == 1 else f"{count} followers"
        rows.append((f"{name}, {people}", *spread(rates), *spread(cpu, 2)))
    headings = ("", "all followers, MiB/s", "of all rounds", "server's CPU, s for each GiB sent", "of all rounds")
    show(f"Server: {total // _MIB} MiB of output to each follower over mutual TLS", headings, rows)


def _in_turns(subjects: dict[_Name, Callable[[], _Result]], rounds: int) -> dict[_Name, list[_Result]]:
    results: dict[_Name, list[_Result]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, run in subjects.items():
            results[name].append(run())
    return results


def _shell_pipe(command: list[str], file: Path) -> float:
    begin = time.perf_counter()
    subprocess.run(["sh", "-c", f"{' '.join(command)} | cat > {file}"], check=True)
    seconds = time.perf_counter() - begin
    file.unlink()
    return seconds


def _read(job: Job, total: int) -> None:
    _require(sum(len(chunk.data) for batch in job.output_batches() for chunk in batch), total)


def _seconds_since(begin: float, job: Job) -> float:
    """The time until now; the job is removed afterwards, so that disk space is not what is measured."""
    seconds = time.perf_counter() - begin
    job.wait()
    job.delete()
    return seconds


def _bare(server: Server, count: int, total: int) -> _Streamed:
    with followers(server, count) as follow:
        cpu, begin = server.cpu_seconds(), time.perf_counter()
        got = follow("any")
        streamed = _Streamed(time.perf_counter() - begin, server.cpu_seconds() - cpu)
    _require(min(got), total)
    return streamed


def _job(server: Server, count: int, total: int, *, live: bool) -> _Streamed:
    with server.stub() as stub, followers(server, count) as follow:
        cpu, begin = server.cpu_seconds(), time.perf_counter()
        job_id = stub.Start(StartRequest(argv=producer(total))).job.id
        if not live:
            stub.Wait(WaitRequest(job_ids=[job_id]))
            cpu, begin = server.cpu_seconds(), time.perf_counter()
        got = follow(job_id)
        streamed = _Streamed(time.perf_counter() - begin, server.cpu_seconds() - cpu)
        stub.Wait(WaitRequest(job_ids=[job_id]))
        stub.Delete(DeleteRequest(job_id=job_id))
    _require(min(got), total)
    return streamed


def _require(got: int, total: int) -> None:
    if got != total:
        raise RuntimeError(f"{total} bytes were written, {got} arrived")
