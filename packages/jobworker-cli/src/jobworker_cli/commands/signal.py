"""``signal``: send a signal to a job's main process."""

from __future__ import annotations

from typing import Annotated

import typer

from jobworker_cli import options
from jobworker_cli.connection import connect


def send_signal(
    context: typer.Context,
    job_id: options.JobId,
    name: Annotated[str, typer.Argument(metavar="SIGNAL", hidden=True, help="Its name, such as SIGHUP or HUP.")],
) -> None:
    """Send a signal to a job's main process.

    jobworker-cli signal 3f2a91c0 HUP
    """
    upper = name.upper()
    with connect(context.obj) as client:
        client.signal(client.resolve(job_id), upper if upper.startswith("SIG") else f"SIG{upper}")
