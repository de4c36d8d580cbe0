"""The command ``jobworker-pki``.

What was written goes to standard output, notes and hints to standard error.
Exit statuses: 0 done, 1 refused or failed, 2 wrong usage.
"""

from __future__ import annotations

import io
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from cryptography.utils import CryptographyDeprecationWarning

from jobworker_pki import __version__, issuing, provisioning, report, role
from jobworker_pki.errors import InvalidValueError, PkiError
from jobworker_pki.show import show as show_file

app = typer.Typer(
    name="jobworker-pki",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Directory = Annotated[
    Path,
    typer.Option("--dir", envvar="JOBWORKER_CERTS", metavar="DIR", help="Where certificates and keys are kept."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
HostNames = Annotated[
    list[str] | None,
    typer.Option("--san", metavar="NAME", help="A further DNS name or IP address of the server; may be repeated."),
]


def main() -> None:
    """Run the command and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal can't show is no failure
    # Odd certificates, such as one with a negative serial number, are shown as they are.
    warnings.simplefilter("ignore", CryptographyDeprecationWarning)
    try:
        app(prog_name="jobworker-pki")
    except InvalidValueError as error:
        _fail(f"--{error.field}: {error.problem}", status=2)
    except PkiError as error:
        _fail(str(error), status=1)


def _fail(message: str, *, status: int) -> None:
    typer.echo(f"jobworker-pki: {message}", err=True)
    sys.exit(status)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"jobworker-pki {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Issue the certificates by which jobworker's server and clients know each other."""


@app.command()
def init(directory: Directory = report.DEFAULT_DIRECTORY, san: HostNames = None, force: Force = False) -> None:
    """Begin: make a CA and certificates for a server and two clients.

    The clients' roles are full and readonly. The server certificate is for localhost, 127.0.0.1, ::1, this host's name
    and each --san.
    With --force all of them are replaced, the CA too: certificates of the old CA stop working.
    """
    report.written(directory, provisioning.initialise(directory, san or (), replace=force))


@app.command()
def issue(
    role_name: Annotated[str, typer.Option("--role", metavar="ROLE", help="What the client may do, such as readonly.")],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Whom it is for; default: the role's name.")] = None,
    days: Annotated[
        int, typer.Option(min=1, max=36500, metavar="N", help="How long it is valid.")
    ] = provisioning.CLIENT_DAYS,
    directory: Directory = report.DEFAULT_DIRECTORY,
    force: Force = False,
) -> None:
    """Make a client certificate: NAME.pem and NAME.key.

    Where there is no CA yet, it makes one. Roles that the server knows without a policy of its own: full (alias
    admin), user, readonly, observer.
    """
    lifetime = timedelta(days=days)
    outcome = provisioning.issue(directory, role_name if name is None else name, role_name, lifetime, replace=force)
    report.written(directory, outcome)
    if outcome.written[-1].certificate.not_valid_after_utc < issuing.now() + lifetime - issuing.CLOCK_SKEW:
        report.note(f"valid for less than {days} days: no certificate outlives its CA")
    if role_name not in role.BUILT_IN:
        report.note(f"{role_name!r} is not a built-in role; it is of use where the server's policy defines it")


@app.command()
def server(directory: Directory = report.DEFAULT_DIRECTORY, san: HostNames = None, force: Force = False) -> None:
    """Make a server certificate: server.pem and server.key.

    It is for localhost, 127.0.0.1, ::1, this host's name and each --san. Where there is no CA yet, it makes one.
    """
    report.written(directory, provisioning.issue_server(directory, san or (), replace=force))


@app.command()
def show(file: Annotated[Path, typer.Argument(metavar="FILE", help="A certificate in PEM form.")]) -> None:
    """Print what a certificate says: name, role, validity and more."""
    typer.echo(show_file(file))
