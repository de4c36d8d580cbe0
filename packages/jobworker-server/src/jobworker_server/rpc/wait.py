"""Wait: answers when jobs have ended."""

from __future__ import annotations

from collections.abc import Sequence

from jobworker.v1.worker_service_pb2 import WaitRequest, WaitResponse
from jobworker_lib import aio
from jobworker_server import convert
from jobworker_server.call import Call
from jobworker_server.errors import InvalidRequestError
from jobworker_server.gate import Unary
from jobworker_server.policy import Operation

_MOST_JOBS = 1000


async def _wait(call: Call, request: WaitRequest) -> WaitResponse:
    if not 1 <= len(request.job_ids) <= _MOST_JOBS:
        raise InvalidRequestError("job_ids", f"give 1 to {_MOST_JOBS} ids")
    jobs = [await call.job(job_id) for job_id in request.job_ids]
    await call.engine.wait(jobs, any=request.any)
    return await _those_ended(jobs)


async def _those_ended(jobs: Sequence[aio.Job]) -> WaitResponse:
    """The jobs that have ended, as many as a client can take at once; the others it asks for again."""
    response = WaitResponse()
    size = 0
    for job in jobs:
        status = await job.status(usage=False)
        if status.state.ended:
            message = convert.job_message(status)
            size += message.ByteSize()
            if response.jobs and size > convert.LARGEST_LIST_OF_JOBS:
                break
            response.jobs.append(message)
    return response


RPC = Unary(Operation.WAIT, WaitRequest, _wait)
