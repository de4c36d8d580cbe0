"""The command ``jobworker-pki``.

What was written goes to standard output, notes and hints to standard error.
Exit statuses: 0 done, 1 refused or failed, 2 wrong usage, 130 ended by Ctrl-C, 141 whoever read the output has gone.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import warnings
from typing import Annotated

import typer
from cryptography.utils import CryptographyDeprecationWarning

from jobworker_pki import __version__
from jobworker_pki.commands.approve import approve
from jobworker_pki.commands.crl import crl
from jobworker_pki.commands.init import init
from jobworker_pki.commands.install import install
from jobworker_pki.commands.issue import issue
from jobworker_pki.commands.list import list_
from jobworker_pki.commands.reject import reject
from jobworker_pki.commands.renew import renew
from jobworker_pki.commands.request import request
from jobworker_pki.commands.revoke import revoke
from jobworker_pki.commands.rotate_ca import rotate_ca
from jobworker_pki.commands.server import server
from jobworker_pki.commands.show import show
from jobworker_pki.commands.token import token
from jobworker_pki.errors import InvalidValueError, PkiError

_OUTPUT_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)

app = typer.Typer(
    name="jobworker-pki",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    init,
    issue,
    server,
    show,
    request,
    approve,
    reject,
    install,
    renew,
    list_,
    revoke,
    crl,
    rotate_ca,
    token,
):
    app.command(command.__name__.strip("_").replace("_", "-"))(command)


def main() -> None:
    """Run the command and exit with its status."""
    _hold_standard_descriptors()
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
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):  # typer would leave with 1
            sys.exit(128 + signal.SIGPIPE)
        raise
    except OSError as error:
        if error.errno not in _OUTPUT_FAILURES or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python fails again when it exits
        _fail(f"the output can't be written: {error.strerror}", status=1)


def _hold_standard_descriptors() -> None:
    """Open those of descriptors 0 to 2 that are closed, or the next key that is written would be taken for one of them.

    A standard output that is closed can't be written to, which is an error; messages are dropped.
    """
    for descriptor, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # The lowest free number, which is this one.
    if sys.stdout is None:  # Python's name for one that is closed
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  for as long as the process lives


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
