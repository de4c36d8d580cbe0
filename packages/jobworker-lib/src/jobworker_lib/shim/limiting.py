"""The limits that a job's main process sets itself, and hands down to all that it forks: rlimits and niceness."""

from __future__ import annotations

import errno
import os
import resource
import time
from functools import partial
from typing import TYPE_CHECKING

from jobworker_lib.job.start_errors import LIMIT_STEP

if TYPE_CHECKING:
    from jobworker_lib.job.limits import Limits
    from jobworker_lib.shim.enter import Step

_RLIMITS = {
    "open_files": resource.RLIMIT_NOFILE,
    "file_size_bytes": resource.RLIMIT_FSIZE,
    "core_size_bytes": resource.RLIMIT_CORE,
}

_AUTOGROUP_SECONDS = 0.05


def limit_steps(limits: Limits) -> list[Step]:
    """What sets them, while the process has its privileges still; none where none is asked for."""
    steps: list[Step] = []
    if limits.nice is not None:
        steps.append((f"{LIMIT_STEP}nice", partial(_set_nice, limits.nice)))
    for name, number in _RLIMITS.items():
        value = getattr(limits, name)
        if value is not None:
            steps.append((f"{LIMIT_STEP}{name}", partial(_set_rlimit, number, value)))
    return steps


def _set_nice(nice: int) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    # Where the kernel groups processes by sessions, niceness counts within one only, and a job is one (sched(7)).
    while True:
        try:
            descriptor = os.open("/proc/self/autogroup", os.O_WRONLY)
        except FileNotFoundError:
            return
        try:
            os.write(descriptor, str(nice).encode())
        except BlockingIOError:  # users without privileges may do this ten times a second, all together
            time.sleep(_AUTOGROUP_SECONDS)
        else:
            return
        finally:
            os.close(descriptor)


def _set_rlimit(number: int, value: int) -> None:
    try:
        resource.setrlimit(number, (value, value))
    except ValueError:  # how the module tells of a limit above the hard one
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM)) from None
