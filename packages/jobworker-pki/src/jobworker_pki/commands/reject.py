"""``jobworker-pki reject``."""

from __future__ import annotations

from typing import Annotated

import typer

from jobworker_pki import approving, report, requests
from jobworker_pki.commands import options
from jobworker_pki.commands.options import Directory, Yes
from jobworker_pki.show import as_lines, describe_request, escape


def reject(
    wanted: Annotated[str, typer.Argument(metavar="REQUEST", help="A file, or the name that a request in DIR is for.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is recorded.")] = "",
    yes: Yes = False,
    directory: Directory = report.DEFAULT_DIRECTORY,
) -> None:
    """Turn a request down.

    It is shown first, then recorded, and removed from DIR.
    """
    path = approving.find(directory, wanted)
    request = requests.read(path)
    typer.echo(as_lines(describe_request(request)), err=True)
    if not yes:
        options.confirm("Reject?")
    approving.reject(directory, path, request, reason)
    typer.echo(f"rejected the request for {escape(request.registration.name)}")
