"""What limits and isolation add to a start."""

from __future__ import annotations

import time
from typing import Any

from jobworker_lib import Engine, Isolation, IsolationError, LimitNotEnforceableError, Limits
from rig import Sizes, scratch
from table import milliseconds, show

_COMMAND = ["/bin/true"]
_BLOCK = 5
_WARM_UP = 10
_KINDS: dict[str, dict[str, Any]] = {
    "without": {},
    "a limit of each process (`open_files`)": {"limits": Limits(open_files=1000)},
    "a limit of the whole job (`pids`, a cgroup)": {"limits": Limits(pids=100)},
    "`Isolation(pid=True)`": {"isolation": Isolation(pid=True)},
    "`Isolation.full()` without Landlock": {"isolation": Isolation.full(landlock=False)},
    "`Isolation.full()`": {"isolation": Isolation.full()},
    "`Isolation.full()` and a limit of the whole job": {"isolation": Isolation.full(), "limits": Limits(pids=100)},
}


def measure(sizes: Sizes) -> None:
    """Print the table: in turns of a few starts each; the job's end is waited for, and not counted."""
    with scratch() as directory, Engine(directory / "fence") as engine:
        kinds = {name: options for name, options in _KINDS.items() if _can_be_had(engine, options)}
        seconds: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(sizes.starts // _BLOCK // 2):
            for name, options in kinds.items():
                for _ in range(_BLOCK):
                    begin = time.perf_counter()
                    job = engine.start(_COMMAND, cwd="/", **options)
                    seconds[name].append(time.perf_counter() - begin)
                    job.wait()
    rows: list[tuple[str, ...]] = [(name, *milliseconds(values)) for name, values in seconds.items()]
    rows += [(name, "not to be had here", "") for name in _KINDS if name not in kinds]
    show("Start latency with limits and isolation (ms)", ("", "median", "p99"), rows)


def _can_be_had(engine: Engine, options: dict[str, Any]) -> bool:
    try:
        for _ in range(_WARM_UP):
            engine.start(_COMMAND, cwd="/", **options).wait()
    except (IsolationError, LimitNotEnforceableError):
        return False
    return True
