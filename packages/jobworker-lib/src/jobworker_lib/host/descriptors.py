"""How many descriptors a process may have (getrlimit(2), RLIMIT_NOFILE).

Most systems begin with few, and let every program have more that says so: it promises by that not to use select(2).
Jobs promise nothing, so they have what the program was started with.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from contextlib import suppress

_SHARE = 4
_VARIABLE = "JOBWORKER_OPEN_FILES"
_before: int | None = None
"""What this process was started with, where it has taken more."""


def take_most(most: int = 65536) -> None:
    """Let this process have as many as it may, up to ``most``; its engines' jobs have what it was started with."""
    global _before  # noqa: PLW0603  # it is of the process, as the limit is
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        _before = soft if _before is None else _before


def environment() -> Mapping[str, str]:
    """What tells a process of the engine of the limit that jobs are to have."""
    return {} if _before is None else {_VARIABLE: str(_before)}


def give_back() -> None:
    """In a process of the engine: have the limit that jobs are to have."""
    before = os.environ.pop(_VARIABLE, None)
    if before is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError, OSError):  # the hard limit was lowered since
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(before), hard))


def at_once(wanted: int) -> int:
    """So many as are ``wanted`` for one purpose, or else a quarter of those that this process may have."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if most == resource.RLIM_INFINITY else max(1, min(wanted, most // _SHARE))
