"""Processors: quota, weight and niceness."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from jobworker_lib import Engine, Limits
from limits.tools import Machine, python, wait_until, words

_BUSY = """
import sys, time
begin, used = time.monotonic(), time.process_time()
while time.monotonic() < begin + float(sys.argv[1]):
    pass
print((time.process_time() - used) / (time.monotonic() - begin))
"""

_PINNED = """
import os, sys
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
print("ready", flush=True)
import time
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
"""


def processor_time_is_bounded(engine: Engine, _machine: Machine) -> None:
    """The measured share is that of the limit; a busy machine may give less, never more."""
    shares = []
    favoured = Limits(cpu_weight=10_000)  # the machine may be busy
    for _ in range(5):
        result = engine.run(python(_BUSY, 3), limits=replace(favoured, cpus=0.3))
        shares.append(float(result.stdout))
        assert shares[-1] < 0.35, shares
        assert result.status.usage is not None
        if shares[-1] > 0.25 and result.status.usage.cpu_throttled:  # on a busy machine it is others that it waits for
            break
    else:
        raise AssertionError(f"it never came near its limit: {shares}")
    free = [float(engine.run(python(_BUSY, 2), limits=favoured).stdout) for _ in range(3)]
    assert max(free) > 0.4, free


def weights_share_a_processor(engine: Engine, _machine: Machine) -> None:
    """Of two jobs on one processor that with three times the weight gets about three times as much."""
    _assert_three_times(engine, Limits(cpu_weight=3000), Limits(cpu_weight=1000))


def niceness_shares_a_processor(engine: Engine, _machine: Machine) -> None:
    """So does that which is nicer by five: three times is what sched(7) tells of it."""
    _assert_three_times(engine, Limits(nice=5), Limits(nice=10))


def _assert_three_times(engine: Engine, more: Limits, less: Limits) -> None:
    """One of two jobs gets about so much; not at the first try where the machine is busy with others."""
    seen = []
    for _ in range(3):
        much, little = _shares(engine, more, less)
        seen.append(much / little)
        if 2 < seen[-1] < 4.5:
            return
    raise AssertionError(seen)


def _shares(engine: Engine, *limits: Limits) -> list[float]:
    """The shares of the same processor that jobs have at the same time."""
    with tempfile.TemporaryDirectory() as directory:
        gate = Path(directory, "gate")
        jobs = [engine.start(python(_PINNED + _BUSY, 5, gate), limits=limit) for limit in limits]
        for job in jobs:
            wait_until(lambda job=job: job.status().output_bytes, "output of the job")  # type: ignore[misc]  # a default
        gate.touch()  # all begin at once
        return [float(words(job)[-1]) for job in jobs]
