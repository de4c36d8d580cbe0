"""``jobworker-pki renew``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobworker_pki import names, renewing, report
from jobworker_pki.commands import options
from jobworker_pki.commands.options import Directory, Force
from jobworker_pki.errors import InvalidValueError, RefusedError
from jobworker_pki.layout import CA, INTERMEDIATE, SERVER


def renew(
    stems: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME ...]", help="Whose certificate; server is the server's.")
    ] = None,
    due: Annotated[bool, typer.Option("--due", help="All in DIR of which two thirds of the life are over.")] = False,
    days: options.Days = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="Make a new key; else the key stays.")] = False,
    directory: Directory = report.DEFAULT_DIRECTORY,
    passphrase_file: options.PassphraseFile = None,
    passphrase_fd: options.PassphraseDescriptor = None,
    force: Force = False,
) -> None:
    """Renew certificates, or ask for that.

    A new one says all that the old one does, and is valid as long. Where the CA is, NAME.pem is issued anew, and what
    was there is kept as NAME.pem.old. Elsewhere NAME.csr is made, signed with the certificate's key, to be sent to
    whoever holds the CA.
    """
    passphrase = options.passphrase(passphrase_file, passphrase_fd)
    wanted = [*(stems or ()), *(renewing.due(directory) if due else ())]
    if not wanted and not due:
        raise InvalidValueError("due", "or the name of a certificate has to be given")
    for stem in dict.fromkeys(wanted):
        _require_renewable(directory, stem)
        if renewing.holds_authority(directory):
            made = renewing.renew(directory, stem, passphrase, days=days, fresh_key=new_key)
            typer.echo(f"{directory / stem}.pem  {report.description(made)}")
            if not (directory / f"{stem}.key").exists():
                typer.echo(f"next: send {directory / stem}.pem to its owner, whose key it is for", err=True)
        else:
            path = renewing.request(directory, stem, days=days, fresh_key=new_key, replace=force)
            typer.echo(f"{path}  request to renew {stem}.pem")
            typer.echo(f"next: send {path} to whoever holds the CA", err=True)
    if not wanted:
        report.note("nothing is due")


def _require_renewable(directory: Path, stem: str) -> None:
    if stem in {CA, INTERMEDIATE}:
        raise RefusedError("CAs are not renewed but replaced: jobworker-pki rotate-ca")
    if stem != SERVER:
        names.check_client_name(stem)
    path = directory / f"{stem}.pem"
    if not path.exists():
        raise RefusedError(
            f"{path} does not exist, so there is nothing to renew; jobworker-pki list tells what there is"
        )
