"""``run``: start a job, stream its output, and end as it does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from jobworker_cli import exit_status, options, session
from jobworker_cli.commands.start import start_and_leave
from jobworker_cli.connection import connect
from jobworker_cli.errors import ClientError
from jobworker_cli.job_output import write_output
from jobworker_cli.models import JobState
from jobworker_cli.start_options import start_job, takes_start_options
from jobworker_cli.starting import StartOptions
from jobworker_cli.stop_on_signal import StopOnSignal
from jobworker_cli.terminal import OutputClosedError, OutputFailedError, report, say

if TYPE_CHECKING:
    from jobworker_cli.client import Client
    from jobworker_cli.models import Job


@takes_start_options
def run(
    context: typer.Context,
    command: options.Command,
    *,
    starting: StartOptions,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Print the job's id and leave it, as start does.")
    ] = False,
) -> None:
    """Run a job as if it were here, and exit as it does.

    Ctrl-C (or SIGTERM, SIGHUP) stops the job and waits for its end; a second Ctrl-C kills it. The job is stopped, too,
    when the standard output is closed. Where as many jobs run as may, it waits for its turn.

    With --stdin the job reads what this command reads. With --tty it has a terminal, for which yours stands in: every
    key goes to it, Ctrl-C and Ctrl-Z too. Ctrl-P Ctrl-Q leaves it running, and so does a lost connection.

    The exit status is the job's own exit code, 128 + N if signal N ended it, 126 or 127 if the command could not be
    executed or was not found, and 125 if jobworker failed after the job had started. Where the job could not be
    started at all, it is 1 to 5 as for any command.

        jobworker-cli run uname -a
        jobworker-cli run --stdin sha256sum <large-file
        jobworker-cli run --tty bash
        jobworker-cli run --timeout 60 -- sh -c 'make 2>&1 | tail'
    """
    if detach:
        start_and_leave(context, command, starting)
        return
    tty = starting["terminal"] is not None
    feed = starting["stdin"] or (tty and os.isatty(0))
    with connect(context.obj) as client, StopOnSignal(client) as stopper:
        try:
            job = start_job(client, command, starting)
        except ClientError as error:
            report(error)
            raise typer.Exit(exit_status.of_failed_start(error)) from None
        stopper.watch(job.id)
        if job.state is JobState.QUEUED and os.isatty(2):
            way_out = "Ctrl-P Ctrl-Q leaves" if tty else "Ctrl-C cancels"
            say(f"job {job.id} is queued: as many jobs run as may; {way_out} it")
        try:
            ended = _follow(client, job, stopper, feed=feed)
        except ClientError as error:
            report(error)
            way_back = f"attach {job.id}" if feed else f"logs --offset {error.offset or 0} {job.id}"
            allowed = exit_status.way_to_be_allowed(error)
            say(f"hint: the job may go on running; `jobworker-cli {way_back}`{allowed} comes back to it")
            raise typer.Exit(exit_status.JOBWORKER_FAILED) from None
    if ended is None:
        return
    if ended.reason not in ("exited", "stopped"):
        killed = f"; killed was {ended.out_of_memory_process}" if ended.out_of_memory_process else ""
        say(f"job {ended.id}: {ended.describe()}{killed}")
    raise typer.Exit(exit_status.of_job(ended))


def _follow(client: Client, job: Job, stopper: StopOnSignal, *, feed: bool) -> Job | None:
    """The job, ended; None where it was left."""
    try:
        if feed:
            if session.join(client.attach(job.id), feed=True) is None:
                return None
        else:
            for batch in client.output_batches(job.id):
                write_output(batch)
    except OutputClosedError as error:
        if isinstance(error, OutputFailedError):
            say(f"error: {error}; the job is stopped")
        stopper.stop()
        ended = client.wait(job.id)
        if isinstance(error, OutputFailedError) and exit_status.of_job(ended) == 0:
            raise typer.Exit(exit_status.JOBWORKER_FAILED) from None  # its output is not where it should be
        return ended
    return client.wait(job.id)
