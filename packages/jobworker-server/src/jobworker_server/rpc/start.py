"""Start: runs a command as a job of the caller."""

from __future__ import annotations

import os

from jobworker.v1.worker_service_pb2 import StartRequest, StartResponse
from jobworker_lib import InvalidArgumentError, JobStatus, State
from jobworker_lib.isolation import users
from jobworker_server import convert
from jobworker_server.call import Call
from jobworker_server.errors import InvalidRequestError
from jobworker_server.gate import Unary
from jobworker_server.policy import Operation

_ROOT = "/"


async def _start(call: Call, request: StartRequest) -> StartResponse:
    call.entry.argv, call.entry.request_id = request.argv, request.request_id or None
    return StartResponse(job=call.told(await call.finish(_begin(call, request))))


async def _begin(call: Call, request: StartRequest) -> JobStatus:
    permit = call.permit()
    permit.check_command(request.argv)
    permit.check_environment(request.env, has_terminal=request.HasField("terminal"))
    user = permit.user(request.user)
    isolation = permit.isolation(convert.isolation(request.isolation) if request.HasField("isolation") else None)
    cwd = permit.working_directory(_absolute(request.cwd), _home(user), isolation)
    limits = permit.rules.limits
    job = await call.engine.start(
        request.argv,
        cwd=cwd,
        env=request.env,
        timeout=limits.applied_timeout(
            convert.seconds("timeout", request.timeout) if request.HasField("timeout") else None
        ),
        limits=limits.applied(convert.limits(request.limits), cwd),
        labels=request.labels,
        owner=call.caller.owner,
        request_id=request.request_id or None,
        priority=permit.priority(request.priority),
        running_per_owner=permit.rules.running,
        queued_per_owner=permit.rules.queued,
        start_deadline=(
            convert.seconds("start_deadline", request.start_deadline) if request.HasField("start_deadline") else None
        ),
        stdin=request.stdin,
        terminal=convert.terminal(request.terminal) if request.HasField("terminal") else None,
        output_limit=convert.output_limit(request.output_limit) if request.HasField("output_limit") else None,
        restart=convert.restart(request.restart) if request.HasField("restart") else None,
        isolation=isolation,
        user=user,
        groups=permit.groups(user, request.groups),
        new_privileges=permit.rules.new_privileges,
    )
    call.entry.job = job.id
    status = await job.status(usage=False)
    call.log("queued" if status.state is State.QUEUED else "started", job.id)
    return status


def _absolute(cwd: str) -> str:
    if cwd and not cwd.startswith("/"):
        raise InvalidRequestError("cwd", "give an absolute path; it is one of the server's host")
    return cwd


def _home(user: str | None) -> str:
    """The home directory of a user given by name or number, or else of this process's; ``/`` where there is none."""
    try:
        home = users.entry(str(os.geteuid()) if user is None else user).pw_dir
    except InvalidArgumentError:  # containers often run as a user without an entry
        return _ROOT
    return home if os.path.isdir(home) else _ROOT  # that of nobody never is


RPC = Unary(Operation.START, StartRequest, _start)
