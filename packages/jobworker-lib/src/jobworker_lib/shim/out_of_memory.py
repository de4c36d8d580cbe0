"""Notices that a job runs out of the memory it may use, and finds out which of its processes was killed for it."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.host.procfs import name_and_memory
from jobworker_lib.shim.victims import Victim, Victims, describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobworker_lib.cgroup.group import Group

_KERNEL_LOG = "/dev/kmsg"
_KERNEL_LOG_DEVICE = (1, 11)
_LONGEST_MESSAGE = 8192
_KILL = re.compile(r"oom-kill:.*task_memcg=(?P<group>[^,]*),task=(?P<name>.*),pid=(?P<pid>\d+),uid=")


class OutOfMemory:
    """Watches the memory of one job's cgroup; a job without one is never seen to run out."""

    def __init__(self, group: Group | None) -> None:
        self._group = group
        self.descriptor = group.watch_out_of_memory() if group else None
        """Can be read when the rest of the job is to be killed."""
        self.begin_attempt()

    @property
    def kernel_kills_all(self) -> bool:
        """Whether the whole job ends by itself when it runs out of memory."""
        return self._group is not None and self._group.version == 2

    def begin_attempt(self) -> None:
        """What was before does not count."""
        self._was_told = False
        self._kills = self._group.out_of_memory_kills() if self._group else 0
        self._victims = Victims()
        self._seen: dict[int, Victim] = {}
        self._is_ours = False

    def hear(self) -> None:
        """Memory is short, and the kernel is about to kill some process, or has just begun to."""
        if self.descriptor is not None and self._group is not None:
            os.eventfd_read(self.descriptor)
            self._was_told = True
            for pid in self._group.processes():
                if pid not in self._seen and (seen := name_and_memory(pid)) is not None:
                    self._seen[pid] = Victim(seen[0], pid, seen[1])

    def killed(self, victim: Victim) -> None:
        """A process of the job that was killed is reaped."""
        if not self._is_ours:
            self._victims.add(victim)

    def kill_begins(self) -> None:
        """From now on it is this process that kills."""
        if not self._is_ours and self._group is not None and self._seen:
            for pid in self._group.processes():
                found = name_and_memory(pid)
                if found is not None and found[1]:  # it is not ending, so the kernel has not chosen it
                    self._seen.pop(pid, None)
        self._is_ours = True

    @property
    def happened(self) -> bool:
        """Whether the job ran out of memory in this attempt."""
        return self._was_told or (self._group is not None and self._group.out_of_memory_kills() > self._kills)

    def process(self, reaped_elsewhere: Victims) -> str | None:
        """The process that was killed for it, as :meth:`Victims.describe` has it; None where that can't be found out.

        The kernel's log tells it for sure, where it can be read. ``reaped_elsewhere`` are those whom this process could
        not reap; when it has killed some of them itself, they tell nothing.
        """
        if told := self._told_by_kernel():
            return told
        victims = self._victims if self._is_ours or self._victims.count else reaped_elsewhere
        if victims.count != 1 and self._seen:
            gone = max(self._seen.values(), key=lambda victim: victim.memory)
            return f"probably {describe(gone.name, gone.pid)}"
        return victims.describe()

    def _told_by_kernel(self) -> str | None:
        name = os.path.basename(next(iter(self._group.directories.values()))) if self._group else ""
        killed = None
        for message in _kernel_messages():
            found = _KILL.search(message)
            if found and name in found["group"].split("/"):
                killed = describe(found["name"], int(found["pid"]))
        return killed

    def close(self) -> None:
        """Watch no more."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def _kernel_messages() -> Iterator[str]:
    """The kernel's log as far as it is kept; nothing where containers have something else in its place."""
    with suppress(OSError):
        descriptor = os.open(_KERNEL_LOG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(*_KERNEL_LOG_DEVICE):
                return
            while True:
                try:
                    yield os.read(descriptor, _LONGEST_MESSAGE).decode(errors="replace")
                except BrokenPipeError:  # messages were dropped while we read
                    continue
        finally:
            os.close(descriptor)
