"""``jobworker-pki install``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives import hashes

from jobworker_pki import facts, report, requesting
from jobworker_pki.commands import options
from jobworker_pki.commands.options import Directory, Yes
from jobworker_pki.show import escape


def install(
    file: Annotated[Path, typer.Argument(metavar="CERT.pem", help="What came back for a request.")],
    bundle: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="The ca.pem that came with it, if it is new.")
    ] = None,
    yes: Yes = False,
    directory: Directory = report.DEFAULT_DIRECTORY,
) -> None:
    """Put a certificate that was asked for in its place.

    Its key has to be there, and it has to be of the CA in ca.pem. What was there is kept as NAME.pem.old (and
    NAME.key.old after a renewal with a new key). Whether a CA of --ca that is not known yet is to be trusted is asked:
    who trusts a wrong one can be sent to a wrong server.
    """
    new = [] if bundle is None else requesting.new_authorities(directory, bundle)
    for one in new:
        digest = one.fingerprint(hashes.SHA256()).hex(":").upper()
        report.note(f"{escape(one.subject.rfc4514_string())} is not known here yet, fingerprint SHA256 {digest}")
    if new and not yes:
        options.confirm("Is that the right CA?")
    certificate = requesting.install(directory, file, bundle, new)
    (name,) = facts.common_names(certificate)
    typer.echo(f"{directory / name}.pem  valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    typer.echo(f"next: {report.client_command(directory, name)}", err=True)
