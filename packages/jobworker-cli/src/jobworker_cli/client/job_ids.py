"""Ids of jobs that are shortened to a beginning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobworker_cli.errors import AmbiguousIdError, JobNotFoundError

if TYPE_CHECKING:
    from jobworker_cli.models import Job

CANDIDATES_SHOWN = 10
_PREFIX = re.compile(r"[0-9a-f-]+")
_LENGTH = 36


def normal(prefix: str) -> str:
    """The beginning of an id, as ids are written.

    Raises:
        JobNotFoundError: no id begins so.
    """
    wanted = prefix.lower()
    if not _PREFIX.fullmatch(wanted):
        raise JobNotFoundError(f"there is no job {prefix!r}: an id has the digits 0-9 and a-f, and dashes")
    return wanted


def is_whole(prefix: str) -> bool:
    """Whether it is all of an id, which need not be looked up."""
    return len(prefix) == _LENGTH


def only(prefix: str, jobs: Sequence[Job]) -> str:
    """The id of the one job that was found.

    Raises:
        JobNotFoundError: there is none.
        AmbiguousIdError: there are several.
    """
    if not jobs:
        hint = "`jobworker-cli list --all-owners` shows the jobs"
        raise JobNotFoundError(f"there is no job whose id begins with {prefix}", hint)
    if len(jobs) > 1:
        raise AmbiguousIdError(prefix, jobs)
    return jobs[0].id
