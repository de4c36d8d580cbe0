"""``jobworker-pki rotate-ca``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobworker_pki import report, rotating
from jobworker_pki.commands import options
from jobworker_pki.commands.options import Directory, Force, Yes
from jobworker_pki.errors import RefusedError
from jobworker_pki.inventory import Entry
from jobworker_pki.key_types import KeyType
from jobworker_pki.show import escape


def rotate_ca(
    finish: Annotated[bool, typer.Option("--finish", help="Drop the old CA.")] = False,
    intermediate: Annotated[
        bool, typer.Option("--intermediate", help="Replace the intermediate CA only; it needs the root's key.")
    ] = False,
    key_type: Annotated[
        KeyType | None, typer.Option("--key-type", help="The kind of the new key; default: as the old one.")
    ] = None,
    yes: Yes = False,
    directory: Directory = report.DEFAULT_DIRECTORY,
    passphrase_file: options.PassphraseFile = None,
    passphrase_fd: options.PassphraseDescriptor = None,
    force: Force = False,
) -> None:
    """Replace the CA, in two steps that shut out nobody.

    First the new CA issues and both are trusted: give ca.pem to every server and client, then renew certificates with
    jobworker-pki renew --due. Then --finish drops the old CA, after telling what still hangs on it; if anything does,
    --yes alone does not suffice.
    """
    if finish:
        _finish(directory, yes=yes, force=force)
        return
    passphrase = options.passphrase(passphrase_file, passphrase_fd)
    rotation = rotating.begin(directory, passphrase, key_type=key_type, intermediate_only=intermediate)
    for credential in rotation.made:
        typer.echo(f"{directory / credential.stem}.pem  {report.description(credential)}")
    _tell(rotation.hanging)
    typer.echo(
        f"next: give {directory / 'ca.pem'} to every server and client, then jobworker-pki renew --due, "
        "then jobworker-pki rotate-ca --finish",
        err=True,
    )


def _finish(directory: Path, *, yes: bool, force: bool) -> None:
    hanging = rotating.hanging(directory)
    _tell(hanging)
    if hanging and yes and not force:
        raise RefusedError("nothing was done, because these would stop working; --force drops the old CA all the same")
    report.note("whoever has not installed the new certificate yet is shut out, too")
    if not yes:
        options.confirm("Drop the old CA?")
    for old in rotating.finish(directory, hanging):
        typer.echo(f"dropped {escape(old.subject.rfc4514_string())}")
    report.note(f"give {directory / 'ca.pem'} to every server and client")


def _tell(hanging: list[Entry]) -> None:
    for entry in hanging:
        told = entry.facts
        text = f"{report.certificate(told)}, {told.serial_text}, valid until {told.until:%Y-%m-%d}"
        typer.echo(f"still of the old CA: {text}", err=True)
