"""``logs``, also ``stream`` and ``output``: what a job wrote."""

from __future__ import annotations

from typing import Annotated

import typer

from jobworker_cli import options
from jobworker_cli.connection import connect
from jobworker_cli.errors import OutputInterruptedError
from jobworker_cli.models import Stream
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
    json: Annotated[bool, typer.Option("--json", help="Write a JSON object a line for each chunk.")] = False,
) -> None:
    """Write a job's output, all of it, until the job has ended.

    Also: stream, output. Bytes come out unchanged: the job's stdout on the standard output, its stderr on the
    standard error.

    With --json a chunk is {"log", "stream", "time", "offset"}, with log_base64 instead of log where its bytes are not
    UTF-8. Chunks are as they arrived, not lines.

        jobworker-cli logs 3f2a91c0
        jobworker-cli logs --no-follow --stream stderr 3f2a91c0
    """
    with connect(context.obj) as client:
        found = client.resolve(job_id)
        try:
            for batch in client.output_batches(found, offset=offset, follow=not no_follow, stream=stream):
                if json:
                    print_line("\n".join(map(chunk_json, batch)))
                else:
                    write_output(batch, all_to_stdout=stream is not None)
        except OutputInterruptedError as error:
            error.hint = f"go on with --offset {error.offset}"
            raise
