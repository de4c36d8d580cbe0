"""``signal``: send a signal to a job's main process."""

from __future__ import annotations

import difflib
import signal
from typing import Annotated

import typer

from jobworker_cli import options
from jobworker_cli.connection import connect
from jobworker_cli.errors import InvalidRequestError

_NAMES = {str(member.value): member.name for member in signal.Signals}
"""By their numbers."""


def send_signal(
    context: typer.Context,
    job_id: options.JobId,
    name: Annotated[
        str, typer.Argument(metavar="SIGNAL", hidden=True, help="Its name, such as SIGHUP or HUP, or its number.")
    ],
) -> None:
    """Send a signal to a job's main process.

    jobworker-cli signal 3f2a91c0 HUP
    """
    wanted = _full(name)
    with connect(context.obj) as client:
        try:
            client.signal(client.resolve(job_id), wanted)
        except InvalidRequestError as error:
            known = [member.removeprefix("SIG") for member in signal.Signals.__members__]
            near = difflib.get_close_matches(wanted.removeprefix("SIG"), known, n=1)
            error.hint = f"did you mean {near[0]}?" if near else error.hint
            raise


def _full(name: str) -> str:
    """A signal's whole name, where it was given without SIG, or as the number that it has here."""
    if name in _NAMES:
        return _NAMES[name]
    upper = name.upper()
    return upper if upper.startswith("SIG") else f"SIG{upper}"
