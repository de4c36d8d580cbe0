"""Signal: sends a signal to a job's main process."""

from __future__ import annotations

from jobworker.v1.worker_service_pb2 import SignalRequest, SignalResponse
from jobworker_server.call import Call
from jobworker_server.gate import Unary
from jobworker_server.policy import Operation


async def _signal(call: Call, request: SignalRequest) -> SignalResponse:
    job = await call.job(request.job_id)
    await call.change("signalled", job, job.signal(request.signal))
    return SignalResponse()


RPC = Unary(Operation.SIGNAL, SignalRequest, _signal)
