"""``stop``: end a job with all its processes."""

from __future__ import annotations

from typing import Annotated

import typer

from jobworker_cli import options
from jobworker_cli.connection import connect
from jobworker_cli.models import DEFAULT_GRACE_SECONDS


def stop(
    context: typer.Context,
    job_id: options.JobId,
    *,
    grace: Annotated[
        float | None,
        typer.Option("--grace", metavar="SECONDS", min=0, help="Time to end after SIGTERM. Default: 10."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Kill at once, without SIGTERM.")] = False,
) -> None:
    """Stop a job with all its processes.

    Every process of it gets SIGTERM; what is left after the grace period is killed. It returns when the job has ended.

        jobworker-cli stop 3f2a91c0
        jobworker-cli stop --grace 60 3f2a91c0
    """
    if force and grace is not None:
        raise typer.BadParameter("it can't go with --force, which gives no grace", param_hint="--grace")
    with connect(context.obj) as client:
        client.stop(client.resolve(job_id), grace=DEFAULT_GRACE_SECONDS if grace is None else grace, force=force)
