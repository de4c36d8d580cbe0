"""Waits for the end of all that is in a cgroup, where its hierarchy tells: that of version 2, an empty one included."""

from __future__ import annotations

import os
import select
import time

_FILE = "cgroup.events"
_LONGEST = 4096


def wait(directory: str, seconds: float) -> bool | None:
    """Wait for the end of the last process in a cgroup, and below it: whether it came within so many seconds.

    None where nobody tells: there is no such cgroup, or it is of version 1.
    """
    try:
        events = os.open(os.path.join(directory, _FILE), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    poller = select.poll()
    poller.register(events, select.POLLPRI)
    give_up_at = time.monotonic() + seconds
    try:
        while b"populated 1" in os.pread(events, _LONGEST, 0):
            left = give_up_at - time.monotonic()
            if left <= 0:
                return False
            poller.poll(left * 1000)
    except OSError:  # it was removed
        return True
    finally:
        os.close(events)
    return True
