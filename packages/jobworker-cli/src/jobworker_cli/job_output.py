"""A job's output, written out as it is."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from jobworker_cli.models import Chunk, Gap, Stream
from jobworker_cli.terminal import say, write

_STDOUT = 1
_STDERR = 2


def write_output(chunks: Iterable[Chunk], *, all_to_stdout: bool = False) -> None:
    """Write a job's output unchanged, its stdout to the standard output and its stderr to the standard error.

    What is missing in it is told on the standard error.

    Raises:
        OutputClosedError: nobody reads it any more.
    """
    for (stream, gap), run in groupby(chunks, key=lambda chunk: (chunk.stream, chunk.gap)):
        if gap:
            say_gap(gap)
        descriptor = _STDOUT if all_to_stdout or stream is Stream.STDOUT else _STDERR
        write(descriptor, b"".join(chunk.data for chunk in run))


def say_gap(gap: Gap) -> None:
    """Tell that output is missing."""
    say(f"{gap.end - gap.begin} bytes from offset {gap.begin} on were dropped to keep the job's output limit")
