"""Stop: ends a job with all its processes."""

from __future__ import annotations

from jobworker.v1.worker_service_pb2 import StopRequest, StopResponse
from jobworker_server import convert
from jobworker_server.call import Call
from jobworker_server.gate import Unary
from jobworker_server.policy import Operation

_DEFAULT_GRACE = 10.0


async def _stop(call: Call, request: StopRequest) -> StopResponse:
    grace = (
        convert.seconds("grace_period", request.grace_period) if request.HasField("grace_period") else _DEFAULT_GRACE
    )
    job = await call.job(request.job_id)
    status = await call.change("stopped", job, job.stop(grace=grace, force=request.force))
    return StopResponse(job=call.told(status))


RPC = Unary(Operation.STOP, StopRequest, _stop)
