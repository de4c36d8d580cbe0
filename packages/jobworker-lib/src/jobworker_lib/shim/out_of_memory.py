"""Notices that a job runs out of the memory it may use."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobworker_lib.cgroup.group import Group

_LONGEST_MESSAGE = 8192
_KILL = re.compile(r"oom-kill:.*task_memcg=(?P<group>[^,]*),task=(?P<name>.*),pid=(?P<pid>\d+),uid=")


class OutOfMemory:
    """Watches the memory of one job's cgroup; a job without one is never seen to run out."""

    def __init__(self, group: Group | None) -> None:
        self._group = group
        self._was_told = False
        self._kills = group.out_of_memory_kills() if group else 0
        self.descriptor = group.watch_out_of_memory() if group else None
        """Can be read when the rest of the job is to be killed."""

    def begin_attempt(self) -> None:
        """What was before does not count."""
        self._was_told = False
        self._kills = self._group.out_of_memory_kills() if self._group else 0

    def hear(self) -> None:
        """Memory is short, and the kernel is about to kill some process."""
        if self.descriptor is not None:
            os.eventfd_read(self.descriptor)
            self._was_told = True

    @property
    def happened(self) -> bool:
        """Whether the job ran out of memory in this attempt."""
        return self._was_told or (self._group is not None and self._group.out_of_memory_kills() > self._kills)

    def process(self) -> str | None:
        """The process that was killed for it, as ``NAME (PID)``; None where the kernel's log can't be read."""
        name = os.path.basename(next(iter(self._group.directories.values()))) if self._group else ""
        killed = None
        for message in _kernel_messages():
            found = _KILL.search(message)
            if found and name in found["group"].split("/"):
                killed = f"{found['name']} ({found['pid']})"
        return killed

    def close(self) -> None:
        """Watch no more."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def _kernel_messages() -> Iterator[str]:
    """The kernel's log as far as it is kept."""
    with suppress(OSError):
        descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            while True:
                try:
                    yield os.read(descriptor, _LONGEST_MESSAGE).decode(errors="replace")
                except BrokenPipeError:  # messages were dropped while we read
                    continue
        finally:
            os.close(descriptor)
