"""``jobworker-pki token``."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from jobworker_pki import files, report
from jobworker_pki.commands import options
from jobworker_pki.commands.options import Directory, Force
from jobworker_pki.show import escape


def token(
    certificate: Annotated[Path, typer.Argument(metavar="CERT.pem", help="The client's certificate.")],
    role_name: Annotated[str, typer.Option("--role", metavar="ROLE", help="What the client may do.")],
    audience: Annotated[
        str, typer.Option(metavar="TEXT", help="The servers it is for, as configured there.")
    ] = "jobworker",
    minutes: Annotated[int, typer.Option(min=1, max=527040, metavar="N", help="How long it is valid.")] = 60,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there instead of printing it.")] = None,
    directory: Directory = report.DEFAULT_DIRECTORY,
    passphrase_file: options.PassphraseFile = None,
    passphrase_fd: options.PassphraseDescriptor = None,
    force: Force = False,
) -> None:
    """Make a token that gives a role to one client.

    It is of use with this certificate only. Tokens are signed with token.key, which is made where it is missing;
    servers check them with token.pub (identity.tokens.key in their configuration).
    """
    from jobworker_pki import tokens  # what reads JSON web tokens is of use here only

    passphrase = options.passphrase(passphrase_file, passphrase_fd)
    made = tokens.issue(directory, certificate, role_name, timedelta(minutes=minutes), passphrase, audience=audience)
    if made.new_key:
        key, public = directory / "token.key", directory / "token.pub"
        report.note(f"there was no key for tokens, so a new one was made; keep {key} secret, give {public} to servers")
    if out is None:
        typer.echo(made.text)
    else:
        content = f"{made.text}\n".encode()
        with files.locked(out.absolute().parent):
            files.publish(out.parent, [files.NewFile(out.name, content, files.PRIVATE)], replace=force)
        typer.echo(
            f"{out}  token for {escape(made.name)}, role {role_name}, valid until {made.until:%Y-%m-%d %H:%M} UTC"
        )
    report.note_role(role_name)
