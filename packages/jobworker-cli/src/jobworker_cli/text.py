"""Text from elsewhere, made safe to print, and measured and cut as a terminal shows it."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Sequence

_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

# Other, apart from private use and unassigned: control, format (which can turn the direction of text), surrogate.
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def escape(text: str) -> str:
    """Write control and other invisible characters as escapes, so that text can't take over a terminal or a line."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape_character(character) for character in text)


def command_line(argv: Sequence[str]) -> str:
    """A command as a shell would take it, on one line, safe to print."""
    return escape(shlex.join(argv))


def width(text: str) -> int:
    """How many cells of a terminal escaped text takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def truncate(text: str, cells: int, mark: str = "…") -> str:
    """Cut escaped text to a number of cells, with a mark where something was cut."""
    if width(text) <= cells:
        return text
    kept, used = [], width(mark)
    for character in text:
        used += _cells(character)
        if used > cells:
            break
        kept.append(character)
    return "".join(kept) + mark


def _escape_character(character: str) -> str:
    if unicodedata.category(character) not in _UNPRINTABLE:
        return character
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
