"""The small files of a cgroup."""

from __future__ import annotations

import os
from contextlib import suppress


def read(directory: str, name: str) -> str | None:
    """What a file tells; None where there is none, or this kernel or user can't read it."""
    try:
        with open(os.path.join(directory, name)) as file:
            return file.read()
    except OSError:
        return None


def read_number(directory: str, name: str) -> int | None:
    """The number in a file; None where there is none."""
    text = read(directory, name)
    return int(text) if text is not None and text.strip().isdigit() else None


def read_counts(directory: str, name: str) -> dict[str, int]:
    """What a file counts, with the name and the number in a line each; nothing where there is none."""
    pairs = {}
    for line in (read(directory, name) or "").splitlines():
        key, _, value = line.partition(" ")
        with suppress(ValueError):
            pairs[key] = int(value)
    return pairs


def write(directory: str, name: str, text: str) -> None:
    """Change a file in one piece, as the kernel wants it; an OSError says what it does not take."""
    descriptor = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
