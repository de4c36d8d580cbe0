"""Update: changes what can be changed of a job that has not ended."""

from __future__ import annotations

from jobworker.v1.worker_service_pb2 import UpdateRequest, UpdateResponse
from jobworker_server import convert
from jobworker_server.call import Call
from jobworker_server.errors import InvalidRequestError
from jobworker_server.gate import Unary
from jobworker_server.policy import Operation


async def _update(call: Call, request: UpdateRequest) -> UpdateResponse:
    job = await call.job(request.job_id)
    limits = call.permit().rules.limits
    match request.WhichOneof("timeout_change"):
        case "timeout":
            timeout = convert.seconds("timeout", request.timeout)
            limits.check_timeout("timeout", timeout)
            await call.change("updated", job, job.set_timeout(timeout))
        case "no_timeout":
            if not request.no_timeout:
                raise InvalidRequestError("no_timeout", "it can only be true; to keep the timeout, don't set it")
            limits.check_timeout("no_timeout", None)
            await call.change("updated", job, job.set_timeout(None))
        case None:
            pass  # nothing to change: the answer tells the job as it is
    return UpdateResponse(job=call.told(await job.status(usage=False)))


RPC = Unary(Operation.UPDATE, UpdateRequest, _update)
