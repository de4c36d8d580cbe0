"""One call, as the RPCs see it: who calls, how far they may go, and the engine within those bounds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import TypeVar

from jobworker.v1 import job_pb2
from jobworker.v1.worker_service_pb2 import ListJobsRequest, WatchRequest
from jobworker_lib import JobNotFoundError, JobStatus, JobworkerError, aio
from jobworker_server import convert
from jobworker_server.access import Access
from jobworker_server.audit import Entry
from jobworker_server.errors import InvalidRequestError, PermissionDeniedError
from jobworker_server.identity import Identity
from jobworker_server.lifetime import Lifetime
from jobworker_server.policy import Operation, Scope
from jobworker_server.policy.permit import Permit
from jobworker_server.quotas import Share

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that may be made. Jobs are had from :meth:`job`, which holds them against the scope."""

    engine: aio.Engine
    caller: Identity
    scope: Scope
    """Whose jobs this operation may be done on."""
    access: Access
    permit: Callable[[], Permit]
    """What may be started."""
    share: Share
    """What it may do of what its client may do in all."""
    lifetime: Lifetime
    unfinished: set[asyncio.Task[object]]
    """What runs to its end although its caller may be gone."""
    entry: Entry
    """What is told of it in the audit."""

    def doing(self, operation: Operation) -> Call:
        """The same call as one that does something else, too.

        Raises:
            PermissionDeniedError: the caller may not do that.
        """
        self.entry.operation = operation
        return replace(self, scope=self.access.scope(operation))

    async def job(self, job_id: str) -> aio.Job:
        """The job of this id.

        Raises:
            InvalidArgumentError: it can't be an id.
            InvalidRequestError: it is not set.
            JobNotFoundError: there is none, or none that the caller may know of: the two can't be told apart.
        """
        if not job_id:
            raise InvalidRequestError("job_id", "the id is missing")
        self.entry.job = job_id
        self.access.job_ids.add(job_id)
        try:
            job = await self.engine.get(job_id)
            if (self.scope is Scope.ANY and not self.access.is_narrowed) or (
                await job.status(usage=False)
            ).owner == self.caller.owner:
                return job
        except JobNotFoundError:
            pass
        raise JobNotFoundError(job_id)

    def owner_of(self, request: ListJobsRequest | WatchRequest) -> str | None:
        """Whose jobs are asked for; None: everyone's."""
        everyone = request.all_owners and self.scope is Scope.ANY
        owner = request.owner or (None if everyone else self.caller.owner)
        if owner != self.caller.owner:
            self.access.note_all()
        return owner

    def told(self, status: JobStatus) -> job_pb2.Job:
        """A job for the answer of a call that changed it: all of it only for who may query it."""
        if self.access.covers(Operation.QUERY, status.owner):
            return convert.job_message(status)
        return job_pb2.Job(id=status.id, state=convert.STATES[status.state])

    def require_still_allowed(self) -> None:
        """Refuse what the policy that holds now does not allow any more.

        Where that depends on whose a job is, the call is ended a moment later.

        Raises:
            PermissionDeniedError: it does not.
        """
        if narrowed := self.access.narrowed():
            self._keep(asyncio.ensure_future(self._end_if_about_others(narrowed)))

    async def _end_if_about_others(self, error: PermissionDeniedError) -> None:
        for job_id in tuple(self.access.job_ids):
            if await self._may_be_another_s(job_id):
                self.lifetime.end(error)
                return

    async def _may_be_another_s(self, job_id: str) -> bool:
        try:
            job = await self.engine.get(job_id)
            return (await job.status(usage=False)).owner != self.caller.owner
        except JobNotFoundError:
            return False
        except JobworkerError:  # nothing is known of it, as when it is damaged
            return True

    async def change(self, event: str, job: aio.Job, work: Coroutine[object, object, T]) -> T:
        """Do ``work`` to ``job`` to its end, and log it as ``event``, also when the caller goes away meanwhile."""

        async def logged() -> T:
            result = await work
            self.log(event, job.id)
            return result

        return await self.finish(logged())

    async def finish(self, work: Coroutine[object, object, T]) -> T:
        """Do ``work`` to its end, also when the caller goes away meanwhile."""
        task = asyncio.ensure_future(work)
        self._keep(task)
        self.entry.work = task
        return await asyncio.shield(task)

    def _keep(self, task: asyncio.Task[T]) -> None:
        self.unfinished.add(task)
        task.add_done_callback(self.unfinished.discard)

    def log(self, event: str, job_id: str) -> None:
        """Write down that the caller changed something."""
        _log.info("job %s %s by %s (%s)", job_id, event, self.caller.name, self.caller.role)
