"""Jobs of which it is known beforehand what they write and how they end: all told by a seed and the job's number."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

LABEL = "soak"

Handling = Literal["watch", "stop", "feed"]

_LINES = 'i=$1; while [ $i -lt $2 ]; do echo "out $i"; echo "err $i" >&2; i=$((i + 1)); done'
_SLOW_LINES = _LINES.replace("i=$((i", "sleep 0.05; i=$((i")


@dataclass(frozen=True)
class Work:
    """One job, and what comes of it when nothing is killed."""

    kind: str
    argv: list[str]
    ends: tuple[str, ...]
    """How it may end, as ``Job.describe`` says."""
    stdout: bytes = b""
    stderr: bytes = b""
    handling: Handling = "watch"
    timeout: float | None = None
    restarts: int = 0
    input: bytes = b""

    @property
    def digests(self) -> dict[str, str]:
        """Of each stream."""
        return {"stdout": digest([self.stdout]), "stderr": digest([self.stderr])}


def digest(parts: Iterable[bytes]) -> str:
    """A hash of output."""
    known = hashlib.sha256()
    for part in parts:
        known.update(part)
    return known.hexdigest()


def work(seed: int, number: int) -> Work:
    """The job of a number: the same wherever it is asked for."""
    dice = random.Random(f"{seed}/{number}")  # noqa: S311  # to be repeated, not to be secret
    return dice.choices(_KINDS, _WEIGHTS)[0](dice)


def _short(dice: random.Random) -> Work:
    first, last = _range(dice, 20)
    return Work("short", _sh(_LINES, first, last), ("exited (exit code: 0)",), *_lines(first, last))


def _failing(dice: random.Random) -> Work:
    first, last = _range(dice, 5)
    code = dice.randrange(1, 100)
    ends = (f"exited (exit code: {code})",)
    return Work("failing", _sh(f"{_LINES}; exit {code}", first, last), ends, *_lines(first, last))


def _signalled(dice: random.Random) -> Work:
    first, last = _range(dice, 5)
    return Work("signalled", _sh(f"{_LINES}; kill -9 $$", first, last), ("exited (signal: 9)",), *_lines(first, last))


def _chatty(dice: random.Random) -> Work:
    last = dice.randrange(50_000, 200_000)
    numbers = "".join(f"{number}\n" for number in range(1, last + 1)).encode()
    return Work("chatty", ["seq", str(last)], ("exited (exit code: 0)",), numbers)


def _long(dice: random.Random) -> Work:
    first, last = _range(dice, 100)
    return Work("long", _sh(_SLOW_LINES, first, last), ("exited (exit code: 0)",), *_lines(first, last))


def _daemon(dice: random.Random) -> Work:
    first, last = _range(dice, 10)
    script = f"setsid sh -c 'sleep 0.2; {_LINES}' sh $1 $2 & exit 0"
    return Work("daemon", _sh(script, first, last), ("exited (exit code: 0)",), *_lines(first, last))


def _stopped(_: random.Random) -> Work:
    # The deaf child dies of SIGKILL after the grace.
    script = """trap "" TERM; setsid sleep 1000 & trap - TERM; echo ready; exec sleep 1000"""
    return Work("stopped", _sh(script), ("stopped (signal: 15)", "stopped (signal: 9)"), b"ready\n", b"", "stop")


def _timed_out(dice: random.Random) -> Work:
    seconds = dice.uniform(1, 2)
    ends = ("stopped (signal: 15, timed out)",)
    return Work("timed out", _sh("echo ready; exec sleep 1000"), ends, b"ready\n", timeout=seconds)


def _restarting(dice: random.Random) -> Work:
    restarts = dice.randrange(1, 4)
    ends = ("exited (exit code: 1)",)
    return Work("restarting", _sh("echo attempt; exit 1"), ends, b"attempt\n" * (restarts + 1), restarts=restarts)


def _fed(dice: random.Random) -> Work:
    data = dice.randbytes(dice.randrange(1, 300_000))
    return Work("fed", ["cat"], ("exited (exit code: 0)",), data, b"", "feed", input=data)


_KINDS: list[Callable[[random.Random], Work]] = [
    _short,
    _failing,
    _signalled,
    _chatty,
    _long,
    _daemon,
    _stopped,
    _timed_out,
    _restarting,
    _fed,
]
_WEIGHTS = [30, 10, 5, 8, 4, 8, 8, 5, 5, 8]


def _range(dice: random.Random, most: int) -> tuple[int, int]:
    first = dice.randrange(100_000)
    return first, first + dice.randrange(1, most + 1)


def _lines(first: int, last: int) -> tuple[bytes, bytes]:
    out, err = ("".join(f"{name} {i}\n" for i in range(first, last)).encode() for name in ("out", "err"))
    return out, err


def _sh(script: str, *arguments: int) -> list[str]:
    return ["sh", "-c", script, "sh", *map(str, arguments)]
