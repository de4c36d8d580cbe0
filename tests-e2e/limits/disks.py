"""Disks."""

from __future__ import annotations

import time

from jobworker_lib import Engine, IoLimit, Limits, Usage
from limits.tools import MIB, Machine

_OPERATIONS = 100


def reads_are_slowed_down(engine: Engine, machine: Machine) -> None:
    """To so many bytes a second, which are counted."""
    command = ["dd", f"if={machine.disk}", "of=/dev/null", "bs=256K", "count=16", "iflag=direct"]
    limits = Limits(io=(IoLimit(device=machine.disk, read_bytes_per_second=2 * MIB),))
    rate, usage = _rate(engine, command, limits)
    assert 1.2 * MIB < rate < 2.6 * MIB, rate
    assert 4 * MIB <= (usage.io_read_bytes or 0) < 5 * MIB, usage
    free, _ = _rate(engine, command, None)
    assert free > 4 * MIB, free


def writes_are_slowed_down(engine: Engine, machine: Machine) -> None:
    """Those through the page cache too."""
    assert machine.scratch is not None
    command = ["dd", "if=/dev/zero", f"of={machine.scratch}", "bs=256K", "count=16", "conv=fsync,notrunc"]
    limits = Limits(io=(IoLimit(device=machine.scratch, write_bytes_per_second=2 * MIB),))
    rate, usage = _rate(engine, command, limits)
    assert 1.2 * MIB < rate < 2.6 * MIB, rate
    assert 4 * MIB <= (usage.io_write_bytes or 0) < 5 * MIB, usage
    free, _ = _rate(engine, command, None)
    assert free > 4 * MIB, free


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


def _assert_operations(engine: Engine, command: list[str], limit: IoLimit) -> None:
    """Run a job of some operations with a limit of 40 a second, and without."""
    limited, _ = _took(engine, command, Limits(io=(limit,)))
    assert 30 < _OPERATIONS / limited < 50, limited
    free, _ = _took(engine, command, None)
    assert _OPERATIONS / free > 80, free


def _rate(engine: Engine, command: list[str], limits: Limits | None) -> tuple[float, Usage]:
    """How many bytes a second of 4 MiB a job makes, and what it has used."""
    took, usage = _took(engine, command, limits)
    return 4 * MIB / took, usage


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
