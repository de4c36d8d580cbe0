"""What a job uses, as rows for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobworker_cli.fence import Sample

_NOTHING = "-"
_GAP = "  "
_CELLS = {"TIME": 8, "CPU": 6, "CPU TIME": 10, "MEMORY": 8, "PEAK": 8, "PIDS": 5, "READ": 8, "WRITTEN": 8}
# The least important first. Of an ended job, CPU TIME and PEAK are what there is to tell.
_LEFT_OUT = ("TIME", "PIDS", "READ", "WRITTEN", "PEAK", "CPU TIME", "MEMORY")
_UNITS = ("B", "K", "M", "G", "T")

ALL = tuple(_CELLS)
"""The titles of all columns."""


def fitting(cells: int) -> tuple[str, ...]:
    """The titles of the columns that a terminal of this width has room for, at least one."""
    shown = dict(_CELLS)
    for title in _LEFT_OUT:
        if sum(shown.values()) + len(_GAP) * (len(shown) - 1) <= cells:
            break
        del shown[title]
    return tuple(shown)


def header(titles: Sequence[str] = ALL) -> str:
    """The titles above the rows."""
    return _line({title: title for title in titles})


def row(sample: Sample, before: Sample | None, titles: Sequence[str] = ALL) -> str:
    """One row; ``before`` is the sample from which on the share of a processor is told."""
    told = _told(sample, before)
    return _line({title: told.get(title, _NOTHING) for title in titles})


def _line(texts: dict[str, str]) -> str:
    return _GAP.join(text.rjust(_CELLS[title]) for title, text in texts.items())


def _told(sample: Sample, before: Sample | None) -> dict[str, str]:
    usage = sample.usage
    told = {"TIME": f"{sample.time.astimezone():%H:%M:%S}", "CPU": share(sample, before)}
    if usage is not None:
        told |= {
            "CPU TIME": _NOTHING if usage.cpu is None else f"{usage.cpu:.2f}s",
            "MEMORY": size(usage.memory_bytes),
            "PEAK": size(usage.memory_peak_bytes),
            "PIDS": _NOTHING if usage.pids is None else str(usage.pids),
            "READ": size(usage.io_read_bytes),
            "WRITTEN": size(usage.io_write_bytes),
        }
    return told


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
