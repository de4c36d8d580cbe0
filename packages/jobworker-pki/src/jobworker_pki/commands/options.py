"""Options that several commands have."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from jobworker_pki.errors import InvalidValueError, RefusedError
from jobworker_pki.key_types import KeyType
from jobworker_pki.passphrase import Passphrase
from jobworker_pki.profile import RoleIn

Directory = Annotated[
    Path,
    typer.Option("--dir", envvar="JOBWORKER_CERTS", metavar="DIR", help="Where certificates and keys are kept."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
HostNames = Annotated[
    list[str] | None,
    typer.Option("--san", metavar="NAME", help="A further DNS name or IP address of the server; may be repeated."),
]
Days = Annotated[int | None, typer.Option("--days", min=1, max=36500, metavar="N", help="How long it is valid.")]
KeyTypeOption = Annotated[KeyType, typer.Option("--key-type", help="The kind of the new key.")]
RoleInOption = Annotated[
    RoleIn,
    typer.Option(help="Where the role is written: its own extension, the subject's O, or only in tokens made later."),
]
RoleInIfChanged = Annotated[
    RoleIn | None,
    typer.Option("--role-in", help="Where the role is written; default: the extension, or where a renewed one has it."),
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help="Where the passphrase of the CA's key is, on one line."),
]
PassphraseDescriptor = Annotated[
    int | None,
    typer.Option("--passphrase-fd", min=0, metavar="N", help="The descriptor to read that passphrase from."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


def passphrase(file: Path | None, descriptor: int | None) -> Passphrase:
    """Return where the passphrase comes from: the terminal, unless one of the two is given."""
    if file is not None and descriptor is not None:
        raise InvalidValueError("passphrase-fd", "can't be given together with --passphrase-file")
    return Passphrase(descriptor if file is None else file)


def confirm(question: str) -> None:
    """Ask on the terminal; return only if the answer is yes. Raises RefusedError."""
    if not sys.stdin.isatty():
        raise RefusedError("there is no terminal to ask on, so nothing was done; --yes goes on without asking")
    if not _agrees(question):
        raise RefusedError("nothing was done")


def _agrees(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort as abort:
        typer.echo(err=True)  # the cursor stands behind the question
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        return False  # Ctrl-D
