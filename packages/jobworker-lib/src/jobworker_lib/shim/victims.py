"""Which processes of a job were killed, told by who reaped them: for hosts whose kernel tells nobody else."""

from __future__ import annotations

import os
import resource
import signal
import struct
from contextlib import suppress
from typing import NamedTuple, Self

_PACKED = struct.Struct("=IiQ16s")


class Victim(NamedTuple):
    """A process that was killed."""

    name: str
    pid: int
    memory: int
    """The most memory that it ever had, in KiB; that which it was forked from counts, too."""


class Victims:
    """How many were killed, and which of them had the most memory: the kernel chooses that one when memory runs out."""

    def __init__(self, count: int = 0, largest: Victim | None = None) -> None:
        self.count = count
        self.largest = largest

    def add(self, victim: Victim) -> None:
        """One more was killed."""
        self.count += 1
        if self.largest is None or victim.memory > self.largest.memory:
            self.largest = victim

    def pack(self) -> bytes:
        """All of it, for another process."""
        name, pid, memory = self.largest or ("", 0, 0)
        return _PACKED.pack(self.count, pid, memory, os.fsencode(name))

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """What :meth:`pack` has packed."""
        count, pid, memory, name = _PACKED.unpack(packed)
        return cls(count, Victim(os.fsdecode(name.rstrip(b"\0")), pid, memory) if count else None)

    def describe(self) -> str | None:
        """That for which memory ran out, as ``NAME (PID)``, or ``probably NAME (PID)``; None: it can't be told.

        It was the one that was killed, if that was one only. Of several it is likely that with the most memory, but
        nothing is known where none had more than what they all began as, a copy of this process.
        """
        if self.largest is None:
            return None
        if self.count == 1:
            return describe(self.largest.name, self.largest.pid)
        if self.largest.memory <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss:
            return None
        return f"probably {describe(self.largest.name, self.largest.pid)}"


def describe(name: str, pid: int) -> str:
    """A process as people are told of it; it may have chosen a name that would upset their terminals."""
    return f"{''.join(character if character.isprintable() else '?' for character in name)} ({pid})"


def name_of_killed(pid: int, code: int, status: int) -> str | None:
    """The name of a child that was killed and is not reaped yet; None: it ended otherwise.

    ``code`` and ``status`` are what waitid(2) told of it.
    """
    if code not in (os.CLD_KILLED, os.CLD_DUMPED) or status != signal.SIGKILL:
        return None
    with suppress(OSError), open(f"/proc/{pid}/comm", "rb") as file:
        return os.fsdecode(file.read().removesuffix(b"\n"))  # at most 15 bytes
    return ""
