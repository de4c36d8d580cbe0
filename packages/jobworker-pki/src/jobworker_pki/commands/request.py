"""``jobworker-pki request``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobworker_pki import report, requesting
from jobworker_pki.commands.options import Directory, Force


def request(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="Your registration data.")],
    directory: Directory = report.DEFAULT_DIRECTORY,
    force: Force = False,
) -> None:
    """Ask for a client certificate: make a key and a request.

    NAME.key stays here, NAME.csr is to be sent. FILE.yaml has the keys name, email and role, and may have days (up to
    90), keyType and spiffe. Send NAME.csr to whoever holds the CA, and put what comes back in its place with
    jobworker-pki install.
    """
    wanted = requesting.request(directory, file, replace=force)
    stem = directory / wanted.name
    typer.echo(f"{stem}.key  your private key; it stays here")
    typer.echo(f"{stem}.csr  request for {wanted.name}, role {wanted.role}")
    typer.echo(f"next: send {stem}.csr to whoever holds the CA", err=True)
