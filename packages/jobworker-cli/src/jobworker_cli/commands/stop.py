"""``stop``: end jobs with all their processes."""

from __future__ import annotations

from typing import Annotated

import typer

from jobworker_cli import many, options
from jobworker_cli.connection import connect
from jobworker_cli.models import DEFAULT_GRACE_SECONDS, JobState


def stop(
    context: typer.Context,
    job_ids: options.JobIds = None,
    *,
    grace: Annotated[
        float | None,
        typer.Option("--grace", metavar="SECONDS", min=0, help="Time to end after SIGTERM. Default: 10."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Kill at once, without SIGTERM.")] = False,
    label: options.ByLabel = None,
    yes: options.Yes = False,
) -> None:
    """Stop jobs with all their processes.

    Every process of a job gets SIGTERM; what is left after the grace period is killed. It returns when the jobs have
    ended. With --label all of your jobs that run or wait and have that label are stopped; that is asked about on a
    terminal, and needs --yes without one.

        jobworker-cli stop 3f2a91c0
        jobworker-cli stop --grace 60 3f2a91c0 77aa
        jobworker-cli stop --label batch=7
    """
    if force and grace is not None:
        raise typer.BadParameter("it can't go with --force, which gives no grace", param_hint="--grace")
    many.require_ids_or_labels(job_ids, label)
    seconds = DEFAULT_GRACE_SECONDS if grace is None else grace
    with connect(context.obj) as client:
        states = (state for state in JobState if not state.ended)
        found = many.chosen(client, job_ids, label, states, verb="stop", yes=yes)
        many.on_each(client, found, lambda to, job: to.stop(job, grace=seconds, force=force), done="stopped")
