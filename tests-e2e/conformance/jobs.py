"""Commands that tests run as jobs, and what is said of them again and again."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from conformance.processes import PATIENCE_SECONDS, wait_until
from conformance.subjects import Chunk, RefusedError, Status, Subject
from lib_testing import SLEEPER, awaiting, sh

__all__ = [
    "SLEEPER",
    "UNKNOWN_ID",
    "awaiting",
    "ended",
    "follow_until",
    "in_its_pause",
    "interleaved",
    "interleaved_output",
    "joined",
    "output_of",
    "printed",
    "python",
    "refused",
    "sh",
]

UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"

_INTERLEAVED = """
import os, random, sys
chosen = random.Random(int(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    stream, data = chosen.choice((1, 2)), chosen.randbytes(chosen.randint(1, 1 << 16))
    assert os.write(stream, data) == len(data)
"""


def python(script: str, *arguments: object) -> list[str]:
    """A Python script."""
    return [sys.executable, "-I", "-S", "-c", script, *map(str, arguments)]


def interleaved(seed: int, writes: int) -> list[str]:
    """Writes random bytes, 32 KiB on average, to either stream."""
    return python(_INTERLEAVED, seed, writes)


def interleaved_output(seed: int, writes: int) -> dict[str, bytes]:
    """What ``interleaved`` writes to each stream."""
    chosen = random.Random(seed)  # noqa: S311  # to be repeated, not to be secret
    parts: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    for _ in range(writes):
        stream = chosen.choice(("stdout", "stderr"))
        parts[stream].append(chosen.randbytes(chosen.randint(1, 1 << 16)))
    return {stream: b"".join(data) for stream, data in parts.items()}


def joined(chunks: Iterable[Chunk]) -> bytes:
    return b"".join(chunk.data for chunk in chunks)


def printed(subject: Subject, job_id: str) -> bytes:
    """The standard output to the end; on the other stream shells tell of children that a signal ended."""
    return joined(subject.output(job_id, stream="stdout"))


def output_of(subject: Subject, command: list[str]) -> bytes:
    """Run a command to its end: its output."""
    job_id = subject.start(command)
    output = joined(subject.output(job_id))
    status = subject.wait(job_id)
    assert status.exit_code == 0, output
    return output


def follow_until(subject: Subject, job_id: str, marker: bytes) -> bytes:
    """Follow the output until it holds a marker: all of it so far. The job need not have ended."""
    output = b""
    for chunk in subject.output(job_id):
        output += chunk.data
        if marker in output:
            return output
    raise AssertionError(f"the job ended without {marker!r}: {output!r}")


def ended(subject: Subject, command: list[str]) -> str:
    """Run a command to its end: the job's id."""
    job_id = subject.start(command)
    subject.wait(job_id, PATIENCE_SECONDS)
    return job_id


def in_its_pause(subject: Subject, job_id: str) -> Status:
    """Wait until an attempt has failed and the next has not begun: the job then."""

    def pausing() -> bool:
        attempts = subject.status(job_id).attempts
        return bool(attempts) and attempts[-1].ended_at is not None

    wait_until(pausing, "the pause after a failed attempt")
    return subject.status(job_id)


@contextmanager
def refused(reason: str) -> Iterator[pytest.ExceptionInfo[RefusedError]]:
    """The block is refused for this reason."""
    with pytest.raises(RefusedError) as caught:
        yield caught
    assert caught.value.reason == reason
