"""Parts of the output: up to an offset, since a time, the last lines; all against a simple model of the whole."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobworker_lib import InvalidArgumentError, OutputLimit
from jobworker_lib.job.directory import JobDirectory
from jobworker_lib.output import beginning
from jobworker_lib.output.format import STREAMS, Stream, segment_bases
from jobworker_lib.output.reader import OutputReader
from output_testing import (
    CHOICES,
    LIMITS,
    LINES,
    OFFSETS,
    RUNS,
    Runs,
    as_runs,
    cut,
    joined,
    read,
    whole,
    writing,
    written,
)

MAYBE_LIMITED = st.none() | LIMITS
BLOCK_SIZES = st.sampled_from([(1024, 64 << 10), (1, 1), (2, 3), (3, 100)])


def first_kept(directory: JobDirectory) -> int:
    return segment_bases(directory.path)[0]


@given(runs=RUNS, offset=OFFSETS, end=OFFSETS, stream=CHOICES, follow=st.booleans(), limit=MAYBE_LIMITED)
@settings(deadline=None)
def test_output_up_to_an_offset(
    runs: Runs,
    offset: int,
    end: int,
    stream: Stream | None,
    follow: bool,
    limit: OutputLimit | None,
) -> None:
    with written(runs, limit=limit) as directory:
        chunks = read(directory, offset=offset, end=end, stream=stream, follow=follow)
        kept = max(offset, first_kept(directory))
        assert joined(as_runs(chunks)) == joined(cut(runs, kept, stream, end))
        if offset < min(first_kept(directory), end):
            gap = chunks[0].gap
            assert gap is not None
            assert (gap.begin, gap.end) == (offset, min(first_kept(directory), end))


def lines_begin(runs: Runs, lines: int, stream: Stream | None, end: int) -> int:
    """Where the last lines of a stream before ``end`` begin; 0 where there are no more than there are bytes."""
    kinds = [kind for kind, data in runs for _ in data]
    places = [place for place, kind in enumerate(kinds) if stream in (None, kind) and place < end]
    text = bytes(whole(runs)[place] for place in places)
    newlines = [number for number, byte in enumerate(text) if byte == ord("\n")]
    wanted = lines + text.endswith(b"\n")
    if lines == 0:
        return min(end, len(kinds))
    return places[newlines[-wanted]] + 1 if len(newlines) >= wanted else 0


@given(
    runs=LINES,
    lines=st.integers(min_value=0, max_value=12),
    stream=CHOICES,
    end=st.none() | st.integers(min_value=0, max_value=200),
    limit=MAYBE_LIMITED,
    sizes=BLOCK_SIZES,
)
@settings(deadline=None)
def test_last_lines(
    runs: Runs, lines: int, stream: Stream | None, end: int | None, limit: OutputLimit | None, sizes: tuple[int, int]
) -> None:
    with (
        written(runs, limit=limit) as directory,
        patch.object(beginning, "_BLOCK_RECORDS", sizes[0]),
        patch.object(beginning, "_BLOCK_BYTES", sizes[1]),
    ):
        first = first_kept(directory)
        stop = len(whole(runs)) if end is None else end
        begin = lines_begin(cut(runs, first), lines, stream, max(0, stop - first))  # what was dropped can't be counted
        begin = begin + first if begin or lines == 0 else 0
        chunks = read(directory, tail=lines, stream=stream, end=end)
        assert joined(as_runs(chunks)) == joined(cut(runs, max(begin, first), stream, stop))
        assert any(chunk.gap for chunk in chunks) == (begin < min(first, stop))


@given(
    runs=RUNS,
    steps=st.lists(st.sampled_from([0, 1_000, 5_000]), min_size=40, max_size=40),
    since=st.integers(min_value=0, max_value=45),
    stream=CHOICES,
    follow=st.booleans(),
    limit=MAYBE_LIMITED,
)
@settings(deadline=None)
def test_since_a_time(
    runs: Runs,
    steps: list[int],
    since: int,
    stream: Stream | None,
    follow: bool,
    limit: OutputLimit | None,
) -> None:
    clock = itertools.chain(itertools.accumulate(steps, initial=1_000_000), itertools.repeat(10**9))
    with (
        patch("jobworker_lib.output.writer.time.time_ns", lambda: next(clock)),
        written(runs, limit=limit) as directory,
    ):
        everything = read(directory)
        moment_ns = 1_000_000 + 3_000 * since
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment_ns // 1000)
        chunks = read(directory, since=moment, stream=stream, follow=follow)
        newer = [chunk for chunk in everything if chunk.time_ns >= moment_ns and stream in (None, chunk.stream)]
        assert as_runs(chunks) == as_runs(newer)
        # What was dropped may have been as new, where all that is kept is.
        kept_is_newer = bool(everything) and everything[0].time_ns >= moment_ns
        assert any(chunk.gap for chunk in chunks) == (kept_is_newer and first_kept(directory) > 0)


def test_since_the_future_leaves_out_what_comes_before_it(tmp_path: Path) -> None:
    directory = JobDirectory(tmp_path)
    times = iter([1_000_000, 2_000_000, 3_000_000])
    moment = datetime(1970, 1, 1, 0, 0, 0, 3000, tzinfo=UTC)
    with (
        patch("jobworker_lib.output.writer.time.time_ns", lambda: next(times)),
        writing(directory) as write,
        OutputReader(directory, has_ended=lambda: False, since=moment) as reader,
    ):
        write("stdout", b"old")
        assert reader.next_batch() is None
        write("stdout", b"older than that")
        assert reader.next_batch() is None
        write("stdout", b"new")
        batch = reader.next_batch()
        assert batch is not None
        assert [chunk.data for chunk in batch] == [b"new"]


@pytest.mark.parametrize(("lines", "expected"), [(0, b"later\n"), (1, b"two\nlater\n"), (5, b"one\ntwo\nlater\n")])
def test_last_lines_of_a_running_job_and_what_follows(tmp_path: Path, lines: int, expected: bytes) -> None:
    directory = JobDirectory(tmp_path)
    ended = False
    with (
        writing(directory) as write,
        OutputReader(directory, has_ended=lambda: ended, tail=lines) as reader,
    ):
        write("stdout", b"one\ntwo\n")
        reader.begin()
        write("stdout", b"later\n")
        ended = True
        seen = b""
        while batch := reader.next_batch():
            seen += b"".join(chunk.data for chunk in batch)
        assert seen == expected


@given(runs=RUNS, offset=OFFSETS, end=st.none() | OFFSETS, stream=CHOICES, limit=MAYBE_LIMITED)
@example(runs=[("stdout", b"x")] * 9, offset=0, end=0, stream="stdout", limit=OutputLimit(200, "drop_oldest"))
@settings(deadline=None)
def test_seeking_before_each_batch_changes_nothing(
    runs: Runs, offset: int, end: int | None, stream: Stream | None, limit: OutputLimit | None
) -> None:
    with written(runs, limit=limit) as directory:
        seen = []
        with OutputReader(directory, has_ended=lambda: True, offset=offset, end=end, stream=stream) as reader:
            while True:
                while not reader.seek():
                    pass
                if not (batch := reader.next_batch()):
                    break
                seen += batch
        expected = read(directory, offset=offset, end=end, stream=stream, follow=True)
        assert [(chunk.offset, chunk.data, chunk.gap) for chunk in seen] == [
            (chunk.offset, chunk.data, chunk.gap) for chunk in expected
        ]


def test_a_seldom_stream_is_sought_a_little_at_a_time(tmp_path: Path) -> None:
    directory = JobDirectory(tmp_path)
    with writing(directory, splice=False) as write:
        for _ in range(3000):
            write("stdout", b"x")
        write("stderr", b"found")
    with OutputReader(directory, has_ended=lambda: True, stream="stderr") as reader:
        steps = list(itertools.takewhile(lambda found: not found, iter(reader.seek, None)))
        assert 3 < len(steps) < 10
        batch = reader.next_batch()
        assert batch is not None
        assert [chunk.data for chunk in batch] == [b"found"]


def test_last_lines_before_the_first_output_are_all_that_comes(tmp_path: Path) -> None:
    directory = JobDirectory(tmp_path)
    with OutputReader(directory, has_ended=lambda: False, tail=1) as reader:
        assert reader.next_batch() is None
        with writing(directory) as write:
            write("stdout", b"one\ntwo\n")
        batch = reader.next_batch()
        assert batch is not None
        assert [chunk.data for chunk in batch] == [b"one\ntwo\n"]


def test_last_lines_and_times_are_found_without_reading_the_rest(tmp_path: Path) -> None:
    """Bisection takes a few more reads for sixteen times the records; nothing else takes more."""
    reads: dict[int, list[int]] = {}
    for records in (1_000, 16_000):
        directory = JobDirectory(tmp_path / str(records))
        os.mkdir(directory.path)
        with writing(directory, splice=False) as write:
            for number in range(records):
                write(STREAMS[number % 2], b"line %05d\n" % number)
        middle = read(directory)[records // 2].time
        reads[records] = [
            _reads(lambda: read(directory, tail=10)),  # noqa: B023  # called at once
            _reads(lambda: read(directory, since=middle, end=1)),  # noqa: B023  # called at once
        ]
    for few, many in zip(reads[1_000], reads[16_000], strict=True):
        assert few <= many <= few + 12


def _reads(do: Callable[[], Any]) -> int:
    with patch("jobworker_lib.output.segment.os.pread", wraps=os.pread) as pread:
        do()
    return int(pread.call_count)


@pytest.mark.parametrize(
    "options",
    [
        {"tail": -1},
        {"end": -1},
        {"offset": -1},
        {"tail": 1, "offset": 1},
        {"tail": 1, "since": datetime(2026, 1, 1, tzinfo=UTC)},
        {"since": datetime(2026, 1, 1)},  # noqa: DTZ001  # that it has no time zone is the point
        {"stream": "stdlog"},
    ],
)
def test_what_can_not_be_selected_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        OutputReader(JobDirectory(tmp_path), has_ended=lambda: True, **options)
