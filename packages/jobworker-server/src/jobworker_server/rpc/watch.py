"""Watch: streams what happens to jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing

from jobworker.v1 import job_pb2
from jobworker.v1.worker_service_pb2 import WatchRequest, WatchResponse
from jobworker_lib import Event, JobNotFoundError
from jobworker_server import convert
from jobworker_server.call import Call
from jobworker_server.errors import InvalidRequestError
from jobworker_server.gate import Stream
from jobworker_server.policy import Operation, Scope

_MOST_JOBS = 1000
_MOST_EVENTS = 100


async def _watch(call: Call, request: WatchRequest, send: Callable[[WatchResponse], Awaitable[None]]) -> None:
    if len(request.job_ids) > _MOST_JOBS:
        raise InvalidRequestError("job_ids", f"give at most {_MOST_JOBS} ids")
    owner = call.owner_of(request)
    jobs: Sequence[str] | None = request.job_ids or None
    if owner is not None and call.scope is not Scope.ANY and owner != call.caller.owner:
        owner, jobs = call.caller.owner, ()  # nothing that this caller may see
    async with call.engine.watch(request.cursor or None, owner=owner, jobs=jobs) as watch:
        await send(WatchResponse(cursor=watch.cursor))
        # Frees the watch as soon as the client is gone, not when it is collected.
        async with aclosing(watch.batches()) as batches:
            async for batch in batches:
                for events in _parts(batch):
                    await _send(call, events, send)
                if not batch:  # the cursor has moved on past much that is not for this caller
                    await send(WatchResponse(cursor=watch.cursor))


def _parts(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    return (events[start : start + _MOST_EVENTS] for start in range(0, len(events), _MOST_EVENTS))


async def _send(call: Call, events: Sequence[Event], send: Callable[[WatchResponse], Awaitable[None]]) -> None:
    """Send events with their jobs, in as few messages as clients can take."""
    response, size = WatchResponse(), 0
    for event in events:
        message = convert.event_message(event, await _job(call, event.job_id))
        size += message.ByteSize()
        if response.events and size > convert.LARGEST_LIST_OF_JOBS:
            await send(response)
            response, size = WatchResponse(), message.ByteSize()
        response.events.append(message)
        response.cursor = event.cursor
    if response.events:
        await send(response)


async def _job(call: Call, job_id: str) -> job_pb2.Job | None:
    """The job as it is now; None where it is deleted."""
    try:
        job = await call.engine.get(job_id)
        return convert.job_message(await job.status(usage=False))
    except JobNotFoundError:
        return None


RPC = Stream(Operation.LIST, WatchRequest, _watch)
