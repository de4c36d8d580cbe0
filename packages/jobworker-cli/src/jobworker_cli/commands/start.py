"""``start``: start a job and leave it running."""

from __future__ import annotations

import typer

from jobworker_cli import options
from jobworker_cli.connection import connect
from jobworker_cli.render import job_json
from jobworker_cli.start_options import start_job, takes_start_options
from jobworker_cli.starting import StartOptions
from jobworker_cli.terminal import print_line


@takes_start_options
def start(
    context: typer.Context,
    command: options.Command,
    *,
    starting: StartOptions,
    output: options.Output = None,
) -> None:
    """Start a job, print its id, and leave it running.

    With --stdin or --tty, `attach` joins it and writes to it; without, it reads the end of file at once.

        jobworker-cli start sleep 60
        jobworker-cli start --tty bash
        jobworker-cli start --label team=a -- sh -c 'make && make test'
    """
    with connect(context.obj) as client:
        job = start_job(client, command, starting)
    print_line(job_json(job) if output else job.id)
