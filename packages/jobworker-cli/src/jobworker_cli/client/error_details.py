"""What a server tells of an error besides its code: google.rpc's ErrorInfo, BadRequest and RetryInfo."""

from __future__ import annotations

from typing import cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # googleapis-common-protos has no types
from grpc_status import rpc_status  # type: ignore[import-untyped]  # grpcio-status has no types

_DOMAIN = "jobworker"


def read(error: grpc.RpcError) -> tuple[str, list[str]]:
    """The reason given, and field violations as text; both empty where the server gave none."""
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    try:
        status = rpc_status.from_call(cast("grpc.Call", error))  # which it is, though the type stubs don't know
        for detail in status.details if status else ():
            if not detail.Unpack(info):
                detail.Unpack(bad_request)
    except (ValueError, DecodeError):  # Details that contradict the status, or can't be read, say nothing.
        return "", []
    violations = [f"{violation.field}: {violation.description}" for violation in bad_request.field_violations]
    return info.reason if info.domain == _DOMAIN else "", violations


def retry_seconds(error: grpc.RpcError) -> float | None:
    """After how long the server says that the call may be made again; None: it does not say that."""
    info = error_details_pb2.RetryInfo()
    try:
        status = rpc_status.from_call(cast("grpc.Call", error))
        if status and any(detail.Unpack(info) for detail in status.details):
            return max(0.0, float(info.retry_delay.ToTimedelta().total_seconds()))
    except (ValueError, DecodeError, OverflowError):  # as above
        pass
    return None
