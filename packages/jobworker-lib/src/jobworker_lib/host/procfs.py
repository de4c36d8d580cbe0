"""The processes of this host, as /proc tells them (proc(5))."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_STAT_BYTES = 1024
"""More than a file ``stat`` ever has."""
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") >> 10
_FORKED_AND_NOT_EXECUTED = 0x40
"""PF_FORKNOEXEC, among a process's flags."""


@cache
def boot_id() -> str:
    """Changes with every boot of the host."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def boot_time_ns() -> int:
    """When the host was booted, in nanoseconds since the epoch, as its clock tells now; exact to a second."""
    with open("/proc/stat") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("btime ")) * 1_000_000_000


def all_pids() -> Iterator[int]:
    """All processes of this host, as far as this one sees them."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def parent_of(pid: int) -> int:
    """The parent of a process. FileNotFoundError or ProcessLookupError where it is gone."""
    descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)  # not open(), which takes twice as long
    try:
        data = os.read(descriptor, _STAT_BYTES)
    finally:
        os.close(descriptor)
    # The name, in parentheses, may itself hold spaces and parentheses.
    return int(data[data.rindex(b")") + 1 :].split(None, 2)[1])


def descendants(*roots: int) -> list[int]:
    """The pids of all processes below ``roots``, parents before their children; zombies included."""
    children: dict[int, list[int]] = {}
    for pid in all_pids():
        with suppress(OSError):
            children.setdefault(parent_of(pid), []).append(pid)
    found: dict[int, None] = {}
    level: Iterable[int] = roots
    while level := [child for parent in level for child in children.get(parent, ()) if child not in found]:
        found.update(dict.fromkeys(level))
    return list(found)


def own_children() -> list[int]:
    """The children of this process's one thread, zombies included; none where the kernel doesn't tell them."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
            return list(map(int, file.read().split()))
    except FileNotFoundError:
        return []


def name_and_memory(pid: int) -> tuple[str, int] | None:
    """A process's name, and its memory in KiB; None: it is gone. One that is ending has none any more."""
    with suppress(OSError, ValueError), open(f"/proc/{pid}/stat", "rb") as file:
        before, _, after = file.read().rpartition(b")")
        return os.fsdecode(before.partition(b"(")[2]), int(after.split()[21]) * _PAGE_KIB
    return None


def was_executed(pid: int) -> bool | None:
    """Whether a process has executed a program since it was forked; None: it is reaped."""
    with suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        return not int(file.read().rpartition(b")")[2].split()[6]) & _FORKED_AND_NOT_EXECUTED
    return None


def processes_with_environment(variable: str, value: str) -> list[tuple[int, dict[str, str]]]:
    """Pid and environment of all processes that were executed with this variable and that we may look at."""
    wanted = os.fsencode(f"{variable}={value}")
    found = []
    for pid in all_pids():
        with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
            if wanted in entries:
                found.append((pid, dict(_variable(entry) for entry in entries)))
    return found


def _variable(entry: bytes) -> tuple[str, str]:
    name, _, value = os.fsdecode(entry).partition("=")
    return name, value
