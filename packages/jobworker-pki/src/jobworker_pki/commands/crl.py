"""``jobworker-pki crl``."""

from __future__ import annotations

import typer

from jobworker_pki import report, revoking
from jobworker_pki.commands import options
from jobworker_pki.commands.options import Directory
from jobworker_pki.show import escape


def crl(
    directory: Directory = report.DEFAULT_DIRECTORY,
    passphrase_file: options.PassphraseFile = None,
    passphrase_fd: options.PassphraseDescriptor = None,
) -> None:
    """Write the revocation list crl.pem anew.

    That is for where it was lost or there never was one. It is not needed otherwise: a list is valid as long as its CA
    is, and revoke writes it.
    """
    for one in revoking.refresh(directory, options.passphrase(passphrase_file, passphrase_fd)):
        until = "" if one.next_update_utc is None else f", valid until {one.next_update_utc:%Y-%m-%d %H:%M} UTC"
        typer.echo(f"{revoking.path(directory)}  {len(one)} revoked of {escape(one.issuer.rfc4514_string())}{until}")
