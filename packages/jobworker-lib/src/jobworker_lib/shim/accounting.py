"""What a job has used, told by its cgroup and by its processes."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from jobworker_lib.job.usage import Usage

if TYPE_CHECKING:
    import resource
    from collections.abc import Callable, Iterable

    from jobworker_lib.cgroup.group import Group

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_BLOCK = 512
"""What getrusage(2) counts input and output in."""


class Accounting:
    """The account of one job, over all its attempts."""

    def __init__(self, group: Group | None, processes: Callable[[], Iterable[int]]) -> None:
        """``processes`` tells which the job has now, where it has no cgroup to tell."""
        self._group = group
        self._processes = group.processes if group else processes  # the kernel's list is quicker than a look at all
        self._user = self._system = 0.0
        self._read = self._written = self._peak = 0

    def add(self, used: resource.struct_rusage) -> None:
        """A process was reaped, which had reaped others itself."""
        self._user += used.ru_utime
        self._system += used.ru_stime
        self._read += used.ru_inblock * _BLOCK
        self._written += used.ru_oublock * _BLOCK
        self._peak = max(self._peak, used.ru_maxrss << 10)

    def final(self) -> Usage:
        """All of it, when no process is left; the cgroup is there still."""
        told = self._group.usage() if self._group else Usage()
        ended = replace(told, memory_bytes=None, pids=None, cpu_pressure=None, memory_pressure=None, io_pressure=None)
        return _merged(ended, self._of_reaped())

    def now(self) -> Usage:
        """What was used until now."""
        reaped = self._of_reaped()
        alive = [used for pid in self._processes() if (used := _of_process(pid)) is not None]
        memory = sum(used.memory_bytes or 0 for used in alive)
        self._peak = max([self._peak, memory, *(used.memory_peak_bytes or 0 for used in alive)])
        of_processes = Usage(
            cpu_user=_sum(reaped.cpu_user, *(used.cpu_user for used in alive)),
            cpu_system=_sum(reaped.cpu_system, *(used.cpu_system for used in alive)),
            memory_bytes=memory,
            memory_peak_bytes=self._peak,
            io_read_bytes=self._read + sum(used.io_read_bytes or 0 for used in alive),
            io_write_bytes=self._written + sum(used.io_write_bytes or 0 for used in alive),
            pids=sum(used.pids or 0 for used in alive),
        )
        return _merged(self._group.usage() if self._group else Usage(), of_processes)

    def _of_reaped(self) -> Usage:
        return Usage(
            cpu_user=self._user,
            cpu_system=self._system,
            memory_peak_bytes=self._peak,
            io_read_bytes=self._read,
            io_write_bytes=self._written,
        )


def _merged(first: Usage, second: Usage) -> Usage:
    """What the first tells, and where it tells nothing the second."""
    parts = {part.name: getattr(first, part.name) for part in fields(Usage)}
    return replace(second, **{name: value for name, value in parts.items() if value is not None})


def _sum(*seconds: float | None) -> float:
    return sum(part or 0.0 for part in seconds)


def _of_process(pid: int) -> Usage | None:
    """What a process and those that it has reaped have used; None where it is gone."""
    with suppress(OSError, ValueError):
        with open(f"/proc/{pid}/stat", "rb") as file:
            parts = file.read().rpartition(b")")[2].split()
        user, system, reaped_user, reaped_system = (int(part) / _TICKS for part in parts[11:15])
        read, written = _io_of(pid)
        return Usage(
            cpu_user=user + reaped_user,
            cpu_system=system + reaped_system,
            memory_bytes=int(parts[21]) * _PAGE,
            memory_peak_bytes=_peak_of(pid),
            io_read_bytes=read,
            io_write_bytes=written,
            pids=int(parts[17]),
        )
    return None


def _io_of(pid: int) -> tuple[int, int]:
    """Read from and written to disks; nothing where we may not look (ptrace(2) of a process of another user)."""
    with suppress(OSError), open(f"/proc/{pid}/io") as file:
        counts = dict(line.split(": ") for line in file.read().splitlines())
        return int(counts["read_bytes"]), int(counts["write_bytes"])
    return 0, 0


def _peak_of(pid: int) -> int:
    with suppress(OSError), open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0
