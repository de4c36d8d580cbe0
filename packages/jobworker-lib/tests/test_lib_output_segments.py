"""A limit that drops the oldest output keeps the newest, tells readers of the gap, and survives a crash at any step."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobworker_lib import Chunk, Gap, OutputLimit
from jobworker_lib.job.directory import JobDirectory
from jobworker_lib.output.format import RECORD, STREAMS, Stream, segment_bases, segment_names
from jobworker_lib.output.reader import OutputReader
from jobworker_lib.output.segment import recorded_bytes
from jobworker_lib.output.writer import OutputWriter
from output_testing import CHOICES, LIMITS, OFFSETS, RUNS, Runs, as_runs, cut, joined, read, whole, writing, written


def sizes(directory: JobDirectory, suffix: str) -> int:
    return sum(path.stat().st_size for path in Path(directory.path).glob(f"output*{suffix}"))


@given(runs=RUNS, limit=LIMITS, offset=OFFSETS, stream=CHOICES, follow=st.booleans(), splice=st.booleans())
@settings(deadline=None)
def test_newest_is_kept_within_the_limit_and_the_gap_is_told(
    runs: Runs,
    limit: OutputLimit,
    offset: int,
    stream: Stream | None,
    follow: bool,
    splice: bool,
) -> None:
    with written(runs, splice=splice, limit=limit) as directory:
        bases = segment_bases(directory.path)
        assert sizes(directory, ".log") == len(whole(runs)) - bases[0] <= limit.bytes
        assert sizes(directory, ".index") <= limit.bytes
        assert bases[0] == 0 or len(bases) == 8
        assert recorded_bytes(directory) == len(whole(runs))
        chunks = read(directory, offset=offset, stream=stream, follow=follow)
        assert joined(as_runs(chunks)) == joined(cut(runs, max(offset, bases[0]), stream))
        gaps = [chunk.gap for chunk in chunks if chunk.gap]
        assert gaps == ([Gap(offset, bases[0])] if offset < bases[0] else [])
        assert all(chunk.data for chunk in chunks if not chunk.gap)


@given(runs=RUNS, limit=LIMITS, pauses=st.sets(st.integers(min_value=0, max_value=20)), stream=CHOICES)
@settings(deadline=None)
def test_follower_learns_of_every_byte_that_it_misses(
    runs: Runs, limit: OutputLimit, pauses: set[int], stream: Stream | None
) -> None:
    ended = False
    with tempfile.TemporaryDirectory() as path:
        directory = JobDirectory(path)
        seen: list[Chunk] = []
        with OutputReader(directory, has_ended=lambda: ended, stream=stream) as reader:
            with writing(directory, limit=limit) as write:
                for number, (kind, data) in enumerate(runs):
                    write(kind, data)
                    while number in pauses and (batch := reader.next_batch()):
                        seen += batch
            ended = True
            while batch := reader.next_batch():
                seen += batch
    got: Runs = []
    place = 0
    for chunk in seen:
        assert cut(runs, place, stream, chunk.gap.begin if chunk.gap else chunk.offset) == []
        place = chunk.gap.end if chunk.gap else place
        assert cut(runs, place, stream, chunk.offset) == []
        assert joined(cut(runs, chunk.offset, None, chunk.end)) == joined(as_runs([chunk]))
        got += as_runs([chunk])
        place = chunk.end
    assert cut(runs, place, stream) == []
    assert {kind for kind, _ in got} <= ({stream} if stream else set(STREAMS))


def test_one_who_keeps_up_misses_nothing_though_segments_are_dropped(tmp_path: Path) -> None:
    directory = JobDirectory(tmp_path)
    limit = OutputLimit(800, "drop_oldest")
    seen: list[Chunk] = []
    with (
        OutputReader(directory, has_ended=lambda: False) as reader,
        writing(directory, limit=limit) as write,
    ):
        for number in range(200):
            write("stdout", b"%05d\n" % number)
            seen += reader.next_batch() or []
    assert not any(chunk.gap for chunk in seen)
    assert b"".join(chunk.data for chunk in seen) == b"".join(b"%05d\n" % number for number in range(200))
    assert segment_bases(tmp_path)[0] > 0


def test_a_dropped_segment_that_a_reader_holds_is_read_to_its_end(tmp_path: Path) -> None:
    directory = JobDirectory(tmp_path)
    limit = OutputLimit(800, "drop_oldest")
    with writing(directory, limit=limit) as write:
        write("stdout", b"a" * 60)
        with OutputReader(directory, has_ended=lambda: True) as reader:
            assert [chunk.data for chunk in reader.next_batch() or []] == [b"a" * 60]
            write("stdout", b"b" * 30)
            for _ in range(20):
                write("stdout", b"c" * 100)
            first = segment_bases(tmp_path)[0]
            rest: list[Chunk] = []
            while batch := reader.next_batch():
                rest += batch
    assert rest[0].data == b"b" * 30
    assert rest[1].data == b"c" * 10, "what the segment had room for"
    assert rest[2].gap == Gap(100, first)
    assert recorded_bytes(directory) - first == sum(len(chunk.data) for chunk in rest[2:])


def test_exactly_the_limit_is_kept_whole(tmp_path: Path) -> None:
    """The end of the output, found where a segment is full, begins no new one."""
    directory = JobDirectory(tmp_path)
    with writing(directory, limit=OutputLimit(1600, "drop_oldest")) as write:
        for _ in range(8):
            write("stdout", b"x" * 200)
    assert segment_bases(tmp_path) == list(range(0, 1600, 200))


class KilledError(Exception):
    """Stands for a SIGKILL."""


@contextmanager
def killed_at(step: int) -> Iterator[Callable[[], int]]:
    """The writer dies before its system call number ``step``; the function tells how many there were."""
    calls = 0

    def counted(name: str) -> Callable[..., object]:
        call = getattr(os, name)

        def run(*arguments: object, **keywords: object) -> object:
            nonlocal calls
            calls += 1
            if calls > step:
                raise KilledError
            return call(*arguments, **keywords)

        return run

    with ExitStack() as stack:
        for name in ("open", "unlink", "pwrite", "splice"):
            stack.enter_context(patch.object(os, name, counted(name)))
        yield lambda: calls


SCRIPT: Runs = [("stdout", b"%04d" % number * 30) if number % 3 else ("stderr", b"e" * 77) for number in range(24)]


@pytest.mark.parametrize("splice", [True, False])
def test_a_crash_at_any_step_leaves_a_log_that_can_be_read(tmp_path: Path, splice: bool) -> None:
    """All that was recorded and not dropped is there, and all that is there was written."""
    limit = OutputLimit(800, "drop_oldest")
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for step in range(2, 1000):
        directory = JobDirectory(tmp_path / str(step))
        os.mkdir(directory.path)
        writer = OutputWriter(directory, limit)
        writer._can_splice = splice
        recorded = 0
        with killed_at(step) as calls, suppress(KilledError):
            for stream, data in SCRIPT:
                left = os.write(write_end, data)
                while left:
                    moved = writer.move(read_end, STREAMS.index(stream))
                    left, recorded = left - moved, recorded + moved
        writer.close()
        _check_after_crash(directory, recorded, limit)
        shutil.rmtree(directory.path)
        while _drain(read_end):
            pass
        if calls() <= step:
            break
    else:
        raise AssertionError("the script takes more steps than were tried")
    os.close(read_end)
    os.close(write_end)


def _drain(pipe: int) -> bytes:
    try:
        return os.read(pipe, 1 << 16)
    except BlockingIOError:
        return b""


def _check_after_crash(directory: JobDirectory, recorded: int, limit: OutputLimit) -> None:
    chunks = read(directory)
    end = recorded_bytes(directory)
    first = segment_bases(directory.path)[0]
    assert end >= recorded
    assert end - first >= min(end, limit.bytes * 6 // 8 - 2 * 120)
    assert joined(as_runs(chunks)) == joined(cut(SCRIPT, first, None, end))
    assert sizes(directory, ".log") <= limit.bytes


@given(
    runs=RUNS,
    limit=LIMITS,
    lost=st.integers(min_value=0, max_value=5 * RECORD.size),
    extra=st.binary(max_size=50),
    stream=CHOICES,
)
@settings(deadline=None)
def test_torn_end_hides_only_what_was_not_recorded(
    runs: Runs, limit: OutputLimit, lost: int, extra: bytes, stream: Stream | None
) -> None:
    """Cut at any byte of the last segment's index, with more in its log than is recorded."""
    with written(runs, limit=limit) as directory:
        bases = segment_bases(directory.path)
        first, last = bases[0], bases[-1]
        log, index = (Path(directory.file(name)) for name in segment_names(last))
        records = index.read_bytes()
        index.write_bytes(records[: max(0, len(records) - lost)])
        with log.open("ab") as file:
            file.write(extra)
        kept = index.stat().st_size // RECORD.size
        end = RECORD.unpack_from(records, (kept - 1) * RECORD.size) if kept else None
        end_offset = last if end is None else end[0] + end[2]
        assert recorded_bytes(directory) == end_offset
        assert joined(as_runs(read(directory, stream=stream))) == joined(cut(runs, first, stream, end_offset))
