"""The API through its generated stub, so that tests can send what the command line never would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, cast

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo  # type: ignore[import-untyped]  # it has no types
from grpc_status.rpc_status import from_call  # type: ignore[import-untyped]  # nor has this

from conformance.processes import PATIENCE_SECONDS
from jobworker.v1 import job_pb2, output_pb2, worker_service_pb2
from jobworker.v1.worker_service_pb2_grpc import WorkerServiceStub

if TYPE_CHECKING:
    from harness.certs import Pair
    from harness.server import Server

RPCS = (
    "Start",
    "Stop",
    "QueryStatus",
    "GetOutput",
    "ListJobs",
    "Wait",
    "Signal",
    "Delete",
    "Update",
    "Attach",
    "GetStats",
)


class Api:
    """A connection of one client, which sends a token where it is given one."""

    def __init__(self, server: Server, pair: Pair, token: str = "") -> None:
        credentials = grpc.ssl_channel_credentials(
            server.certs.ca.read_bytes(), pair.key.read_bytes(), pair.cert.read_bytes()
        )
        if token:
            credentials = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))
        # Channels of one process would share connections otherwise.
        self._channel = grpc.secure_channel(server.address, credentials, [("grpc.use_local_subchannel_pool", 1)])
        self.stub = WorkerServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def call(self, rpc: str, **fields: Any) -> Any:
        """Make any call: its response; for streams all its responses."""
        if rpc == "Attach":
            return self.attach(worker_service_pb2.AttachRequest(detach=True), **fields)
        request = getattr(worker_service_pb2, f"{rpc}Request")(**fields)
        answer = getattr(self.stub, rpc)(request, timeout=PATIENCE_SECONDS)
        return list(answer) if rpc in ("GetOutput", "GetStats") else answer

    def attach(
        self, *requests: worker_service_pb2.AttachRequest, **start: Any
    ) -> list[worker_service_pb2.AttachResponse]:
        """Join a job, send requests, and nothing after them: all responses."""
        first = worker_service_pb2.AttachRequest(start=worker_service_pb2.AttachStart(**start))
        return list(self.stub.Attach(iter([first, *requests]), timeout=PATIENCE_SECONDS))

    def start(self, argv: list[str], **fields: Any) -> job_pb2.Job:
        return self.call("Start", argv=argv, **fields).job  # type: ignore[no-any-return]  # see call

    def stop(self, job_id: str, **fields: Any) -> job_pb2.Job:
        return self.call("Stop", job_id=job_id, **fields).job  # type: ignore[no-any-return]  # see call

    def status(self, job_id: str) -> job_pb2.Job:
        return self.call("QueryStatus", job_id=job_id).job  # type: ignore[no-any-return]  # see call

    def wait(self, job_id: str) -> job_pb2.Job:
        return self.call("Wait", job_ids=[job_id]).jobs[0]  # type: ignore[no-any-return]  # see call

    def list(self, **fields: Any) -> list[job_pb2.Job]:
        """All pages."""
        jobs: list[job_pb2.Job] = []
        token = ""
        while True:
            page = self.call("ListJobs", page_token=token, **fields)
            jobs += page.jobs
            token = page.next_page_token
            if not token:
                return jobs

    def chunks(self, job_id: str, *, follow: bool = True, offset: int = 0) -> Iterator[output_pb2.OutputChunk]:
        """Stream output; closing the iterator hangs up."""
        request = worker_service_pb2.GetOutputRequest(job_id=job_id, follow=follow, offset=offset)
        call = self.stub.GetOutput(request, timeout=PATIENCE_SECONDS)
        try:
            for response in call:
                yield from response.chunks
        finally:
            call.cancel()


@dataclass
class Failure:
    """How a call failed: the code, the message, and what the details say."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: list[str] = field(default_factory=list)

    def about(self, job_id: str) -> Failure:
        """The same, with ``ID`` in place of the job's id."""
        metadata = {key: value.replace(job_id, "ID") for key, value in self.metadata.items()}
        return Failure(self.code, self.message.replace(job_id, "ID"), self.reason, metadata, self.fields)


@contextmanager
def failing() -> Iterator[Failure]:
    """The block's call fails; how is told after it."""
    failure = Failure()
    try:
        yield failure
    except grpc.RpcError as error:
        call = cast("grpc.Call", error)  # what is raised is the call, which the types don't know
        failure.code, failure.message = call.code(), call.details() or ""
        status = from_call(call)
        for detail in status.details if status else ():
            info, request = ErrorInfo(), BadRequest()
            if detail.Unpack(info):
                assert info.domain == "jobworker"
                failure.reason, failure.metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(request):
                failure.fields = [violation.field for violation in request.field_violations]
    else:
        raise AssertionError("the call did not fail")
