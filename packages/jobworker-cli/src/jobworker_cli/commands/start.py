"""``start``: start jobs and leave them running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobworker_cli import options
from jobworker_cli.connection import connect
from jobworker_cli.errors import ClientError
from jobworker_cli.formats import OutputFormat, job_text
from jobworker_cli.start_interrupt import StartInterrupt
from jobworker_cli.start_options import start_job, takes_start_options
from jobworker_cli.starting import StartOptions
from jobworker_cli.terminal import print_line, say

if TYPE_CHECKING:
    from jobworker_cli.client import Client
    from jobworker_cli.models import Job


@takes_start_options
def start(
    context: typer.Context,
    command: options.OptionalCommand = None,
    *,
    starting: StartOptions,
    file: Annotated[
        str, typer.Option("--file", "-f", metavar="FILE", help="Start the jobs that this YAML file lists; -: stdin.")
    ] = "",
    output: options.Output = None,
) -> None:
    """Start a job, print its id, and leave it running.

    With --stdin or --tty, `attach` joins it and writes to it; without, it reads the end of file at once. Ctrl-C while
    the server has not answered yet waits for the answer, and tells whether there is a job. A script that may be
    repeated gives a --request-id of its own: then the job is started once.

    With --file many are started over one connection, and their ids printed in the file's order. It lists jobs, or has
    them as `jobs`, with `defaults` for all of them; each has a `command` and otherwise these options, by their names
    without dashes. A job that can't be started doesn't keep the others from it.

        jobworker-cli start sleep 60
        jobworker-cli start --tty bash
        jobworker-cli start --label team=a -- sh -c 'make && make test'
        jobworker-cli start --file jobs.yaml

    A file of jobs:

        defaults: {label: {batch: 7}, memory: 64M}
        jobs:
          - command: [make, test]
            cwd: /srv/a
          - {command: "make lint | tee lint.log", cwd: /srv/b, timeout: 600}
    """
    if bool(command) == bool(file):
        raise typer.BadParameter("give a command, or --file FILE", param_hint="--file" if command else "COMMAND")
    if file:
        from jobworker_cli import job_file

        job_file.start_all(context.obj, file, starting, output)
        return
    start_and_leave(context, command or [], starting, output)


def start_and_leave(
    context: typer.Context, command: list[str], starting: StartOptions, output: OutputFormat | None = None
) -> None:
    """Start a job, and tell its id."""
    with connect(context.obj) as client:
        job = _start(client, command, starting)
    print_line(job_text(job, output) if output else job.id)


def _start(client: Client, command: list[str], starting: StartOptions) -> Job:
    """Start it, whatever signals come meanwhile."""
    with StartInterrupt() as interrupt:
        try:
            job = start_job(client, command, starting)
        except KeyboardInterrupt:
            say("interrupted: whether the job was started is not known; `jobworker-cli list` shows")
            raise typer.Exit(interrupt.exit_status) from None
        except ClientError:
            if interrupt.received:
                say("interrupted: no job was started")
            raise
    if interrupt.received:
        print_line(job.id)
        say(f"interrupted: job {job.id} was started and runs on; `jobworker-cli stop {job.id}` stops it")
        raise typer.Exit(interrupt.exit_status)
    return job
