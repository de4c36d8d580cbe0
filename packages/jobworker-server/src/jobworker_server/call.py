"""One call, as the RPCs see it: who calls, how far they may go, and the engine within those bounds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import TypeVar

from jobworker.v1.worker_service_pb2 import ListJobsRequest, WatchRequest
from jobworker_lib import JobNotFoundError, aio
from jobworker_server.errors import InvalidRequestError
from jobworker_server.identity import Identity
from jobworker_server.lifetime import Lifetime
from jobworker_server.limit_policy import LimitPolicy
from jobworker_server.policy import Operation, Scope

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that may be made. Jobs are had from :meth:`job`, which holds them against the scope."""

    engine: aio.Engine
    caller: Identity
    scope: Scope
    """Whose jobs this operation may be done on."""
    scope_of: Callable[[Operation], Scope]
    """Whose jobs another operation may be done on. Raises PermissionDeniedError where on nobody's."""
    limits: LimitPolicy
    """What jobs may use that are started."""
    lifetime: Lifetime
    unfinished: set[asyncio.Task[object]]
    """What runs to its end although its caller may be gone."""

    def doing(self, operation: Operation) -> Call:
        """The same call as one that does something else, too.

        Raises:
            PermissionDeniedError: the caller may not do that.
        """
        return replace(self, scope=self.scope_of(operation))

    async def job(self, job_id: str) -> aio.Job:
        """The job of this id.

        Raises:
            InvalidArgumentError: it can't be an id.
            InvalidRequestError: it is not set.
            JobNotFoundError: there is none, or none that the caller may know of: the two can't be told apart.
        """
        if not job_id:
            raise InvalidRequestError("job_id", "the id is missing")
        try:
            job = await self.engine.get(job_id)
            if self.scope is Scope.ANY or (await job.status(usage=False)).owner == self.caller.owner:
                return job
        except JobNotFoundError:
            pass
        raise JobNotFoundError(job_id)

    def owner_of(self, request: ListJobsRequest | WatchRequest) -> str | None:
        """Whose jobs are asked for; None: everyone's."""
        if request.owner:
            return request.owner
        return None if request.all_owners and self.scope is Scope.ANY else self.caller.owner

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
        self.unfinished.add(task)
        task.add_done_callback(self.unfinished.discard)
        return await asyncio.shield(task)

    def log(self, event: str, job_id: str) -> None:
        """Write down that the caller changed something."""
        _log.info("job %s %s by %s (%s)", job_id, event, self.caller.name, self.caller.role)
