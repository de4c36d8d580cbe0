"""``jobworker-pki revoke``."""

from __future__ import annotations

from typing import Annotated

import typer

from jobworker_pki import report, revoking
from jobworker_pki.commands import options
from jobworker_pki.commands.options import Directory
from jobworker_pki.crl import Reason


def revoke(
    wanted: Annotated[str, typer.Argument(metavar="SERIAL|NAME", help="One certificate, or all of that name.")],
    reason: Annotated[Reason, typer.Option(help="Why; it stands in the list.")] = Reason.UNSPECIFIED,
    unknown: Annotated[
        bool, typer.Option("--unknown", help="Revoke a serial number although nothing is known of it here.")
    ] = False,
    directory: Directory = report.DEFAULT_DIRECTORY,
    passphrase_file: options.PassphraseFile = None,
    passphrase_fd: options.PassphraseDescriptor = None,
) -> None:
    """Revoke certificates: put them on the list crl.pem.

    Servers read it. A name means all of its certificates that are still accepted. It can't be undone. Jobs that were
    started run on: whoever may stop them ends them.
    """
    passphrase = options.passphrase(passphrase_file, passphrase_fd)
    entries = revoking.revoke(directory, wanted, str(reason), passphrase, unknown=unknown)
    for entry in entries:
        until = f"{entry.facts.until:%Y-%m-%d %H:%M} UTC"
        typer.echo(f"revoked {entry.facts.serial_text}: {report.certificate(entry.facts)}, valid until {until}")
    if not entries:
        typer.echo(f"revoked {wanted}, of which nothing is known here")
    report.note(
        f"{revoking.path(directory)} was written; a server with this --certs reads it by itself, others need a copy"
    )
    if any(entry.facts.kind == "server" for entry in entries):
        report.note(
            "clients read no list: who has the key can still pass for the server until the certificate expires, or the "
            "CA is replaced (jobworker-pki rotate-ca)"
        )
