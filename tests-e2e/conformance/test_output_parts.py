"""Parts of the output: the last lines, since a time, up to an offset."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from conformance.jobs import awaiting, ended, follow_until, interleaved, joined, refused, sh
from conformance.subjects import Subject

LINES = "printf 'one\\ntwo\\nthree\\n'"


@pytest.mark.parametrize(
    ("lines", "expected"), [(0, b""), (1, b"three\n"), (2, b"two\nthree\n"), (3, b"one\ntwo\nthree\n"), (9, None)]
)
def test_last_lines(subject: Subject, lines: int, expected: bytes | None) -> None:
    job_id = ended(subject, sh(LINES))
    for follow in (True, False):
        seen = joined(subject.output(job_id, tail=lines, follow=follow))
        assert seen == (b"one\ntwo\nthree\n" if expected is None else expected)


def test_last_line_without_a_newline_is_one(subject: Subject) -> None:
    job_id = ended(subject, sh(f"{LINES}; printf four"))
    assert joined(subject.output(job_id, tail=1)) == b"four"
    assert joined(subject.output(job_id, tail=2)) == b"three\nfour"


def test_last_lines_of_one_stream(subject: Subject, tmp_path: Path) -> None:
    gates = [tmp_path / str(number) for number in range(3)]
    first, second, third = map(awaiting, gates)
    script = f"printf 'a\\nb' ; {first}; printf 'e\\nf\\n' >&2; {second}; printf 'c\\n'; {third}; printf 'g\\n' >&2"
    job_id = subject.start(sh(script))
    for chunk, gate in zip(subject.output(job_id), [*gates, None], strict=True):
        assert chunk.data
        if gate:
            gate.touch()
    assert joined(subject.output(job_id, tail=1, stream="stdout")) == b"bc\n"
    assert joined(subject.output(job_id, tail=2, stream="stderr")) == b"f\ng\n"
    assert joined(subject.output(job_id, tail=2)) == b"c\ng\n"


def test_last_lines_of_a_large_log_of_bytes(subject: Subject) -> None:
    job_id = ended(subject, interleaved(seed=11, writes=60))
    whole = joined(subject.output(job_id))
    lines = whole.split(b"\n")
    for wanted in (1, 10, 500):
        kept = lines[-wanted - 1 :] if whole.endswith(b"\n") else lines[-wanted:]
        assert joined(subject.output(job_id, tail=wanted)) == b"\n".join(kept)


def test_last_lines_and_then_what_comes(subject: Subject, tmp_path: Path) -> None:
    job_id = subject.start(sh(f"{LINES}; {awaiting(tmp_path / 'gate')}; echo four"))
    follow_until(subject, job_id, b"three\n")
    chunks = subject.output(job_id, tail=1)
    assert next(chunks).data == b"three\n"
    (tmp_path / "gate").touch()
    assert joined(chunks) == b"four\n"


def test_only_what_comes_from_now_on(subject: Subject) -> None:
    job_id = subject.start(sh("echo old; while :; do sleep 0.01; echo new; done"))
    follow_until(subject, job_id, b"new\n")
    chunks = subject.output(job_id, tail=0)
    assert {*next(chunks).data.splitlines(), *next(chunks).data.splitlines()} == {b"new"}


def test_since_a_moment(subject: Subject, tmp_path: Path) -> None:
    gates = [tmp_path / str(number) for number in range(3)]
    steps = [f"echo {n} >&{1 + n % 2}; {awaiting(gate)}; sleep 0.01" for n, gate in enumerate(gates)]
    job_id = subject.start(sh("\n".join(steps)))
    chunks = []
    for chunk, gate in zip(subject.output(job_id), gates, strict=True):
        chunks.append(chunk)
        gate.touch()
    micro = timedelta(microseconds=1)
    for number, chunk in enumerate(chunks):
        assert joined(subject.output(job_id, since=chunk.time)) == joined(chunks[number:])
        assert joined(subject.output(job_id, since=chunk.time + micro, follow=False)) == joined(chunks[number + 1 :])
    assert joined(subject.output(job_id, since=chunks[0].time, stream="stderr")) == b"1\n"
    assert joined(subject.output(job_id, since=chunks[0].time - timedelta(days=10_000))) == joined(chunks)
    assert joined(subject.output(job_id, since=chunks[-1].time + timedelta(days=1))) == b""


def test_up_to_an_offset(subject: Subject) -> None:
    job_id = ended(subject, interleaved(seed=12, writes=20))
    whole = joined(subject.output(job_id))
    half = len(whole) // 2
    assert joined(subject.output(job_id, end=half)) == whole[:half]
    assert joined(subject.output(job_id, offset=half - 5, end=half)) == whole[half - 5 : half]
    assert joined(subject.output(job_id, offset=half, end=1 << 40)) == whole[half:]
    for empty in ({"end": 0}, {"offset": half, "end": half}, {"offset": half, "end": 3}):
        assert list(subject.output(job_id, **empty)) == []


def test_an_offset_to_end_at_ends_the_stream_of_a_running_job(subject: Subject) -> None:
    job_id = subject.start(sh("printf abcdef; exec sleep 1000"))
    assert joined(subject.output(job_id, end=4)) == b"abcd"
    assert joined(subject.output(job_id, tail=1, end=3)) == b"abc"


@pytest.mark.parametrize("options", [{"tail": -1}, {"end": -1}, {"tail": 1, "offset": 1}])
def test_what_can_not_be_selected_is_refused(subject: Subject, options: dict[str, Any]) -> None:
    job_id = ended(subject, ["true"])
    with refused("INVALID_ARGUMENT"):
        list(subject.output(job_id, **options))
