"""A gRPC server with real mutual TLS whose answers a test decides, for errors and accidents that are rare in life."""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]  # it has no types
from grpc_status import rpc_status  # type: ignore[import-untyped]  # it has no types

from jobworker.v1 import job_pb2, output_pb2
from jobworker.v1 import worker_service_pb2 as api
from jobworker.v1.worker_service_pb2_grpc import WorkerServiceServicer, add_WorkerServiceServicer_to_server

if TYPE_CHECKING:
    from types import TracebackType

Answer = Callable[[Any, grpc.ServicerContext], Any]


class ScriptedService(WorkerServiceServicer):
    """Answers from ``jobs`` and ``batches``, unless the test puts an answer of its own in ``answers``."""

    def __init__(self) -> None:
        self.jobs: list[job_pb2.Job] = []
        self.batches: list[list[output_pb2.OutputChunk]] = []
        self.answers: dict[str, Answer] = {}
        self.requests: list[Any] = []
        self.tls_versions: set[bytes] = set()
        self.authorizations: list[str | bytes] = []

    def Start(self, request: api.StartRequest, context: grpc.ServicerContext) -> Any:
        return self._answer("Start", request, context, lambda *_: api.StartResponse(job=self.jobs[0]))

    def Stop(self, request: api.StopRequest, context: grpc.ServicerContext) -> Any:
        return self._answer("Stop", request, context, lambda *_: api.StopResponse(job=self._job(request.job_id)))

    def QueryStatus(self, request: api.QueryStatusRequest, context: grpc.ServicerContext) -> Any:
        return self._answer(
            "QueryStatus", request, context, lambda *_: api.QueryStatusResponse(job=self._job(request.job_id))
        )

    def GetOutput(self, request: api.GetOutputRequest, context: grpc.ServicerContext) -> Iterator[Any]:
        yield from self._answer("GetOutput", request, context, self._output)

    def ListJobs(self, request: api.ListJobsRequest, context: grpc.ServicerContext) -> Any:
        return self._answer("ListJobs", request, context, self._list)

    def Wait(self, request: api.WaitRequest, context: grpc.ServicerContext) -> Any:
        return self._answer("Wait", request, context, lambda *_: api.WaitResponse(jobs=[self._job(request.job_ids[0])]))

    def Signal(self, request: api.SignalRequest, context: grpc.ServicerContext) -> Any:
        return self._answer("Signal", request, context, lambda *_: api.SignalResponse())

    def Delete(self, request: api.DeleteRequest, context: grpc.ServicerContext) -> Any:
        return self._answer("Delete", request, context, lambda *_: api.DeleteResponse())

    def Update(self, request: api.UpdateRequest, context: grpc.ServicerContext) -> Any:
        return self._answer("Update", request, context, lambda *_: api.UpdateResponse(job=self._job(request.job_id)))

    def Attach(self, requests: Iterator[api.AttachRequest], context: grpc.ServicerContext) -> Iterator[Any]:
        yield from self._answer("Attach", requests, context, self._attach)

    def Watch(self, request: api.WatchRequest, context: grpc.ServicerContext) -> Iterator[Any]:
        yield from self._answer("Watch", request, context, self._watch)

    def GetStats(self, request: api.GetStatsRequest, context: grpc.ServicerContext) -> Iterator[Any]:
        yield from self._answer("GetStats", request, context, lambda *_: iter([api.GetStatsResponse()]))

    def requests_of(self, kind: type) -> list[Any]:
        return [request for request in self.requests if isinstance(request, kind)]

    def _answer(self, name: str, request: Any, context: grpc.ServicerContext, default: Answer) -> Any:
        self.requests.append(request)
        self.authorizations += [value for key, value in context.invocation_metadata() if key == "authorization"]
        self.tls_versions.update(cast("list[bytes]", context.auth_context()["ssl_tls_version"]))
        return self.answers.get(name, default)(request, context)

    def _job(self, job_id: str) -> job_pb2.Job:
        return next(job for job in self.jobs if job.id == job_id)

    def _list(self, request: api.ListJobsRequest, _context: grpc.ServicerContext) -> api.ListJobsResponse:
        found = [job for job in self.jobs if job.id.startswith(request.id_prefix)]
        begin = int(request.page_token or 0)
        end = begin + (request.page_size or 100)
        return api.ListJobsResponse(jobs=found[begin:end], next_page_token=str(end) if end < len(found) else "")

    def _watch(self, request: api.WatchRequest, _context: grpc.ServicerContext) -> Iterator[api.WatchResponse]:
        """Where it began, and no more."""
        yield api.WatchResponse(cursor=request.cursor or "begin")

    def _output(self, _request: Any, _context: grpc.ServicerContext) -> Iterator[api.GetOutputResponse]:
        for batch in self.batches:
            yield api.GetOutputResponse(chunks=batch)

    def _attach(self, requests: Iterator[api.AttachRequest], _context: grpc.ServicerContext) -> Iterator[Any]:
        """The job as it is, its output, and how it ended."""
        start = next(requests)
        self.requests.append(start)
        yield api.AttachResponse(job=self._job(start.start.job_id))
        for batch in self.batches:
            yield api.AttachResponse(chunks=batch)
        yield api.AttachResponse(job=self.jobs[-1])


class ScriptedServer:
    """The service on a free port of localhost, behind a relay that can cut connections."""

    def __init__(self, certs: Path, *, server_name: str = "server") -> None:
        self.service = ScriptedService()
        ca, cert, key = (certs / name for name in ("ca.pem", f"{server_name}.pem", f"{server_name}.key"))
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        add_WorkerServiceServicer_to_server(self.service, self._server)
        credentials = grpc.ssl_server_credentials(
            [(key.read_bytes(), cert.read_bytes())], ca.read_bytes(), require_client_auth=True
        )
        self._relay = Relay(self._server.add_secure_port("127.0.0.1:0", credentials))
        self.address = f"localhost:{self._relay.port}"

    def drop_connections(self) -> None:
        """Break all connections; new ones are taken."""
        self._relay.drop()

    def cut(self) -> None:
        """Break all connections, and take no more."""
        self._relay.close()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._relay.close()
        self._server.stop(None).wait(10)


class Relay:
    """Hands bytes on between a port of its own and another."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._end(self._listener)
        self.drop()

    def drop(self) -> None:
        connections, self._open = self._open, []  # not those that are made again meanwhile
        for connection in connections:
            self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # It may have gone already.
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):  # Cut by the test, or by an end that has gone.
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def job(argv: tuple[str, ...] = ("true",), job_id: str = "", **fields: Any) -> job_pb2.Job:
    """A job that runs, unless ``fields`` say more."""
    values: dict[str, Any] = {"owner": "full", "state": job_pb2.JOB_STATE_RUNNING}
    made = job_pb2.Job(id=job_id or str(uuid.uuid4()), argv=argv, **(values | fields))
    made.created_at.FromJsonString("2026-01-02T03:04:05.678901Z")
    return made


def exited(code: int, **fields: Any) -> job_pb2.Job:
    """A job that exited by itself."""
    return job(state=job_pb2.JOB_STATE_EXITED, exit_code=code, reason=job_pb2.EXIT_REASON_EXITED, **fields)


def chunk(data: bytes, offset: int = 0, stream: str = "stdout") -> output_pb2.OutputChunk:
    made = output_pb2.OutputChunk(
        data=data, offset=offset, stream=output_pb2.OutputStream.Value(f"OUTPUT_STREAM_{stream.upper()}")
    )
    made.time.FromJsonString("2026-01-02T03:04:05.678901Z")
    return made


def refusal(code: str, reason: str, message: str, field: str = "", *, retry_seconds: float = 0.0) -> Answer:
    """An answer that refuses as the real server does."""
    details = [error_details_pb2.ErrorInfo(domain="jobworker", reason=reason)]
    if retry_seconds:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(retry_seconds * 1000))
        details.append(retry)
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    packed = [AnyMessage() for _ in details]
    for target, detail in zip(packed, details, strict=True):
        target.Pack(detail)
    status = rpc_status.to_status(status_pb2.Status(code=code_pb2.Code.Value(code), message=message, details=packed))

    def answer(_request: Any, context: grpc.ServicerContext) -> Any:
        context.abort_with_status(status)

    return answer
