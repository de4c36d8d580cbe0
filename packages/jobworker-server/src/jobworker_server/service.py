"""The service: which RPC answers which method. A method that is not in this table does not exist."""

from __future__ import annotations

from collections.abc import Mapping

import grpc

from jobworker.v1 import worker_service_pb2
from jobworker_server.gate import Gate, Rpc
from jobworker_server.rpc import attach, list, logs, rm, signal, start, stats, status, stop, update, wait, watch

NAME = worker_service_pb2.DESCRIPTOR.services_by_name["WorkerService"].full_name

RPCS: Mapping[str, Rpc] = {
    "Start": start.RPC,
    "Stop": stop.RPC,
    "QueryStatus": status.RPC,
    "GetOutput": logs.RPC,
    "ListJobs": list.RPC,
    "Wait": wait.RPC,
    "Signal": signal.RPC,
    "Delete": rm.RPC,
    "Attach": attach.RPC,
    "Update": update.RPC,
    "Watch": watch.RPC,
    "GetStats": stats.RPC,
}


def add_to(server: grpc.aio.Server, gate: Gate) -> None:
    """Serve the RPCs, each behind ``gate``."""
    handlers = {name: rpc.handler(gate) for name, rpc in RPCS.items()}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(NAME, handlers)])
