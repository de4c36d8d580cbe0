"""A page of a list of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar, overload

if TYPE_CHECKING:
    from jobworker_lib.job.status import JobStatus

JobT = TypeVar("JobT")


class Page(Sequence[JobT]):
    """Jobs, the newest first."""

    def __init__(self, jobs: Sequence[JobT], statuses: tuple[JobStatus, ...], next_page_token: str) -> None:
        self._jobs = tuple(jobs)
        self.statuses = statuses
        """The jobs as they were when they were listed, in the same order."""
        self.next_page_token = next_page_token
        """For the next page; empty: this was the last one."""

    def __len__(self) -> int:
        return len(self._jobs)

    @overload
    def __getitem__(self, index: int) -> JobT: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[JobT]: ...

    def __getitem__(self, index: int | slice) -> JobT | Sequence[JobT]:
        return self._jobs[index]
