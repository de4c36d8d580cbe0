"""``jobworker-pki issue``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from jobworker_pki import issuing, provisioning, report
from jobworker_pki.commands import options
from jobworker_pki.commands.options import Directory, Force, KeyTypeOption, RoleInOption
from jobworker_pki.errors import InvalidValueError
from jobworker_pki.key_types import KeyType
from jobworker_pki.profile import RoleIn


def issue(
    role_name: Annotated[
        str | None, typer.Option("--role", metavar="ROLE", help="What the client may do, such as readonly.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Whom it is for; default: the role's name.")] = None,
    days: options.Days = None,
    role_in: RoleInOption = RoleIn.EXTENSION,
    spiffe: Annotated[
        str | None, typer.Option(metavar="URI", help="A SPIFFE ID, which the server takes as the name.")
    ] = None,
    key_type: KeyTypeOption = KeyType.ECDSA_P256,
    directory: Directory = report.DEFAULT_DIRECTORY,
    passphrase_file: options.PassphraseFile = None,
    passphrase_fd: options.PassphraseDescriptor = None,
    force: Force = False,
) -> None:
    """Make a client certificate: NAME.pem and NAME.key.

    It is valid for 30 days if --days doesn't say otherwise. Where there is no CA yet, it makes one. Roles that the
    server knows without a policy of its own: full (alias admin), user, readonly, observer.
    """
    chosen = role_name if name is None else name
    if chosen is None:
        raise InvalidValueError("role" if role_in is not RoleIn.TOKEN else "name", "is missing")
    lifetime = timedelta(days=days or provisioning.CLIENT_DAYS)
    outcome = provisioning.issue(
        directory,
        chosen,
        role_name,
        lifetime,
        replace=force,
        role_in=role_in,
        spiffe=spiffe,
        key_type=key_type,
        passphrase=options.passphrase(passphrase_file, passphrase_fd),
    )
    report.written(directory, outcome)
    if outcome.written[-1].certificate.not_valid_after_utc < issuing.now() + lifetime - issuing.CLOCK_SKEW:
        report.note(f"valid for less than {lifetime.days} days: no certificate outlives its CA")
    report.note_role(role_name)
