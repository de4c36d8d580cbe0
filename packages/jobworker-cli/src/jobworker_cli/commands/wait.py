"""``wait``: until a job has ended."""

from __future__ import annotations

import typer

from jobworker_cli import exit_status, options
from jobworker_cli.connection import connect
from jobworker_cli.errors import ClientError
from jobworker_cli.render import job_json
from jobworker_cli.terminal import print_line, report
from jobworker_cli.text import escape


def wait(context: typer.Context, job_id: options.JobId, output: options.Output = None) -> None:
    """Wait until a job has ended, print how, and exit as it did.

    The exit status is the job's own exit code, 128 + N if signal N ended it, 126 or 127 if its command could not be
    executed or was not found, and 125 if how it ended can't be told: the job was lost, or the server has gone and
    not come back within 30 seconds. Where there was nothing to wait for, it is 1 to 5 as for any command.

        jobworker-cli wait 3f2a91c0; echo $?
    """
    with connect(context.obj) as client:
        job = client.status(client.resolve(job_id))
        try:
            job = job if job.state.ended else client.wait(job.id)
        except ClientError as error:
            report(error)
            raise typer.Exit(exit_status.JOBWORKER_FAILED) from None
    print_line(job_json(job) if output else escape(job.describe()))
    raise typer.Exit(exit_status.of_job(job))
