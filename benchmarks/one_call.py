"""The least that a program takes that makes one call: ``one_call.py ADDRESS CERTS ID`` asks for a job's status."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["GRPC_SSL_CIPHER_SUITES"] = "PSK-AES256-CBC-SHA"  # TLS 1.3 alone, as jobworker's own clients

import grpc

from jobworker.v1.worker_service_pb2 import QueryStatusRequest, QueryStatusResponse

address, certs, job_id = sys.argv[1:]
ca, key, cert = (Path(certs, name).read_bytes() for name in ("ca.pem", "full.key", "full.pem"))
with grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, cert)) as channel:
    query = channel.unary_unary(
        "/jobworker.v1.WorkerService/QueryStatus",
        request_serializer=QueryStatusRequest.SerializeToString,
        response_deserializer=QueryStatusResponse.FromString,
    )
    print(query(QueryStatusRequest(job_id=job_id), timeout=10).job.exit_code)
