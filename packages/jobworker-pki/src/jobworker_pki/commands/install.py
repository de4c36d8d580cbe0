"""``jobworker-pki install``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives import hashes

from jobworker_pki import report, requesting
from jobworker_pki.commands.options import Directory, Force
from jobworker_pki.show import escape


def install(
    file: Annotated[Path, typer.Argument(metavar="CERT.pem", help="What came back for a request.")],
    authority: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="The ca.pem that came with it, if it is new.")
    ] = None,
    directory: Directory = report.DEFAULT_DIRECTORY,
    force: Force = False,
) -> None:
    """Put a certificate that was asked for in its place, beside its key.

    It has to be of the CA in ca.pem. What was there is kept as NAME.pem.old (and NAME.key.old after a renewal with a
    new key). With --force the CAs of --ca are taken even where they have nothing in common with those that are known.
    """
    made = requesting.install(directory, file, authority, replace=force)
    typer.echo(f"{directory / made.name}.pem  valid until {made.certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if authority is not None:
        for one in made.authorities:
            digest = one.fingerprint(hashes.SHA256()).hex(":").upper()
            report.note(f"trusted is {escape(one.subject.rfc4514_string())}, SHA256 {digest}; is that the right one?")
