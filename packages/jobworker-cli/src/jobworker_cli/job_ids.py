"""Ids of jobs that are shortened to a beginning."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jobworker_cli.errors import AmbiguousIdError, JobNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobworker_cli.models import Job

_CANDIDATES_SHOWN = 10
_PREFIX = re.compile(r"[0-9a-f-]+")
_LENGTH = 36


def resolve(prefix: str, list_jobs: Callable[..., Iterator[Job]]) -> str:
    """The id of the one job whose id begins with ``prefix``; a whole id is not looked up.

    ``list_jobs`` is the client's ``list``, of the owners that count.

    Raises:
        JobNotFoundError: no job's id begins so.
        AmbiguousIdError: several do.
    """
    wanted = prefix.lower()
    if not _PREFIX.fullmatch(wanted):
        raise JobNotFoundError(f"there is no job {prefix!r}: an id has the digits 0-9 and a-f, and dashes")
    if len(wanted) == _LENGTH:
        return wanted
    found = list_jobs(id_prefix=wanted, page_size=_CANDIDATES_SHOWN)
    jobs = [job for job, _ in zip(found, range(_CANDIDATES_SHOWN), strict=False)]
    if not jobs:
        hint = "`jobworker-cli list --all-owners` shows the jobs"
        raise JobNotFoundError(f"there is no job whose id begins with {wanted}", hint)
    if len(jobs) > 1:
        raise AmbiguousIdError(wanted, jobs)
    return jobs[0].id
