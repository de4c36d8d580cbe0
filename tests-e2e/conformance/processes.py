"""What tests look up among the processes of this host, and waiting for what has no event."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PATIENCE_SECONDS = 30.0


def wait_until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Return as soon as the condition holds; fail where it does not for long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {PATIENCE_SECONDS:g} seconds"
        time.sleep(0.01)


def job_processes(job_id: str) -> list[int]:
    """The processes of a job, told by the variable that every job has in its environment; zombies have none."""
    wanted = f"JOBWORKER_JOB_ID={job_id}".encode()
    found = []
    for pid in _all_pids():
        with suppress(OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def command_line(pid: int) -> list[str]:
    """What a process was executed with."""
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]


def holders(directory: Path) -> list[int]:
    """The processes but this one that have a file below the directory open."""
    inside = f"{directory}/"
    return [pid for pid in _all_pids() if pid != os.getpid() and any(name.startswith(inside) for name in _files(pid))]


def _files(pid: int) -> list[str]:
    names = []
    with suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                names.append(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    return names


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]
