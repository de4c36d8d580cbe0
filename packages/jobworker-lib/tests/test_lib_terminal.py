"""The size of a job's terminal, made wrong for a moment so that programs draw anew."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from jobworker_lib import TerminalSize
from jobworker_lib.shim.pty import Terminal

SIZE = TerminalSize(rows=30, columns=100)
OTHER = TerminalSize(rows=41, columns=120)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with closing(Terminal(SIZE)) as terminal:
        yield terminal


def test_a_program_has_two_seconds_to_see_another_size(terminal: Terminal) -> None:
    began = time.monotonic()
    terminal.resize(SIZE, redraw=True)
    ended = time.monotonic()
    assert seen(terminal) == (30, 99)
    assert began + 2 <= due(terminal) <= ended + 2
    terminal.restore()
    assert (seen(terminal), terminal.restore_at) == ((30, 100), None)


def test_the_size_is_made_right_soon_after_the_program_wrote(terminal: Terminal) -> None:
    terminal.resize(SIZE, redraw=True)
    prints(terminal)
    first = due(terminal)
    assert first <= time.monotonic() + 0.2
    prints(terminal)
    assert due(terminal) == first


def test_output_of_before_is_no_answer(terminal: Terminal) -> None:
    os.write(terminal.slave, b"old")
    assert select.select([terminal.master], [], [], 60)[0]
    terminal.resize(SIZE, redraw=True)
    last = due(terminal)
    for part in (b"o", b"ld"):
        assert os.read(terminal.master, len(part)) == part
        terminal.output_was_taken()
        assert due(terminal) == last
    prints(terminal)
    assert due(terminal) <= time.monotonic() + 0.2


def test_one_more_who_joins_meanwhile_gets_the_change_to_the_right_size(terminal: Terminal) -> None:
    terminal.resize(SIZE, redraw=True)
    first = due(terminal)
    terminal.resize(SIZE, redraw=True)
    assert (seen(terminal), due(terminal)) == ((30, 99), first)


def test_the_same_size_once_more_does_not_cut_the_change_short(terminal: Terminal) -> None:
    terminal.resize(SIZE, redraw=True)
    terminal.resize(SIZE, redraw=False)
    assert seen(terminal) == (30, 99)
    assert terminal.restore_at


@pytest.mark.parametrize("redraw", [True, False])
def test_a_new_size_counts_at_once(terminal: Terminal, redraw: bool) -> None:
    terminal.resize(SIZE, redraw=True)
    terminal.resize(OTHER, redraw=redraw)
    assert (seen(terminal), terminal.restore_at) == ((41, 120), None)


def test_a_new_size_that_is_the_wrong_one_is_a_change_too(terminal: Terminal) -> None:
    terminal.resize(SIZE, redraw=True)
    terminal.resize(TerminalSize(30, 99), redraw=True)
    assert seen(terminal) == (30, 98)
    terminal.restore()
    assert seen(terminal) == (30, 99)


def test_a_size_that_the_program_set_itself_is_made_that_of_who_joins(terminal: Terminal) -> None:
    terminal.resize(OTHER, redraw=False)
    terminal._set(SIZE)  # as `stty rows 30 cols 100` of the job does
    terminal.resize(OTHER, redraw=True)
    assert (seen(terminal), terminal.restore_at) == ((41, 120), None)


@pytest.mark.parametrize("columns", [1, 2, 65535])
def test_every_size_has_another_one(terminal: Terminal, columns: int) -> None:
    terminal.resize(TerminalSize(1, columns), redraw=True)
    terminal.resize(TerminalSize(1, columns), redraw=True)
    assert seen(terminal)[1] not in (0, columns)
    terminal.restore()
    assert seen(terminal) == (1, columns)


def test_output_at_other_times_changes_nothing(terminal: Terminal) -> None:
    prints(terminal)
    assert (seen(terminal), terminal.restore_at) == ((30, 100), None)


def prints(terminal: Terminal) -> None:
    """Print something, which is taken at once."""
    os.write(terminal.slave, b"new")
    os.read(terminal.master, 100)
    terminal.output_was_taken()


def seen(terminal: Terminal) -> tuple[int, int]:
    """Rows and columns, as the program sees them."""
    columns, rows = os.get_terminal_size(terminal.slave)
    return rows, columns


def due(terminal: Terminal) -> float:
    assert terminal.restore_at is not None
    return terminal.restore_at
