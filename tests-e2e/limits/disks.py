"""Disks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from jobworker_lib import Engine, IoLimit, Limits, Usage
from limits.tools import MIB, Machine

_OPERATIONS = 100
_TRIES = 4
"""A busy disk or machine may be slower than a limit, at times; it is never faster."""


def reads_are_slowed_down(engine: Engine, machine: Machine) -> None:
    """To so many bytes a second, which are counted."""
    command = ["dd", f"if={machine.disk}", "of=/dev/null", "bs=256K", "count=16", "iflag=direct"]
    limit = IoLimit(device=machine.disk, read_bytes_per_second=2 * MIB)
    _assert_bytes(engine, command, limit, lambda usage: usage.io_read_bytes)


def writes_are_slowed_down(engine: Engine, machine: Machine) -> None:
    """Those through the page cache too."""
    assert machine.scratch is not None
    command = ["dd", "if=/dev/zero", f"of={machine.scratch}", "bs=256K", "count=16", "conv=fsync,notrunc"]
    limit = IoLimit(device=machine.scratch, write_bytes_per_second=2 * MIB)
    _assert_bytes(engine, command, limit, lambda usage: usage.io_write_bytes)


def operations_of_reading_are_slowed_down(engine: Engine, machine: Machine) -> None:
    """To so many a second, however small they are."""
    command = ["dd", f"if={machine.disk}", "of=/dev/null", "bs=4K", f"count={_OPERATIONS}", "iflag=direct"]
    _assert_operations(engine, command, IoLimit(device=machine.disk, read_operations_per_second=40))


def operations_of_writing_are_slowed_down(engine: Engine, machine: Machine) -> None:
    """To so many a second, however small they are."""
    assert machine.scratch is not None
    command = ["dd", "if=/dev/zero", f"of={machine.scratch}", "bs=4K", f"count={_OPERATIONS}", "oflag=direct"]
    _assert_operations(
        engine, [*command, "conv=notrunc"], IoLimit(device=machine.scratch, write_operations_per_second=40)
    )


def _assert_bytes(engine: Engine, command: list[str], limit: IoLimit, counted: Callable[[Usage], int | None]) -> None:
    """Run a job that moves 4 MiB with a limit of 2 a second, and without."""

    def rate(limits: Limits | None) -> float:
        took, usage = _took(engine, command, limits)
        assert limits is None or 4 * MIB <= (counted(usage) or 0) < 5 * MIB, usage
        return 4 * MIB / took

    _assert_reached(lambda: rate(Limits(io=(limit,))), least=1.2 * MIB, most=2.6 * MIB)
    _assert_reached(lambda: rate(None), least=4 * MIB)


def _assert_operations(engine: Engine, command: list[str], limit: IoLimit) -> None:
    """Run a job of some operations with a limit of 40 a second, and without."""

    def rate(limits: Limits | None) -> float:
        return _OPERATIONS / _took(engine, command, limits)[0]

    _assert_reached(lambda: rate(Limits(io=(limit,))), least=30, most=50)
    _assert_reached(lambda: rate(None), least=80)


def _assert_reached(measure: Callable[[], float], *, least: float, most: float = math.inf) -> None:
    """What is measured is below ``most`` each time, and above ``least`` at one of some tries."""
    seen: list[float] = []
    while not seen or seen[-1] <= least:
        assert len(seen) < _TRIES, seen
        seen.append(measure())
        assert seen[-1] < most, seen


def _took(engine: Engine, command: list[str], limits: Limits | None) -> tuple[float, Usage]:
    """How many seconds a job takes, by its own clock, and what it has used."""
    begin = time.monotonic()
    result = engine.run(command, limits=limits)
    took = time.monotonic() - begin
    assert result.exit_code == 0, result
    assert result.status.usage is not None
    words = result.stderr.decode().split(", ")
    own = next(float(word.removesuffix(" s")) for word in words if word.endswith(" s"))
    return min(own, took), result.status.usage
