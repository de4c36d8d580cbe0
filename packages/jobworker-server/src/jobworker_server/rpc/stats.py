"""GetStats: streams what a job uses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from jobworker.v1.worker_service_pb2 import GetStatsRequest, GetStatsResponse
from jobworker_server import convert
from jobworker_server.call import Call
from jobworker_server.errors import InvalidRequestError
from jobworker_server.gate import Stream
from jobworker_server.policy import Operation

_DEFAULT_INTERVAL = 1.0
_SHORTEST_INTERVAL = 0.1
_LONGEST_INTERVAL = 86400.0


async def _stats(call: Call, request: GetStatsRequest, send: Callable[[GetStatsResponse], Awaitable[None]]) -> None:
    interval = _interval(request)
    job = await call.job(request.job_id)
    while True:
        status = await job.status()
        await send(convert.stats_message(status))
        if request.once or status.state.ended:
            return
        with suppress(TimeoutError):  # an end is told at once
            await job.wait(interval)
        await call.share.turn()


def _interval(request: GetStatsRequest) -> float:
    if not request.HasField("interval"):
        return _DEFAULT_INTERVAL
    interval = convert.seconds("interval", request.interval)
    if not _SHORTEST_INTERVAL <= interval <= _LONGEST_INTERVAL:
        raise InvalidRequestError("interval", "give 100 milliseconds to a day")
    return interval


RPC = Stream(Operation.QUERY, GetStatsRequest, _stats)
