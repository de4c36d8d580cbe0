"""``status``, also ``query``: where a job is in its life."""

from __future__ import annotations

import typer

from jobworker_cli import options
from jobworker_cli.connection import connect
from jobworker_cli.formats import job_text
from jobworker_cli.terminal import print_line
from jobworker_cli.text import escape


def status(context: typer.Context, job_id: options.JobId, output: options.Output = None) -> None:
    """Tell whether a job runs, or how it ended.

    Also: query.

        jobworker-cli status 3f2a91c0            # exited (exit code: 3)
        jobworker-cli status -o json 3f2a91c0
    """
    with connect(context.obj) as client:
        job = client.status(client.resolve(job_id))
    print_line(job_text(job, output) if output else escape(job.describe()))
