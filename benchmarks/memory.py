"""What the server takes while it streams, and what a running job takes beside its own processes."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from jobworker.v1.worker_service_pb2 import DeleteRequest, StartRequest, WaitRequest
from jobworker_lib import Engine
from rig import Server, Sizes, followers, jobworker_server, producer, scratch
from table import show

_FOLLOWERS = 8
_SAMPLE_SECONDS = 0.02
_KIB = 1 << 10


def measure(sizes: Sizes) -> None:
    """Print both tables."""
    _streaming_server(sizes)
    _running_jobs(sizes)


def _streaming_server(sizes: Sizes) -> None:
    rows = []
    for total in (sizes.stream_bytes >> 4, sizes.stream_bytes):
        with scratch() as directory, jobworker_server(directory) as server:
            idle = _rollup(server.pid)
            peak = _peak_while_streaming(server, total)
        size = f"{total >> 20} MiB to {_FOLLOWERS} followers"
        rows.append((size, *(f"{memory[key] / _KIB:.0f}" for key in ("Rss", "Pss") for memory in (idle, peak))))
    headings = ("", "RSS before", "RSS, peak", "PSS before", "PSS, peak")
    show("Memory of the server while it streams a live job (MiB)", headings, rows)


def _peak_while_streaming(server: Server, total: int) -> dict[str, int]:
    done = threading.Event()
    peak: dict[str, int] = {}

    def sample() -> None:
        while not done.wait(_SAMPLE_SECONDS):
            for key, value in _rollup(server.pid).items():
                peak[key] = max(value, peak.get(key, 0))

    sampler = threading.Thread(target=sample)
    with server.stub() as stub, followers(server, _FOLLOWERS) as follow:
        sampler.start()
        try:
            job_id = stub.Start(StartRequest(argv=producer(total))).job.id
            follow(job_id)
        finally:
            done.set()
            sampler.join()
        stub.Wait(WaitRequest(job_ids=[job_id]))
        stub.Delete(DeleteRequest(job_id=job_id))
    return peak


def _running_jobs(sizes: Sizes) -> None:
    with scratch() as directory, Engine(directory) as engine:
        jobs = [engine.start(["sleep", "1000"]) for _ in range(sizes.jobs)]
        try:
            shims = [_shim_of(directory, job.id) for job in jobs]
            memory = [_rollup(pid) for pid in shims]
        finally:
            for job in jobs:
                job.stop(force=True)
    pss = sum(each["Pss"] for each in memory) / len(memory)
    uss = sum(each["Private_Clean"] + each["Private_Dirty"] for each in memory) / len(memory)
    rss = sum(each["Rss"] for each in memory) / len(memory)
    row = (f"a shim, of {sizes.jobs}", *(f"{value / _KIB:.2f}" for value in (pss, uss, rss)))
    show("Memory of a running job beside its own processes (MiB)", ("", "PSS", "USS", "RSS"), [row])


def _shim_of(state: Path, job_id: str) -> int:
    """The parent of the job's main process."""
    main = json.loads((state / "jobs" / job_id / "started.json").read_text())["pid"]
    return int(Path(f"/proc/{main}/stat").read_text().rpartition(")")[2].split()[1])


def _rollup(pid: int) -> dict[str, int]:
    """A process's memory in KiB, by the names of /proc/PID/smaps_rollup (proc(5))."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
