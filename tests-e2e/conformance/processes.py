"""What tests look up among the processes of this host, and waiting for what has no event."""

from __future__ import annotations

import os
from pathlib import Path

from lib_testing import PATIENCE_SECONDS, all_pids, job_processes, open_files, wait_until

__all__ = ["PATIENCE_SECONDS", "command_line", "holders", "job_processes", "open_files", "wait_until"]


def command_line(pid: int) -> list[str]:
    """What a process was executed with."""
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]


def holders(directory: Path) -> list[int]:
    """The processes but this one that have a file below the directory open."""
    inside = f"{directory}/"
    return [
        pid for pid in all_pids() if pid != os.getpid() and any(name.startswith(inside) for name in open_files(pid))
    ]
