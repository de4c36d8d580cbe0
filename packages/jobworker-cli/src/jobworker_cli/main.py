"""The command line: global options, commands, and what becomes of errors."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

from jobworker_cli import __version__, exit_status, usage
from jobworker_cli.command_help import help_text
from jobworker_cli.command_table import LazyGroup
from jobworker_cli.errors import ClientError
from jobworker_cli.terminal import (
    OutputClosedError,
    OutputFailedError,
    hold_standard_descriptors,
    print_line,
    report,
    say,
)

_OUTPUT_FAILURES = (errno.ENOSPC, errno.EIO, errno.EBADF, errno.EDQUOT)

app = typer.Typer(
    name="jobworker-cli",
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print_line(f"jobworker-cli {__version__}")
        raise typer.Exit


def global_options(
    context: typer.Context,
    *,
    server: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The server. Default: localhost:50051.")
    ] = None,
    certs: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where ca.pem, NAME.pem and NAME.key are. Default: ./certs.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Whose certificate to use. Default: full.")] = None,
    ca: Annotated[str | None, typer.Option(metavar="FILE", help="CA of the server's certificate.")] = None,
    cert: Annotated[str | None, typer.Option(metavar="FILE", help="Client certificate.")] = None,
    key: Annotated[str | None, typer.Option(metavar="FILE", help="Its key.")] = None,
    token_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="A token to send, for servers that take roles from tokens.")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Configuration. Default: $XDG_CONFIG_HOME/jobworker/config.yaml."),
    ] = None,
    context_name: Annotated[
        str | None, typer.Option("--context", metavar="NAME", help="Which of the configuration's contexts to use.")
    ] = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="SECONDS", help="How long to wait for an answer. Default: 10.")
    ] = None,
    reconnect: Annotated[
        str | None,
        typer.Option(
            metavar="SECONDS", help="How long to try again when a connection is lost. Default: 30; 0: not at all."
        ),
    ] = None,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Run and watch jobs on a jobworker server.

    Options up to --reconnect stand before the command, and can be set as JOBWORKER_SERVER, JOBWORKER_CERTS and so on;
    flags beat the environment, which beats the configuration file.

        jobworker-cli run uname -a                 # as if it ran here
        id=$(jobworker-cli start make)             # in the background
        jobworker-cli logs $id                     # its output, live

    Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 no such job, 4 not authenticated or not allowed,
    5 no answer from the server. run and wait exit as the job did.
    """
    context.obj = {
        "server": server, "certs": certs, "name": name, "ca": ca, "cert": cert, "key": key, "token_file": token_file,
        "config": config, "context": context_name, "timeout": timeout, "reconnect": reconnect,
    }  # fmt: skip


app.callback(help=help_text(global_options))(global_options)


def main() -> None:
    """Run the command line and exit."""
    hold_standard_descriptors()
    # grpc writes lines of its own on the standard error; what matters of them is in our messages.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        sys.exit(app(_arguments(), prog_name="jobworker-cli", standalone_mode=False))
    except usage.Error as error:
        usage.report(error)
        sys.exit(exit_status.WRONG_USAGE)
    except ClientError as error:
        report(error)
        sys.exit(exit_status.of_error(error))
    except OutputFailedError as error:
        say(f"error: {error}")
        sys.exit(exit_status.FAILED)
    except (OutputClosedError, BrokenPipeError):
        sys.exit(exit_status.OUTPUT_CLOSED)
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):  # of the help, for which typer would leave with 1
            sys.exit(exit_status.OUTPUT_CLOSED)
        raise
    except OSError as error:
        if error.errno not in _OUTPUT_FAILURES:
            raise
        say(f"error: the help can't be written: {error.strerror}")  # all else is written by terminal.py
        sys.exit(exit_status.FAILED)
    finally:
        _leave_buffers()


def _arguments() -> list[str]:
    """The arguments as UTF-8, which the API carries, whatever the locale makes of their bytes."""
    return [os.fsencode(argument).decode(errors="surrogateescape") for argument in sys.argv[1:]]


def _leave_buffers() -> None:
    """Let Python not try once more, when it ends, to write what could not be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
