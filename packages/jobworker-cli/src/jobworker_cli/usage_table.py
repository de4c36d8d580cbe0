"""What a job uses, as rows for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobworker_cli.fence import Sample

_NOTHING = "-"
_COLUMNS = {"TIME": 8, "CPU": 6, "CPU TIME": 10, "MEMORY": 8, "PEAK": 8, "PIDS": 5, "READ": 8, "WRITTEN": 8}
_UNITS = ("B", "K", "M", "G", "T")

HEADER = "  ".join(title.rjust(cells) for title, cells in _COLUMNS.items())


def row(sample: Sample, before: Sample | None) -> str:
    """One row; ``before`` is the sample from which on the share of a processor is told."""
    usage = sample.usage
    cells = [f"{sample.time.astimezone():%H:%M:%S}", share(sample, before)]
    if usage is None:
        cells += [_NOTHING] * (len(_COLUMNS) - len(cells))
    else:
        cells += [
            _NOTHING if usage.cpu is None else f"{usage.cpu:.2f}s",
            size(usage.memory_bytes),
            size(usage.memory_peak_bytes),
            _NOTHING if usage.pids is None else str(usage.pids),
            size(usage.io_read_bytes),
            size(usage.io_write_bytes),
        ]
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, _COLUMNS.values(), strict=True))


def share(sample: Sample, before: Sample | None) -> str:
    """How much of a processor was used since the sample before."""
    if before is None or before.usage is None or sample.usage is None:
        return _NOTHING
    seconds = (sample.time - before.time).total_seconds()
    if before.usage.cpu is None or sample.usage.cpu is None or seconds <= 0:
        return _NOTHING
    return f"{max(sample.usage.cpu - before.usage.cpu, 0) / seconds:.0%}"


def size(number: int | None) -> str:
    """Bytes in few characters."""
    if number is None:
        return _NOTHING
    value = float(number)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            return f"{value:.1f}{unit}" if unit != "B" else f"{number}B"
        value /= 1024
    raise AssertionError("the last unit takes any number")
