"""``jobworker-pki approve``."""

from __future__ import annotations

from typing import Annotated

import typer

from jobworker_pki import approving, report, requests
from jobworker_pki.approving import Grant
from jobworker_pki.commands import options
from jobworker_pki.commands.options import Directory, Force, RoleInIfChanged, Yes
from jobworker_pki.errors import RefusedError
from jobworker_pki.inventory import Inventory
from jobworker_pki.requests import Request
from jobworker_pki.show import as_lines, describe_request, escape


def approve(
    wanted: Annotated[str, typer.Argument(metavar="REQUEST", help="A file, or the name that a request in DIR is for.")],
    role_name: Annotated[
        str | None, typer.Option("--role", metavar="ROLE", help="Grant this role, not the one asked for.")
    ] = None,
    days: options.Days = None,
    role_in: RoleInIfChanged = None,
    yes: Yes = False,
    directory: Directory = report.DEFAULT_DIRECTORY,
    passphrase_file: options.PassphraseFile = None,
    passphrase_fd: options.PassphraseDescriptor = None,
    force: Force = False,
) -> None:
    """Grant a request: make NAME.pem, to be sent back.

    What is asked for is shown first. With --yes nothing is asked; a request that there are doubts about is refused
    then, unless --force is given too.
    """
    passphrase = options.passphrase(passphrase_file, passphrase_fd)
    path = approving.find(directory, wanted)
    request, grant = requests.read(path), Grant(role_name, role_in, days)
    inventory = Inventory.load(directory)
    doubts = approving.doubts(inventory, request, grant)
    _show(request, grant, doubts)
    if doubts and yes and not force:
        raise RefusedError("it was not approved, because there is something to decide; --force decides for it")
    if not yes:
        options.confirm("Approve?")
    credential = approving.approve(directory, path, request, grant, passphrase, known_doubts=doubts, force=force)
    typer.echo(f"{directory / credential.stem}.pem  {report.description(credential)}")
    report.note_role(grant.profile(request).role)
    to = escape(approving.address(inventory, request) or "whoever sent it")
    typer.echo(f"next: send {directory / credential.stem}.pem and {directory / 'ca.pem'} to {to}", err=True)


def _show(request: Request, grant: Grant, doubts: list[str]) -> None:
    profile = grant.profile(request)
    granted = {
        "granted": f"{profile.role or 'no role'} ({profile.role_in}), for {grant.lifetime(request).days} days",
    }
    typer.echo(as_lines(describe_request(request) | granted), err=True)
    for doubt in doubts:
        typer.echo(f"doubt: {escape(doubt)}", err=True)
