"""``rm``: remove an ended job with its output."""

from __future__ import annotations

import typer

from jobworker_cli import options
from jobworker_cli.connection import connect


def remove(context: typer.Context, job_id: options.JobId) -> None:
    """Remove an ended job with its output.

    jobworker-cli rm 3f2a91c0
    """
    with connect(context.obj) as client:
        client.delete(client.resolve(job_id))
