"""``logs``, also ``stream`` and ``output``: what a job wrote."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from jobworker_cli import exit_status, options, quantities
from jobworker_cli.connection import connect
from jobworker_cli.errors import ClientError, InvalidRequestError
from jobworker_cli.models import Job, Stream
from jobworker_cli.render import chunk_lines
from jobworker_cli.stamps import MarkedOutput
from jobworker_cli.terminal import print_line


def logs(
    context: typer.Context,
    job_id: options.JobId,
    *,
    no_follow: Annotated[bool, typer.Option("--no-follow", help="End with what is there now.")] = False,
    stream: Annotated[Stream | None, typer.Option("--stream", help="Only this one, on the standard output.")] = None,
    offset: Annotated[
        int, typer.Option("--offset", metavar="N", min=0, help="Begin at this byte of the output of both streams.")
    ] = 0,
    tail: Annotated[
        int | None,
        typer.Option("--tail", metavar="LINES", min=0, help="Begin with the last lines of what is there now."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Begin at this time (RFC 3339), or so long ago, such as 10m."),
    ] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", metavar="N", min=1, help="Only what this execution of the command wrote.")
    ] = None,
    timestamps: Annotated[
        bool, typer.Option("--timestamps", "-T", help="Begin each line with the time at which it was captured.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Write a JSON object a line for each chunk.")] = False,
) -> None:
    """Write a job's output, all of it, until the job has ended.

    Also: stream, output. Bytes come out unchanged: the job's stdout on the standard output, its stderr on the
    standard error, where it is red on a terminal unless NO_COLOR is set.

    With --json a chunk is {"log", "stream", "time", "offset"}, with log_base64 instead of log where its bytes are not
    UTF-8. Chunks are as they arrived, not lines. Output that was dropped to keep the job's output limit is a line
    {"gap": {"begin": OFFSET, "end": OFFSET}}; without --json it is told on the standard error.

    A lost connection is told on the standard error, too. The output goes on when the server is back.

    With --attempt the end is that of the attempt, or, where that has not ended, what is there now.

        jobworker-cli logs 3f2a91c0
        jobworker-cli logs --no-follow --stream stderr 3f2a91c0
        jobworker-cli logs --tail 100 3f2a91c0
        jobworker-cli logs --since 2026-01-31T12:00:00Z 3f2a91c0
    """
    _refuse("--attempt", attempt, {"--tail": tail, "--since": since, "--offset": offset or None})
    _refuse("--tail", tail, {"--since": since, "--offset": offset or None})
    moment = None if since is None else options.parsed("--since", lambda text: quantities.moment(text, _now()), since)
    if json and timestamps:
        raise typer.BadParameter("with --json each chunk has its time", param_hint="--timestamps")
    marked = MarkedOutput(all_to_stdout=stream is not None, timestamps=timestamps)
    with connect(context.obj) as client:
        found = client.resolve(job_id)
        follow, end = not no_follow, None
        if attempt is not None:
            follow, offset, end = False, *_bounds(client.status(found), attempt)
        try:
            for batch in client.output_batches(
                found, offset=offset, end=end, follow=follow, stream=stream, tail=tail, since=moment
            ):
                if json:
                    print_line("\n".join(chunk_lines(batch)))
                else:
                    marked.write(batch)
        except ClientError as error:
            if error.offset is not None:
                error.hint = f"go on with --offset {error.offset}{exit_status.way_to_be_allowed(error)}"
            raise


def _refuse(option: str, value: object, others: Mapping[str, object]) -> None:
    """Refuse an option together with others that say where to begin."""
    given = [name for name, other in others.items() if other is not None]
    if value is not None and given:
        raise typer.BadParameter(f"it can't go with {given[0]}", param_hint=option)


def _now() -> datetime:
    return datetime.now(UTC)


def _bounds(job: Job, number: int) -> tuple[int, int | None]:
    """Where the output of an attempt begins and ends; None: at the end of the output."""
    attempts = {attempt.number: attempt for attempt in job.attempts}
    if number not in attempts:
        known = f"{min(attempts)} to {max(attempts)}" if attempts else "none"
        raise InvalidRequestError(f"--attempt: job {job.id} has no attempt {number}; there are {known}")
    following = attempts.get(number + 1)
    return attempts[number].output_offset, following.output_offset if following else None
