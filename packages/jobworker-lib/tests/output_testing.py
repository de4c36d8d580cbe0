"""What the tests of the output log share: writing one through a pipe, as a shim does, and what readers make of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st

from jobworker_lib import Chunk, OutputLimit
from jobworker_lib.job.directory import JobDirectory
from jobworker_lib.output.format import STREAMS, Stream
from jobworker_lib.output.reader import OutputReader
from jobworker_lib.output.writer import OutputWriter

if TYPE_CHECKING:
    from typing import Unpack

    from jobworker_lib import OutputOptions

Runs = list[tuple[Stream, bytes]]

RUNS = st.lists(st.tuples(st.sampled_from(STREAMS), st.binary(min_size=1, max_size=300)), max_size=20)
LINES = st.lists(
    st.tuples(st.sampled_from(STREAMS), st.text("a\n", min_size=1, max_size=12).map(str.encode)), max_size=30
)
LIMITS = st.integers(min_value=200, max_value=3000).map(lambda limit: OutputLimit(limit, "drop_oldest"))
"""Smaller than a job may have: an eighth of it still holds a record."""
OFFSETS = st.integers(min_value=0, max_value=6200)
CHOICES = st.sampled_from([None, *STREAMS])


@contextmanager
def written(runs: Runs, *, splice: bool = True, limit: OutputLimit | None = None) -> Iterator[JobDirectory]:
    with tempfile.TemporaryDirectory() as path:
        directory = JobDirectory(path)
        with writing(directory, splice=splice, limit=limit) as write:
            for stream, data in runs:
                write(stream, data)
        yield directory


@contextmanager
def writing(
    directory: JobDirectory, *, splice: bool = True, limit: OutputLimit | None = None
) -> Iterator[Callable[[Stream, bytes], None]]:
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    writer = OutputWriter(directory, limit)
    writer._can_splice = splice

    def write(stream: Stream, data: bytes) -> None:
        left = os.write(write_end, data)
        assert left == len(data)
        while left:
            left -= writer.move(read_end, STREAMS.index(stream))

    try:
        yield write
        with pytest.raises(BlockingIOError):
            writer.move(read_end, 0)
    finally:
        writer.close()
        os.close(read_end)
        os.close(write_end)


def read(directory: JobDirectory, **options: Unpack[OutputOptions]) -> list[Chunk]:
    """All chunks of an ended job; without following, unless that is asked for."""
    chunks: list[Chunk] = []
    options.setdefault("follow", False)
    with OutputReader(directory, has_ended=lambda: True, **options) as reader:
        while batch := reader.next_batch():
            chunks += batch
        assert batch == []
    return chunks


def whole(runs: Runs) -> bytes:
    return b"".join(data for _, data in runs)


def cut(runs: Runs, begin: int = 0, stream: Stream | None = None, end: int = 1 << 64) -> Runs:
    """The part of the runs between two offsets, without empty ones."""
    left: Runs = []
    for (kind, data), last in zip(runs, accumulate(len(data) for _, data in runs), strict=True):
        first = last - len(data)
        part = data[max(0, begin - first) : max(0, end - first)]
        if part and stream in (None, kind):
            left.append((kind, part))
    return left


def joined(runs: Runs) -> Runs:
    """The runs with neighbours of one stream in one: where they are cut is the writer's affair."""
    result: Runs = []
    for stream, data in runs:
        if result and result[-1][0] == stream:
            result[-1] = (stream, result[-1][1] + data)
        else:
            result.append((stream, data))
    return result


def as_runs(chunks: list[Chunk]) -> Runs:
    return [(chunk.stream, chunk.data) for chunk in chunks if chunk.data]
