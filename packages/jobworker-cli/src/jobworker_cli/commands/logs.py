"""``logs``, also ``stream`` and ``output``: what a job wrote."""

from __future__ import annotations

from typing import Annotated

import typer

from jobworker_cli import options
from jobworker_cli.connection import connect
from jobworker_cli.errors import InvalidRequestError, OutputInterruptedError
from jobworker_cli.models import Job, Stream
from jobworker_cli.render import chunk_json
from jobworker_cli.terminal import print_line, write_output


def logs(
    context: typer.Context,
    job_id: options.JobId,
    *,
    no_follow: Annotated[bool, typer.Option("--no-follow", help="End with what is there now.")] = False,
    stream: Annotated[Stream | None, typer.Option("--stream", help="Only this one, on the standard output.")] = None,
    offset: Annotated[
        int, typer.Option("--offset", metavar="N", min=0, help="Begin at this byte of the output of both streams.")
    ] = 0,
    attempt: Annotated[
        int | None, typer.Option("--attempt", metavar="N", min=1, help="Only what this execution of the command wrote.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write a JSON object a line for each chunk.")] = False,
) -> None:
    """Write a job's output, all of it, until the job has ended.

    Also: stream, output. Bytes come out unchanged: the job's stdout on the standard output, its stderr on the
    standard error.

    With --json a chunk is {"log", "stream", "time", "offset"}, with log_base64 instead of log where its bytes are not
    UTF-8. Chunks are as they arrived, not lines.

    With --attempt the end is that of the attempt, or, where that has not ended, what is there now.

        jobworker-cli logs 3f2a91c0
        jobworker-cli logs --no-follow --stream stderr 3f2a91c0
    """
    if attempt is not None and offset:
        raise typer.BadParameter("it can't go with --offset", param_hint="--attempt")
    with connect(context.obj) as client:
        found = client.resolve(job_id)
        follow, end = not no_follow, None
        if attempt is not None:
            follow, offset, end = False, *_bounds(client.status(found), attempt)
        try:
            for batch in client.output_batches(found, offset=offset, end=end, follow=follow, stream=stream):
                if json:
                    print_line("\n".join(map(chunk_json, batch)))
                else:
                    write_output(batch, all_to_stdout=stream is not None)
        except OutputInterruptedError as error:
            error.hint = f"go on with --offset {error.offset}"
            raise


def _bounds(job: Job, number: int) -> tuple[int, int | None]:
    """Where the output of an attempt begins and ends; None: at the end of the output."""
    attempts = {attempt.number: attempt for attempt in job.attempts}
    if number not in attempts:
        known = f"{min(attempts)} to {max(attempts)}" if attempts else "none"
        raise InvalidRequestError(f"--attempt: job {job.id} has no attempt {number}; there are {known}")
    following = attempts.get(number + 1)
    return attempts[number].output_offset, following.output_offset if following else None
