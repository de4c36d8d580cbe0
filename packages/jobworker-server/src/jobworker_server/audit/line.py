"""One line of the audit: JSON of bounded length, in which nothing that a client sends can stand for anything else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

_MOST_OF_TEXT = 256
_MOST_OF_ARGV = 4096
_WIDEST = 12
"""Bytes that a character takes at most."""
_CUT = "\u2026"


@dataclass(frozen=True, slots=True)
class Line:
    """A line that ends with its newline, and is shorter than 8 KiB."""

    data: bytes
    refused: bool
    """Whether it tells of a refusal."""


def made(fields: dict[str, str | int | None], argv: Iterable[str] | None, *, refused: bool) -> Line:
    """A line of these fields, and of ``argv`` where it is to be told."""
    content: dict[str, object] = {
        name: cut(value, _MOST_OF_TEXT) if isinstance(value, str) else value for name, value in fields.items()
    }
    if argv is not None:
        content["argv"] = _cut_argv(argv)
    # Everything but ASCII is escaped, so there are no characters that a terminal or another reader takes for more.
    return Line(json.dumps(content, separators=(",", ":")).encode("ascii") + b"\n", refused)


def cut(text: str, most: int) -> str:
    """As much of a text as takes at most so many bytes in JSON; a sign at its end tells that there was more."""
    if len(text) <= most // _WIDEST or (len(text) <= most and _size(text) <= most):
        return text
    size = 0
    for position, character in enumerate(text):
        size += _size(character)
        if size > most - _size(_CUT):
            return text[:position] + _CUT
    return text


def _cut_argv(argv: Iterable[str]) -> list[str]:
    found: list[str] = []
    left = _MOST_OF_ARGV
    for argument in argv:
        if left <= 0:
            return [*found, _CUT]
        found.append(cut(argument, left))
        left -= _size(found[-1]) + len('"",')
    return found


def _size(text: str) -> int:
    return len(json.dumps(text)) - len('""')
