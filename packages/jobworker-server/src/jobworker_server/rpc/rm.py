"""Delete: removes an ended job with its output."""

from __future__ import annotations

from jobworker.v1.worker_service_pb2 import DeleteRequest, DeleteResponse
from jobworker_server.call import Call
from jobworker_server.gate import Unary
from jobworker_server.policy import Operation


async def _rm(call: Call, request: DeleteRequest) -> DeleteResponse:
    job = await call.job(request.job_id)
    await call.change("deleted", job, job.delete())
    return DeleteResponse()


RPC = Unary(Operation.DELETE, DeleteRequest, _rm)
