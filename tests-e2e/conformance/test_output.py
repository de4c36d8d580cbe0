from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path

import pytest

from conformance.jobs import (
    SLEEPER,
    awaiting,
    ended,
    follow_until,
    interleaved,
    interleaved_output,
    joined,
    python,
    refused,
    sh,
)
from conformance.processes import PATIENCE_SECONDS, wait_until
from conformance.subjects import Chunk, Subject


def digest(data: bytes) -> str:
    """Told instead of megabytes where a comparison fails."""
    return hashlib.sha256(data).hexdigest()


def of_stream(chunks: list[Chunk], stream: str) -> bytes:
    return joined(chunk for chunk in chunks if chunk.stream == stream)


def assert_contiguous(chunks: list[Chunk], start: int = 0) -> None:
    for chunk in chunks:
        assert chunk.data
        assert chunk.offset == start
        start += len(chunk.data)
        assert chunk.end == start


def test_is_exact_in_both_streams(subject: Subject) -> None:
    job_id = subject.start(interleaved(seed=1, writes=200))
    chunks = list(subject.output(job_id))
    for stream, expected in interleaved_output(seed=1, writes=200).items():
        assert len(expected) > 2 << 20
        assert digest(of_stream(chunks, stream)) == digest(expected)
    assert_contiguous(chunks)
    assert subject.wait(job_id).exit_code == 0


def test_times_are_aware_and_in_order(subject: Subject) -> None:
    job_id = ended(subject, interleaved(seed=2, writes=20))
    status = subject.status(job_id)
    times = [chunk.time for chunk in subject.output(job_id)]
    assert all(time.tzinfo is UTC for time in times)
    assert status.ended_at is not None
    assert status.created_at <= times[0]
    assert times[-1] <= status.ended_at
    assert times == sorted(times)


def test_keeps_the_order_of_arrival(subject: Subject, tmp_path: Path) -> None:
    gates = [tmp_path / str(number) for number in range(6)]
    steps = [f"echo {n} >&{1 + n % 2}; {awaiting(gate)}" for n, gate in enumerate(gates)]
    job_id = subject.start(sh("\n".join(steps)))
    seen = []
    for chunk, gate in zip(subject.output(job_id), gates, strict=True):
        seen.append((chunk.data, chunk.stream))
        gate.touch()
    assert seen == [(f"{n}\n".encode(), ("stdout", "stderr")[n % 2]) for n in range(6)]


def test_many_tiny_writes(subject: Subject) -> None:
    script = "import os\nfor n in range(5000): os.write(1 + n % 2, b'ab'[n % 2:n % 2 + 1])"
    chunks = list(subject.output(subject.start(python(script))))
    assert of_stream(chunks, "stdout") == b"a" * 2500
    assert of_stream(chunks, "stderr") == b"b" * 2500
    assert_contiguous(chunks)


@pytest.mark.parametrize("follow", [True, False])
def test_can_be_read_from_any_offset(subject: Subject, follow: bool) -> None:  # a test's parameter
    job_id = ended(subject, interleaved(seed=3, writes=40))
    whole = list(subject.output(job_id))
    data = joined(whole)
    first, last = whole[0], whole[-1]
    inner = whole[len(whole) // 2]
    offsets = {0, 1, first.end - 1, first.end, inner.offset + len(inner.data) // 2, last.offset, last.end - 1}
    for offset in offsets:
        chunks = list(subject.output(job_id, offset=offset, follow=follow))
        assert digest(joined(chunks)) == digest(data[offset:]), offset
        assert_contiguous(chunks, start=offset)
    for beyond in (last.end, last.end + 1, 1 << 40):
        assert list(subject.output(job_id, offset=beyond, follow=follow)) == []


def test_offset_beyond_the_end_waits_for_it(subject: Subject, tmp_path: Path) -> None:
    job_id = subject.start(sh(f"printf abc; {awaiting(tmp_path / 'gate')}; printf defgh"))
    follow_until(subject, job_id, b"abc")
    with ThreadPoolExecutor() as pool:
        later = pool.submit(lambda: list(subject.output(job_id, offset=5)))
        (tmp_path / "gate").touch()
        chunks = later.result(PATIENCE_SECONDS)
    assert joined(chunks) == b"fgh"
    assert_contiguous(chunks, start=5)


def test_without_following_ends_with_what_is_there(subject: Subject) -> None:
    job_id = subject.start(sh("printf abc; sleep 1000"))
    follow_until(subject, job_id, b"abc")
    assert joined(subject.output(job_id, follow=False)) == b"abc"
    assert joined(subject.output(job_id, follow=False, offset=3)) == b""
    assert subject.status(job_id).state == "running"


def test_following_shows_output_as_it_comes_and_ends_with_the_job(subject: Subject, tmp_path: Path) -> None:
    job_id = subject.start(sh(f"printf early; {awaiting(tmp_path / 'gate')}; printf late"))
    chunks = subject.output(job_id)
    assert next(chunks).data == b"early"
    assert subject.status(job_id).state == "running"
    (tmp_path / "gate").touch()
    assert [chunk.data for chunk in chunks] == [b"late"]
    assert subject.status(job_id).exit_code == 0


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_of_one_stream_alone(subject: Subject, stream: str) -> None:
    job_id = subject.start(interleaved(seed=4, writes=40))
    chunks = list(subject.output(job_id, stream=stream))
    assert digest(joined(chunks)) == digest(interleaved_output(seed=4, writes=40)[stream])
    assert {chunk.stream for chunk in chunks} == {stream}
    whole = [chunk for chunk in subject.output(job_id) if chunk.stream == stream]
    assert digest(repr(_runs(chunks)).encode()) == digest(repr(_runs(whole)).encode())
    middle = chunks[len(chunks) // 2].offset + 1
    rest = subject.output(job_id, stream=stream, offset=middle, follow=False)
    assert digest(joined(rest)) == digest(_from(chunks, middle))


def _runs(chunks: list[Chunk]) -> dict[int, bytes]:
    """Bytes by their offset, wherever they were cut into chunks."""
    runs: dict[int, bytes] = {}
    start = end = -1
    for chunk in chunks:
        start = start if chunk.offset == end else chunk.offset
        runs[start] = runs.get(start, b"") + chunk.data
        end = chunk.end
    return runs


def _from(chunks: list[Chunk], offset: int) -> bytes:
    return b"".join(chunk.data[max(0, offset - chunk.offset) :] for chunk in chunks if chunk.end > offset)


def test_of_a_silent_stream_is_empty(subject: Subject) -> None:
    job_id = subject.start(sh("printf only"))
    assert list(subject.output(job_id, stream="stderr")) == []
    assert joined(subject.output(job_id, stream="stdout")) == b"only"


def test_of_a_silent_job_is_empty(subject: Subject) -> None:
    assert list(subject.output(subject.start(["true"]))) == []


def test_reaches_many_readers_at_their_own_pace(subject: Subject) -> None:
    """A reader that stands still holds up neither the job nor the others."""
    writes = 400
    expected = interleaved_output(seed=5, writes=writes)
    job_id = subject.start(interleaved(seed=5, writes=writes))
    others_done = threading.Event()

    def read(*, stand_still: bool) -> list[Chunk]:
        chunks: list[Chunk] = []
        for chunk in subject.output(job_id):
            chunks.append(chunk)
            if stand_still:
                assert others_done.wait(PATIENCE_SECONDS)
        return chunks

    with ThreadPoolExecutor() as pool:
        slow = [pool.submit(read, stand_still=True) for _ in range(2)]
        quick = [pool.submit(read, stand_still=False) for _ in range(2)]
        results = [future.result(PATIENCE_SECONDS) for future in quick]
        assert subject.wait(job_id).exit_code == 0
        others_done.set()
        results += [future.result(PATIENCE_SECONDS) for future in slow]
    for chunks in results:
        assert_contiguous(chunks)
        for stream, data in expected.items():
            assert digest(of_stream(chunks, stream)) == digest(data)


def test_reader_that_joins_late_gets_all(subject: Subject) -> None:
    job_id = subject.start(sh("printf one; printf two >&2; exec sleep 1000"))
    follow_until(subject, job_id, b"two")
    late = subject.output(job_id)
    assert {next(late).data, next(late).data} == {b"one", b"two"}
    subject.stop(job_id)
    assert list(late) == []
    assert sorted(chunk.data for chunk in subject.output(job_id)) == [b"one", b"two"]


def test_reader_that_leaves_disturbs_nobody(subject: Subject, tmp_path: Path) -> None:
    job_id = subject.start(sh(f"printf one; {awaiting(tmp_path / 'gate')}; printf two"))
    leaver, stayer = subject.output(job_id), subject.output(job_id)
    assert next(leaver).data == next(stayer).data == b"one"
    leaver.close()  # type: ignore[attr-defined]  # it is a generator
    (tmp_path / "gate").touch()
    assert joined(stayer) == b"two"


@pytest.mark.parametrize("end", ["exit 0", "kill -KILL $$", "kill -TERM $$"])
def test_last_bytes_before_the_end_are_there(subject: Subject, end: str) -> None:
    for number in range(8):
        job_id = subject.start(sh(f"printf 'last words %s' $1; {end}", number))
        subject.wait(job_id)
        assert joined(subject.output(job_id, follow=False)) == b"last words %d" % number


def test_is_whole_as_soon_as_the_job_is_seen_to_have_ended(subject: Subject) -> None:
    job_id = subject.start(interleaved(seed=6, writes=30))
    wait_until(lambda: subject.status(job_id).state.ended)
    total = sum(map(len, interleaved_output(seed=6, writes=30).values()))
    assert len(joined(subject.output(job_id, follow=False))) == total


def test_negative_offset_is_refused(subject: Subject) -> None:
    job_id = subject.start(SLEEPER)
    with refused("INVALID_ARGUMENT"):
        next(subject.output(job_id, offset=-1))
