"""An engine that is started again, as systemd does with a unit: ``python -m limits.restart first|second CGROUP USER``.

The first is put into the delegated cgroup itself, as without ``DelegateSubgroup=``, starts a job with limits and dies.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from jobworker_lib import Engine, Limits, Reason, State
from jobworker_lib.cgroup import delegation, hierarchies
from jobworker_lib.cgroup.delegation import ENGINE_LEAF
from limits.runner import become
from limits.tools import MIB, hog, wait_until

_LIMITS = Limits(memory_bytes=16 * MIB, pids=20)


def first(cgroup: Path, user: int, state_dir: str) -> None:
    """Start the job, and die."""
    (cgroup / "cgroup.procs").write_text("0")
    become(user)
    assert "DelegateSubgroup=" in (_warning() or "")
    engine = Engine(state_dir)
    job = engine.start(["sleep", "1000"], limits=_LIMITS)
    assert os.path.isdir(cgroup / f"jobworker-{job.id}")
    assert Path("/proc/self/cgroup").read_text().endswith(f"/{ENGINE_LEAF}\n")
    os._exit(0)


def second(cgroup: Path, user: int, state_dir: str) -> None:
    """Find the job, which runs on with its limits, stop it, and start others."""
    assert _entering(cgroup) == errno.EBUSY  # what systemd would run into
    (cgroup / ENGINE_LEAF / "cgroup.procs").write_text("0")
    become(user)
    assert _warning() is None
    with Engine(state_dir) as engine:
        (job,) = engine.list(state=State.RUNNING)
        own = cgroup / f"jobworker-{job.id}"
        assert (own / "memory.max").read_text() == f"{16 * MIB}\n"
        assert engine.run(hog(48), limits=_LIMITS).status.reason is Reason.OUT_OF_MEMORY
        assert engine.get(job.id).stop(force=True).state is State.STOPPED
        wait_until(lambda: not own.exists(), "the end of its cgroup")


def _warning() -> str | None:
    """What the doctor would warn of."""
    unified = hierarchies.read().unified
    assert unified is not None
    return delegation.warning(unified)


def _entering(cgroup: Path) -> int:
    """The error of entering a cgroup; 0: there is none."""
    try:
        (cgroup / "cgroup.procs").write_text("0")
    except OSError as error:
        return error.errno or 0
    return 0


if __name__ == "__main__":
    {"first": first, "second": second}[sys.argv[1]](
        Path("/sys/fs/cgroup", sys.argv[2]), int(sys.argv[3]), f"/tmp/state-{sys.argv[2]}"
    )
