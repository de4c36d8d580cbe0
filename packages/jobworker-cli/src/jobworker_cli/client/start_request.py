"""The request that starts a job."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from jobworker.v1 import worker_service_pb2 as api
from jobworker_cli.client import convert, convert_fence
from jobworker_cli.client.convert_fence import require_text
from jobworker_cli.fence import Isolation, Limits
from jobworker_cli.models import OutputLimit, RestartPolicy, TerminalSize


def start_request(
    argv: Sequence[str],
    *,
    cwd: str = "",
    env: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    timeout: float | None = None,
    stdin: bool = False,
    terminal: TerminalSize | None = None,
    restart: RestartPolicy | None = None,
    priority: int = 0,
    start_deadline: float | None = None,
    output_limit: OutputLimit | None = None,
    limits: Limits | None = None,
    isolation: Isolation | None = None,
    user: str = "",
    groups: Sequence[str] = (),
    request_id: str = "",
) -> api.StartRequest:
    """The request, with an id of its own, so that it can be sent again.

    Raises:
        InvalidRequestError: something of it can't be sent.
    """
    require_text("argv", argv)
    require_text("cwd", [cwd])
    require_text("env", [*(env or {}), *(env or {}).values()])
    require_text("labels", [*(labels or {}), *(labels or {}).values()])
    require_text("user", [user])
    require_text("groups", groups)
    require_text("request_id", [request_id])
    return api.StartRequest(
        argv=argv,
        cwd=cwd,
        env=env,
        labels=labels,
        request_id=request_id or str(uuid.uuid4()),
        timeout=None if timeout is None else convert.duration("timeout", timeout),
        stdin=stdin,
        terminal=convert.terminal_value(terminal) if terminal else None,
        restart=None if restart is None else convert.restart_value(restart),
        priority=convert.int32("priority", priority),
        start_deadline=None if start_deadline is None else convert.duration("start_deadline", start_deadline),
        output_limit=None if output_limit is None else convert.output_limit_value(output_limit),
        limits=None if limits is None else convert_fence.limits_value(limits),
        isolation=None if isolation is None else convert_fence.isolation_value(isolation),
        user=user,
        groups=groups,
    )
