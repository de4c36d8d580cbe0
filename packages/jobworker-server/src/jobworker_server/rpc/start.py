"""Start: runs a command as a job of the caller."""

from __future__ import annotations

import os
import pwd

from jobworker.v1.worker_service_pb2 import StartRequest, StartResponse
from jobworker_lib import JobStatus, State
from jobworker_server import convert
from jobworker_server.call import Call
from jobworker_server.errors import InvalidRequestError
from jobworker_server.gate import Unary
from jobworker_server.policy import Operation

_PRIVATE_TMP = "/tmp"  # noqa: S108 - the job's own


async def _start(call: Call, request: StartRequest) -> StartResponse:
    return StartResponse(job=convert.job_message(await call.finish(_begin(call, request))))


async def _begin(call: Call, request: StartRequest) -> JobStatus:
    job = await call.engine.start(
        request.argv,
        cwd=_working_directory(request),
        env=request.env,
        timeout=convert.seconds("timeout", request.timeout) if request.HasField("timeout") else None,
        limits=call.limits.applied(convert.limits(request.limits)),
        labels=request.labels,
        owner=call.caller.owner,
        request_id=request.request_id or None,
        priority=request.priority,
        start_deadline=(
            convert.seconds("start_deadline", request.start_deadline) if request.HasField("start_deadline") else None
        ),
        stdin=request.stdin,
        terminal=convert.terminal(request.terminal) if request.HasField("terminal") else None,
        output_limit=convert.output_limit(request.output_limit) if request.HasField("output_limit") else None,
        restart=convert.restart(request.restart) if request.HasField("restart") else None,
        isolation=convert.isolation(request.isolation) if request.HasField("isolation") else None,
        user=request.user or None,
        groups=list(request.groups) or None,
        new_privileges=False,
    )
    status = await job.status(usage=False)
    call.log("queued" if status.state is State.QUEUED else "started", job.id)
    return status


def _working_directory(request: StartRequest) -> str:
    if request.cwd and not request.cwd.startswith("/"):
        raise InvalidRequestError("cwd", "give an absolute path; it is one of the server's host")
    if request.cwd:
        return request.cwd
    if request.isolation.read_only and request.isolation.private_tmp:
        return _PRIVATE_TMP  # it could write to a home directory
    return _home(request.user)


def _home(user: str) -> str:
    """The home directory of a user given by name or number, or else of this process's."""
    try:
        if user and not user.isdigit():
            return pwd.getpwnam(user).pw_dir or "/"
        return pwd.getpwuid(int(user) if user else os.geteuid()).pw_dir or "/"
    except (KeyError, OverflowError):  # containers often run as a user without an entry
        return "/"


RPC = Unary(Operation.START, StartRequest, _start)
