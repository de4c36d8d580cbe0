"""The way out: bytes and text to standard output and error, at once and whole."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys

from jobworker_cli.errors import AmbiguousIdError, ClientError
from jobworker_cli.text import command_line, escape

_STDOUT = 1
_STDERR = 2


class OutputClosedError(Exception):
    """Whoever read the standard output or error has gone."""


class OutputFailedError(OutputClosedError):
    """The standard output or error can't be written to: the disk is full, for example."""


def hold_standard_descriptors() -> None:
    """Open those of descriptors 0 to 2 that are closed: the next file or connection would be taken for one of them.

    The standard input is at its end then, the standard output can't be written to, and messages are dropped.
    """
    for descriptor, mode in ((0, os.O_RDONLY), (_STDOUT, os.O_RDONLY), (_STDERR, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # The lowest free number, which is this one.
    if sys.stdout is None:  # Python's name for one that is closed, to which typer writes help without an error
        sys.stdout = open(_STDOUT, "w", closefd=False)  # noqa: SIM115  for as long as the process lives


def screen_size() -> os.terminal_size:
    """Columns and lines of the terminal at the standard output, whatever the environment says of another one."""
    with contextlib.suppress(OSError):
        size = os.get_terminal_size(_STDOUT)
        if size.columns and size.lines:
            return size
    return shutil.get_terminal_size()


def print_line(text: str) -> None:
    """Write a line to the standard output; what its encoding lacks is written as escapes.

    Raises:
        OutputClosedError: nobody reads it any more.
    """
    encoding = sys.stdout.encoding if sys.stdout else "ascii"
    write(_STDOUT, f"{text}\n".encode(encoding, "backslashreplace"))


def print_over(text: str) -> None:
    """Write a line in place of the last one that was printed on this terminal. OutputClosedError."""
    print_line(f"\x1b[1A\x1b[2K{text}")


def printable(text: str, otherwise: str) -> str:
    """``text`` where the encoding of the standard output has it."""
    try:
        text.encode(sys.stdout.encoding if sys.stdout else "ascii")
    except UnicodeEncodeError:
        return otherwise
    return text


def pause(seconds: float) -> None:
    """Wait, as long as anybody reads the standard output. OutputClosedError: nobody does any more."""
    poll = select.poll()
    poll.register(_STDOUT, 0)  # what is wrong with it is told in any case
    if poll.poll(seconds * 1000):
        raise OutputClosedError


def write(descriptor: int, data: bytes) -> None:
    """Write all of ``data``, past Python's buffers.

    Raises:
        OutputClosedError: nobody reads it any more.
        OutputFailedError: it can't be written to.
    """
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # Whoever else has this pipe or terminal made it so.
            select.select([], [descriptor], [])
        except BrokenPipeError:
            raise OutputClosedError from None
        except OSError as error:
            name = "error" if descriptor == _STDERR else "output"
            raise OutputFailedError(f"the standard {name} can't be written to: {error.strerror}") from None


def say(message: str) -> None:
    """Tell people something, on the standard error, in one line that is safe to print."""
    encoding = sys.stderr.encoding if sys.stderr else "ascii"
    with contextlib.suppress(OutputClosedError, OSError):  # There may be nobody left to tell.
        write(_STDERR, f"{escape(message)}\n".encode(encoding, "backslashreplace"))


def report(error: ClientError) -> None:
    """Say what went wrong and what to do about it."""
    say(f"error: {error}")
    if isinstance(error, AmbiguousIdError):
        for job in error.candidates:
            say(f"  {job.id}  {job.describe()}  {command_line(job.argv)}")
    if error.hint:
        say(f"hint: {error.hint}")
