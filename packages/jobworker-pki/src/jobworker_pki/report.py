"""What the commands tell the user: the files written (standard output), notes and what to do next (standard error)."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import typer

from jobworker_pki import authority
from jobworker_pki.issuing import Credential
from jobworker_pki.provisioning import Outcome
from jobworker_pki.show import describe, escape

DEFAULT_DIRECTORY = Path("certs")


def written(directory: Path, outcome: Outcome) -> None:
    """Tell what ``outcome`` put into ``directory``, and for whom."""
    stems = [credential.stem for credential in outcome.written]
    if outcome.authority_by_the_way:
        note(f"there was no CA in {directory}, so a new one was made; keep {directory / 'ca.key'} secret")
    width = max(len(str(directory / f"{stem}.pem")) for stem in stems)
    for credential in outcome.written:
        typer.echo(f"{directory / f'{credential.stem}.pem'!s:<{width}}  {_description(credential)}")
        typer.echo(f"{directory / f'{credential.stem}.key'!s:<{width}}  its private key")
    if outcome.orphans:
        note(f"still of the old CA, so no longer accepted: {', '.join(outcome.orphans)}")
    typer.echo(f"next: {_next_command(directory, stems)}", err=True)


def note(text: str) -> None:
    """Print something worth knowing that is no failure."""
    typer.echo(f"note: {text}", err=True)


def _description(credential: Credential) -> str:
    certificate = credential.certificate
    facts = describe(certificate)
    if credential.stem == authority.STEM:
        text = f"certificate authority {facts['name']}"
    elif credential.stem == authority.SERVER_STEM:
        text = f"server certificate for {facts['names']}"
    else:
        text = f"client certificate for {facts['name']}, role {facts['role']}"
    return f"{escape(text)}, valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"


def _next_command(directory: Path, stems: list[str]) -> str:
    """What a user does next: make what is missing, start the server, or use the new client certificate."""
    if not (directory / f"{authority.SERVER_STEM}.pem").exists():
        return _command("jobworker-pki server", "--dir", directory)
    if authority.SERVER_STEM in stems:
        return _command("jobworker-server", "--certs", directory)
    return f"{_command('jobworker-cli', '--certs', directory)} --name {shlex.quote(stems[-1])} list"


def _command(program: str, option: str, directory: Path) -> str:
    if directory == Path(os.environ.get("JOBWORKER_CERTS") or DEFAULT_DIRECTORY):
        return program
    return f"{program} {option} {shlex.quote(str(directory))}"
