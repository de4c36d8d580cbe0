"""``attach``: join a running job."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from jobworker_cli import exit_status, options, session
from jobworker_cli.connection import connect
from jobworker_cli.errors import ClientError, NoInputError
from jobworker_cli.local_terminal import local_size
from jobworker_cli.models import Job, TerminalSize
from jobworker_cli.terminal import report, say

if TYPE_CHECKING:
    from jobworker_cli.client import Client

_MOST_REPLAYED_BYTES = 64 << 10


def attach(
    context: typer.Context,
    job_id: options.JobId,
    *,
    no_stdin: Annotated[bool, typer.Option("--no-stdin", help="Only watch.")] = False,
    tail: Annotated[
        int | None,
        typer.Option(
            "--tail",
            metavar="N",
            min=0,
            help="Begin with the last N lines. Default: a screenful if the job has a terminal, otherwise 0.",
        ),
    ] = None,
) -> None:
    """Join a job: type to it, and see its output.

    If the job has a terminal (--tty), yours stands in for it: every key goes to the job, Ctrl-C, Ctrl-Z and Ctrl-D too.
    Ctrl-P Ctrl-Q leaves it running. If it has a standard input (--stdin), what this command reads goes there, and the
    end of it ends that; Ctrl-C leaves the job running. Any number may be attached to a job.

    Where the connection is lost, the job is joined again when the server is back: its output goes on where it was, and
    what was typed just before may be lost. Input from a pipe that was on its way is not guessed at: then the job is
    left as it is, running and its input open.

    It ends with the job. The exit status is the job's, as that of `run`, 0 where the job was left by Ctrl-P Ctrl-Q,
    and 125 where the connection was lost for good, which leaves the job running.

        jobworker-cli attach 3f2a91c0
        jobworker-cli attach --no-stdin 3f2a91c0
    """
    with connect(context.obj) as client:
        job = client.status(client.resolve(job_id))
        feed = not no_stdin and _can_be_fed(job)
        attachment = client.attach(job.id, watch_only=not feed, offset=_beginning(client, job, tail))
        if feed and job.tty:
            session.resize(attachment)
        try:
            ended = session.join(attachment, feed=feed)
        except ClientError as error:
            report(error)
            say(f"hint: the job may go on running; `jobworker-cli attach {job.id}` joins it again")
            raise typer.Exit(exit_status.JOBWORKER_FAILED) from None
    if ended is None:
        return
    if ended.reason not in ("exited", "stopped"):
        say(f"job {ended.id}: {ended.describe()}")
    raise typer.Exit(exit_status.of_job(ended))


def _can_be_fed(job: Job) -> bool:
    """Whether the job takes input. Where it does not, nobody's is dropped without a word."""
    if job.stdin or job.tty:
        return True
    if not os.isatty(0):
        raise NoInputError(
            f"job {job.id} takes no input: it was started without --stdin and --tty", "--no-stdin only watches"
        )
    say(f"job {job.id} takes no input, for it was started without --stdin and --tty; only watching")
    return False


def _beginning(client: Client, job: Job, tail: int | None) -> int:
    """Where the last lines begin: an offset, for that means the same whenever the job is joined again."""
    if tail is not None or not job.tty:
        return _last_lines(client, job, tail or 0)
    # Programs that draw on a screen write few lines and many bytes.
    screenful = _last_lines(client, job, (local_size() or TerminalSize()).rows)
    return max(screenful, job.output_bytes - _MOST_REPLAYED_BYTES)


def _last_lines(client: Client, job: Job, count: int) -> int:
    lines = client.output(job.id, tail=count, end=job.output_bytes, follow=False) if count else iter(())
    return next((chunk.offset for chunk in lines), job.output_bytes)
