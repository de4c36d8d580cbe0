"""How long it takes to get at a part of a log, by the size of the log: its end, a time in it, an offset."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from jobworker_lib import Engine, Job, OutputOptions
from rig import Sizes, scratch
from table import milliseconds, show

_MIB = 1 << 20
_REPEATS = 200
_LINE = "2026-11-24T06:15:18.123456Z INFO worker-7 request 8fe2b2b5 GET /api/v1/items/4711 took 12.5 ms, 200"


def measure(sizes: Sizes) -> None:
    """Print the table."""
    rows = []
    with scratch() as directory, Engine(directory / "state") as engine:
        for size in (_MIB, sizes.stream_bytes):
            job = engine.start(["sh", "-c", f"yes '{_LINE}' | head -c {size}"])
            job.wait()
            for name, options in _parts(job, size).items():
                seconds = [_time(partial(_read, job, options)) for _ in range(_REPEATS)]
                rows.append((f"{name}, of {size // _MIB} MiB", *milliseconds(seconds)))
            job.delete()
    show("A part of an ended job's output (ms)", ("", "median", "p99"), sorted(rows))


def _parts(job: Job, size: int) -> dict[str, OutputOptions]:
    middle = next(iter(job.output(offset=size // 2)))
    return {
        "last 10 lines": {"tail": 10},
        "last 1000 lines": {"tail": 1000},
        "4 KiB since a time in the middle": {"since": middle.time, "end": middle.offset + 4096},
        "4 KiB from an offset in the middle": {"offset": middle.offset, "end": middle.offset + 4096},
    }


def _read(job: Job, options: OutputOptions) -> None:
    if not sum(len(chunk.data) for batch in job.output_batches(**options) for chunk in batch):
        raise RuntimeError("there is no such part")


def _time(work: Callable[[], None]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
