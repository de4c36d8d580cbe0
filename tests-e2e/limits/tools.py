"""What the scenarios share.

A scenario takes an engine and a machine, and asserts; it needs no test runner, so that it runs in the guest as well.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jobworker_lib import Engine, Job, Usage

MIB = 1 << 20
Scenario = Callable[[Engine, "Machine"], None]

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Machine:
    """What the scenarios need to know of where they run."""

    version: int
    """Of the cgroups."""
    disk: str
    """A block device, or a file on one, with 16 MiB to read."""
    scratch: str | None
    """A block device that may be written to."""

    def pids_of(self, job: Job) -> list[int]:
        """The processes in the cgroup of a job."""
        files = [Path(directory, "cgroup.procs") for directory in self.cgroups_of(job)]
        return sorted({int(pid) for file in files if file.exists() for pid in file.read_text().split()})

    def cgroups_of(self, job: Job) -> list[str]:
        """The directories that are the cgroup of a job."""
        return self.cgroups_with(job.id)

    def cgroups_with(self, job_id: str) -> list[str]:
        """The same, by its id."""
        return [path for path, _, _ in os.walk("/sys/fs/cgroup") if path.endswith(f"/jobworker-{job_id}")]


def python(script: str, *arguments: object) -> list[str]:
    """A Python script, of as few pages as there can be."""
    return [sys.executable, "-I", "-S", "-c", script, *map(str, arguments)]


def hog(mebibytes: int) -> list[str]:
    """A command that takes so much memory."""
    return python("import sys; held = b'x' * (int(sys.argv[1]) << 20)", mebibytes)


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Return as soon as the condition holds; fail where it does not for long."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, f"{what} did not come true"
        time.sleep(0.05)


def words(job: Job) -> list[bytes]:
    """What the job prints, when it has ended."""
    return b"".join(chunk.data for chunk in job.output()).split()


def usage_of(job: Job) -> Usage:
    """What a job has used."""
    usage = job.status().usage
    assert usage is not None
    return usage
