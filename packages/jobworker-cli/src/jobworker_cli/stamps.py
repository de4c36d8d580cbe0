"""Times before the lines of a job's output, and colour for its stderr."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime

from jobworker_cli.job_output import say_gap, write_output
from jobworker_cli.models import Chunk, Stream
from jobworker_cli.terminal import write

_STDOUT = 1
_STDERR = 2
_RED = b"\x1b[31m"
_PLAIN = b"\x1b[0m"


class MarkedOutput:
    """Writes output as ``write_output`` does, each line with the time at which its first byte was captured."""

    def __init__(self, *, all_to_stdout: bool, timestamps: bool) -> None:
        self._all_to_stdout = all_to_stdout
        self._timestamps = timestamps
        self._colours = has_colours(_STDERR)
        self._is_amid: dict[Stream, bool] = {}

    def write(self, chunks: Iterable[Chunk]) -> None:
        """Write the next of it. OutputClosedError: nobody reads it any more."""
        if not self._timestamps and not self._colours:
            write_output(chunks, all_to_stdout=self._all_to_stdout)
            return
        for chunk in chunks:
            if chunk.gap:
                say_gap(chunk.gap)
            to_stdout = self._all_to_stdout or chunk.stream is Stream.STDOUT
            data = self._stamped(chunk) if self._timestamps else chunk.data
            if not to_stdout and self._colours and data:
                data = _RED + data + _PLAIN
            write(_STDOUT if to_stdout else _STDERR, data)

    def _stamped(self, chunk: Chunk) -> bytes:
        stamp = _stamp(chunk.time)
        lines = _lines(chunk.data)
        is_amid = self._is_amid.get(chunk.stream, False)
        self._is_amid[chunk.stream] = bool(chunk.data) and not chunk.data.endswith(b"\n")
        return b"".join(line if is_amid and not number else stamp + line for number, line in enumerate(lines))


def has_colours(descriptor: int) -> bool:
    """Whether what is written there may be coloured: it is a terminal, and the user has not said no (NO_COLOR)."""
    return os.isatty(descriptor) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _stamp(time: datetime) -> bytes:
    return f"{time:%Y-%m-%dT%H:%M:%S.%fZ} ".encode()


def _lines(data: bytes) -> list[bytes]:
    """Lines that end with a newline alone: what a carriage return begins belongs to the same line."""
    *whole, rest = data.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])
