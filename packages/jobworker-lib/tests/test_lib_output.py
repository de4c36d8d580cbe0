"""What the writer was given is what readers get, wherever they begin and whatever a crash cut off."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobworker_lib import Chunk
from jobworker_lib.job.directory import OUTPUT_INDEX, OUTPUT_LOG, JobDirectory
from jobworker_lib.output.format import RECORD, STREAMS, Stream
from jobworker_lib.output.reader import OutputReader
from jobworker_lib.output.segment import recorded_bytes
from output_testing import CHOICES, OFFSETS, RUNS, Runs, as_runs, cut, read, whole, writing, written


@given(runs=RUNS, offset=OFFSETS, stream=CHOICES, follow=st.booleans(), splice=st.booleans())
@settings(deadline=None)
def test_read_is_what_was_written(
    runs: Runs,
    offset: int,
    stream: Stream | None,
    follow: bool,
    splice: bool,  # drawn at random
) -> None:
    with written(runs, splice=splice) as directory:
        chunks = read(directory, offset=offset, follow=follow, stream=stream)
        assert as_runs(chunks) == cut(runs, offset, stream)
        assert all(whole(runs)[chunk.offset : chunk.end] == chunk.data for chunk in chunks)
        assert recorded_bytes(directory) == len(whole(runs))


@given(runs=RUNS, lost=st.integers(min_value=0, max_value=3 * RECORD.size), extra=st.binary(max_size=50))
@settings(deadline=None)
def test_torn_end_hides_only_what_was_not_recorded(runs: Runs, lost: int, extra: bytes) -> None:
    with written(runs) as directory:
        index, log = Path(directory.file(OUTPUT_INDEX)), Path(directory.file(OUTPUT_LOG))
        os.truncate(index, max(0, index.stat().st_size - lost))
        with log.open("ab") as file:
            file.write(extra)
        kept = runs[: index.stat().st_size // RECORD.size]
        assert as_runs(read(directory)) == kept
        assert recorded_bytes(directory) == sum(len(data) for _, data in kept)


@given(runs=RUNS, pauses=st.sets(st.integers(min_value=0, max_value=20)), offset=OFFSETS, stream=CHOICES)
@settings(deadline=None)
def test_follower_gets_the_same_however_it_keeps_up(
    runs: Runs, pauses: set[int], offset: int, stream: Stream | None
) -> None:
    ended = False
    with tempfile.TemporaryDirectory() as path:
        directory = JobDirectory(path)
        seen: list[Chunk] = []
        with OutputReader(directory, offset=offset, follow=True, stream=stream, has_ended=lambda: ended) as reader:
            assert reader.next_batch() is None
            with writing(directory) as write:
                for number, (kind, data) in enumerate(runs):
                    write(kind, data)
                    while number in pauses and (batch := reader.next_batch()):
                        seen += batch
            ended = True
            while batch := reader.next_batch():
                seen += batch
        assert as_runs(seen) == cut(runs, offset, stream)


def test_large_runs_come_in_bounded_batches(tmp_path: Path) -> None:
    directory = JobDirectory(tmp_path)
    data = os.urandom(5 << 20)
    with writing(directory) as write:
        for start in range(0, len(data), 1 << 16):
            write(STREAMS[start >> 16 & 1], data[start : start + (1 << 16)])
    sizes, seen = [], b""
    with OutputReader(directory, offset=7, follow=True, stream=None, has_ended=lambda: True) as reader:
        while batch := reader.next_batch():
            sizes.append(sum(len(chunk.data) for chunk in batch))
            seen += b"".join(chunk.data for chunk in batch)
    assert max(sizes) <= 1 << 20
    assert seen == data[7:]


def test_reader_without_following_ends_with_what_was_there_when_it_began(tmp_path: Path) -> None:
    directory = JobDirectory(tmp_path)
    with writing(directory) as write:
        write("stdout", b"before")
        with OutputReader(directory, offset=0, follow=False, stream=None, has_ended=lambda: False) as reader:
            first = reader.next_batch()
            assert first is not None
            assert [chunk.data for chunk in first] == [b"before"]
            write("stdout", b"after")
            assert reader.next_batch() == []


def test_what_is_written_just_before_the_end_is_read(tmp_path: Path) -> None:
    """A job may write its last words, and end, between a reader's look at its output and the one at its state."""
    directory = JobDirectory(tmp_path)
    with writing(directory) as write:

        def ends() -> bool:
            write("stdout", b"last words")
            return True

        with OutputReader(directory, offset=0, follow=True, stream=None, has_ended=ends) as reader:
            batch = reader.next_batch()
            assert batch is not None
            assert [chunk.data for chunk in batch] == [b"last words"]


def test_times_never_go_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([2_000_000, 1_000_000, 3_000_000])
    monkeypatch.setattr("jobworker_lib.output.writer.time.time_ns", lambda: next(times))
    with writing(JobDirectory(tmp_path)) as write:
        for _ in range(3):
            write("stdout", b"x")
    assert [chunk.time_ns for chunk in read(JobDirectory(tmp_path))] == [2_000_000, 2_000_000, 3_000_000]


def test_where_pipes_cannot_be_spliced_they_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_splice(*_: object, **__: object) -> int:
        raise OSError(errno.EINVAL, "not here")

    monkeypatch.setattr("os.splice", no_splice)
    with writing(JobDirectory(tmp_path)) as write:
        write("stdout", b"out")
        write("stderr", b"err")
    assert as_runs(read(JobDirectory(tmp_path))) == [("stdout", b"out"), ("stderr", b"err")]
