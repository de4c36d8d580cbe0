"""``update``: change a job that has not ended."""

from __future__ import annotations

from typing import Annotated

import typer

from jobworker_cli import options
from jobworker_cli.connection import connect
from jobworker_cli.formats import job_text
from jobworker_cli.terminal import print_line


def update(
    context: typer.Context,
    job_id: options.JobId,
    *,
    timeout: Annotated[
        str,
        typer.Option("--timeout", metavar="SECONDS|none", help="How long it may run, from its start."),
    ],
    output: options.Output = None,
) -> None:
    """Change how long a job may run.

    The time counts from the job's start. Where it has passed already, the job ends at once, as timed out.

        jobworker-cli update --timeout 3600 3f2a91c0
        jobworker-cli update --timeout none 3f2a91c0
    """
    seconds = _seconds(timeout)
    with connect(context.obj) as client:
        job = client.set_timeout(client.resolve(job_id), seconds)
    if output:
        print_line(job_text(job, output))


def _seconds(text: str) -> float | None:
    if text == "none":
        return None
    try:
        return options.positive("--timeout", float(text))
    except ValueError:
        raise typer.BadParameter("expected a number of seconds, or none", param_hint="--timeout") from None
