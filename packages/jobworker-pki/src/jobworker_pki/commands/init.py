"""``jobworker-pki init``."""

from __future__ import annotations

from typing import Annotated

import typer

from jobworker_pki import provisioning, report
from jobworker_pki.commands import options
from jobworker_pki.commands.options import Directory, Force, HostNames, KeyTypeOption
from jobworker_pki.key_types import KeyType


def init(
    directory: Directory = report.DEFAULT_DIRECTORY,
    san: HostNames = None,
    key_type: KeyTypeOption = KeyType.ECDSA_P256,
    intermediate: Annotated[
        bool,
        typer.Option("--intermediate", help="Issue by an intermediate CA, so that the root's key can be taken away."),
    ] = False,
    encrypt: Annotated[bool, typer.Option("--encrypt", help="Ask for a passphrase for the CA's key.")] = False,
    passphrase_file: options.PassphraseFile = None,
    passphrase_fd: options.PassphraseDescriptor = None,
    force: Force = False,
) -> None:
    """Begin: make a CA, a server certificate and two clients'.

    The clients' roles are full and readonly. The server certificate is for localhost, 127.0.0.1, ::1, this host's name
    and each --san. A passphrase, where one is given or asked for, encrypts the CA's key.
    With --force all of them are replaced, the CA too: certificates of the old CA stop working.
    """
    passphrase = options.passphrase(passphrase_file, passphrase_fd)
    outcome = provisioning.initialise(
        directory,
        san or (),
        replace=force,
        key_type=key_type,
        intermediate=intermediate,
        passphrase=passphrase if encrypt or passphrase.given else None,
    )
    report.written(directory, outcome)
    if intermediate:
        report.note(f"{directory / 'ca.key'} is needed to rotate or revoke the intermediate CA only; keep it elsewhere")
