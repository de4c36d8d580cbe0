"""What the commands tell the user: the files written (standard output), notes and what to do next (standard error)."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import typer

from jobworker_pki import layout, role
from jobworker_pki.facts import Facts
from jobworker_pki.issuing import Credential
from jobworker_pki.provisioning import Outcome
from jobworker_pki.show import describe, escape

DEFAULT_DIRECTORY = Path("certs")

_AUTHORITIES = {layout.CA: "certificate authority", layout.INTERMEDIATE: "intermediate certificate authority"}


def written(directory: Path, outcome: Outcome) -> None:
    """Tell what ``outcome`` put into ``directory``, and for whom."""
    stems = [credential.stem for credential in outcome.written]
    if outcome.authority_by_the_way:
        note(f"there was no CA in {directory}, so a new one was made; keep {directory / 'ca.key'} secret")
    width = max(len(str(directory / f"{stem}.pem")) for stem in stems)
    for credential in outcome.written:
        typer.echo(f"{directory / f'{credential.stem}.pem'!s:<{width}}  {description(credential)}")
        if credential.key is not None:
            encrypted = "" if credential.passphrase is None else ", encrypted"
            typer.echo(f"{directory / f'{credential.stem}.key'!s:<{width}}  its private key{encrypted}")
    if outcome.orphans:
        note(f"still of the old CA, so no longer accepted: {', '.join(outcome.orphans)}")
    typer.echo(f"next: {_next_command(directory, stems)}", err=True)


def note(text: str) -> None:
    """Print something worth knowing that is no failure."""
    typer.echo(f"note: {text}", err=True)


def note_role(role_name: str | None) -> None:
    """Tell where a role is none of those that every server knows."""
    if role_name is not None and role_name not in role.BUILT_IN:
        note(f"{role_name!r} is not a built-in role; it is of use where the server's policy defines it")


def certificate(told: Facts) -> str:
    """Return what a certificate is, in a few words."""
    role_text = "" if told.role is None else f", role {told.role}"
    return escape(f"{told.kind} certificate for {told.spiffe or told.name}{role_text}")


def description(credential: Credential) -> str:
    """Return what a new certificate is, and how long it is valid."""
    told = describe(credential.certificate)
    if credential.stem in _AUTHORITIES:
        text = f"{_AUTHORITIES[credential.stem]} {told['name']}"
    elif credential.stem == layout.SERVER:
        text = f"server certificate for {told['names']}"
    else:
        text = f"client certificate for {told['name']}, role {told['role']}"
    return f"{escape(text)}, valid until {credential.certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"


def _next_command(directory: Path, stems: list[str]) -> str:
    """What a user does next: make what is missing, start the server, or use the new client certificate."""
    if not (directory / f"{layout.SERVER}.pem").exists():
        return _command("jobworker-pki server", "--dir", directory)
    if layout.SERVER in stems:
        return _command("jobworker-server", "--certs", directory)
    return client_command(directory, stems[-1])


def client_command(directory: Path, name: str) -> str:
    """Return how a client uses its certificate in ``directory``."""
    return f"{_command('jobworker-cli', '--certs', directory)} --name {shlex.quote(name)} list"


def _command(program: str, option: str, directory: Path) -> str:
    if directory == Path(os.environ.get("JOBWORKER_CERTS") or DEFAULT_DIRECTORY):
        return program
    return f"{program} {option} {shlex.quote(str(directory))}"
