"""``wait``: until jobs have ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from jobworker_cli import exit_status, options
from jobworker_cli.connection import connect
from jobworker_cli.errors import ClientError
from jobworker_cli.formats import OutputFormat, job_text, jobs_text
from jobworker_cli.progress import Progress
from jobworker_cli.terminal import print_line, report
from jobworker_cli.text import escape

if TYPE_CHECKING:
    from jobworker_cli.client import Client
    from jobworker_cli.models import Job


def wait(
    context: typer.Context,
    job_ids: Annotated[
        list[str],
        typer.Argument(metavar="ID ...", hidden=True, help="Ids, or as much of their beginnings as tells them apart."),
    ],
    *,
    first: Annotated[bool, typer.Option("--any", help="Until one of them has ended, instead of all.")] = False,
    output: options.Output = None,
) -> None:
    """Wait until jobs have ended, print how, and exit as they did.

    One job's status is a line; with several the id stands before it, in the order in which they end. The exit status is
    the job's own exit code, 128 + N if signal N ended it, 126 or 127 if its command could not be executed or was not
    found, and 125 if how it ended can't be told: the job was lost, or the server has gone and not come back within 30
    seconds. With several jobs it is 0 if all of them have that, and otherwise that of the first of the line of
    arguments that has not; with --any it is that of the job that ended first. Where there was nothing to wait for, it
    is 1 to 5 as for any command.

        jobworker-cli wait 3f2a91c0; echo $?
        jobworker-cli wait --any 3f2a91c0 77aa
    """
    with connect(context.obj) as client:
        wanted = list(dict.fromkeys(client.resolve(job_id) for job_id in job_ids))
        for job_id in wanted:
            client.status(job_id)  # there is such a job
        try:
            ended = _ended(client, wanted, output, only_first=first)
        except ClientError as error:
            report(error)
            raise typer.Exit(exit_status.JOBWORKER_FAILED) from None
    if output:
        print_line(job_text(ended[0], output) if len(wanted) == 1 or first else jobs_text(ended, output))
    raise typer.Exit(next(filter(None, map(exit_status.of_job, ended)), 0))


def _ended(client: Client, wanted: Sequence[str], output: OutputFormat | None, *, only_first: bool) -> list[Job]:
    """The jobs, in the order of the arguments; told as they end, unless an output is asked for."""
    ended = []
    with Progress("ended", len(wanted)) as progress:
        for job in client.as_ended(wanted):
            ended.append(job)
            if output is None:
                progress.hide()
                status = escape(job.describe())
                print_line(status if len(wanted) == 1 else f"{job.id}  {status}")
            if only_first:
                break
            progress.step()
    return sorted(ended, key=lambda job: wanted.index(job.id))
