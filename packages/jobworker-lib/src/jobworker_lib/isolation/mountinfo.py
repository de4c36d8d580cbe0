"""What is mounted where (/proc/self/mountinfo, proc(5)), and by which other paths the same files can be reached."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount: the directory ``root`` of a filesystem, seen at ``point``."""

    device: str
    root: str
    point: str


def read() -> list[Mount]:
    """All mounts of this process's namespace, in the order in which they were made."""
    with open("/proc/self/mountinfo") as file:
        return [_mount(line) for line in file]


def _mount(line: str) -> Mount:
    fields = line.split(" ", 5)
    return Mount(fields[2], _plain(fields[3]), _plain(fields[4]))


def _plain(field: str) -> str:
    return field.encode("latin-1", "surrogateescape").decode("unicode_escape") if "\\" in field else field


def is_below(path: str, directory: str) -> bool:
    """Whether a path is a directory, or in it; both absolute and without links."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def aliases(path: str, mounts: Iterable[Mount]) -> list[str]:
    """The other paths at which the files at ``path``, or some of them, are there as well, through another mount."""
    known = list(mounts)
    holding = [mount for mount in known if is_below(path, mount.point)]
    if not holding:
        return []
    longest = max(len(mount.point) for mount in holding)
    home = [mount for mount in holding if len(mount.point) == longest][-1]  # the one on top
    place = _join(home.root, os.path.relpath(path, home.point))
    found = []
    for mount in known:
        if mount.device != home.device or mount == home:
            continue
        if is_below(place, mount.root):
            found.append(_join(mount.point, os.path.relpath(place, mount.root)))
        elif is_below(mount.root, place):
            found.append(mount.point)
    return [alias for alias in dict.fromkeys(found) if alias != path]


def _join(directory: str, relative: str) -> str:
    return os.path.normpath(os.path.join(directory, relative))
