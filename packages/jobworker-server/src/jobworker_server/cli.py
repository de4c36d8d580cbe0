"""The command ``jobworker-server``."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from jobworker_server import __version__, log, malloc, policy_command, privileges
from jobworker_server.config import Settings, resolve
from jobworker_server.errors import ConfigError, ServerError

_OUTPUT_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


app.add_typer(policy_command.app, name="policy")


def main() -> None:
    """Run the command, and leave with its exit status: 0 done, 1 failed, 2 wrong usage."""
    try:
        app(prog_name="jobworker-server")
    except OSError as error:
        if error.errno not in _OUTPUT_FAILURES or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python fails again when it exits
        typer.echo(f"jobworker-server: the output can't be written: {error.strerror}", err=True)
        sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"jobworker-server {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
def _serve(
    context: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 takes a free one. Default: localhost:50051."),
    ] = None,
    certs: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Where ca.pem, server.pem and server.key are. Default: ./certs."),
    ] = None,
    ca: Annotated[str | None, typer.Option(metavar="FILE", help="The CA of the clients' certificates.")] = None,
    cert: Annotated[str | None, typer.Option(metavar="FILE", help="The server's certificate.")] = None,
    key: Annotated[str | None, typer.Option(metavar="FILE", help="The key of the server's certificate.")] = None,
    crl: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="What the CA has revoked. Default: crl.pem beside its certificate, if any."),
    ] = None,
    state_dir: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Where jobs are kept. Default: $XDG_STATE_HOME/jobworker."),
    ] = None,
    max_running: Annotated[
        str | None, typer.Option(metavar="N", help="Most jobs that run at once. Default: no bound.")
    ] = None,
    max_running_per_owner: Annotated[
        str | None, typer.Option(metavar="N", help="Most jobs of one owner that run at once. Default: no bound.")
    ] = None,
    when_full: Annotated[
        str | None,
        typer.Option(metavar="queue|refuse", help="What becomes of a start beyond these bounds. Default: queue."),
    ] = None,
    max_queued: Annotated[
        str | None, typer.Option(metavar="N", help="Most jobs that wait for their turn. Default: no bound.")
    ] = None,
    retention_age: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long ended jobs are kept, such as 12h, or none. Default: 30d."),
    ] = None,
    retention_jobs: Annotated[
        str | None, typer.Option(metavar="N", help="Most ended jobs that are kept, or none. Default: 10000.")
    ] = None,
    retention_bytes: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Most that ended jobs take on the disk, or none. Default: 10G, and a tenth of the filesystem.",
        ),
    ] = None,
    cgroup: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="The cgroup, such as /jobs, in which jobs get theirs. Default: the server's own."
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The policy file: who may do what. Default: the built-in roles."),
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="A configuration file, in YAML.")] = None,
    version: Annotated[  # noqa: ARG001  typer acts on it by its callback
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Run, watch and stop jobs for clients over mutual TLS.

    Each option but --config can be given as an environment variable, such as JOBWORKER_STATE_DIR, too.

    SIGTERM stops the server, and jobs run on. SIGHUP loads certificates, CAs, CRLs and the policy again, as a change
    of their files does.
    """
    flags = {
        "listen": listen, "certs": certs, "ca": ca, "cert": cert, "key": key, "crl": crl, "state_dir": state_dir,
        "max_running": max_running, "max_running_per_owner": max_running_per_owner,
        "when_full": when_full, "max_queued": max_queued,
        "retention_age": retention_age, "retention_jobs": retention_jobs, "retention_bytes": retention_bytes,
        "cgroup": cgroup, "policy": policy,
    }  # fmt: skip
    try:
        settings = resolve(flags, os.environ, config)
    except ConfigError as error:
        _fail(error, 2)
    context.obj = settings
    if context.invoked_subcommand is not None:
        return
    # Only now: grpc takes its time, and --help and wrong usage should not.
    from jobworker_lib import JobworkerError
    from jobworker_server.app import serve

    privileges.let_go()
    malloc.reuse_large_buffers()
    try:
        with log.to_standard_error():
            asyncio.run(serve(settings))
    except (ServerError, JobworkerError) as error:
        _fail(error, 1)


@app.command("doctor")
def _doctor(context: typer.Context) -> None:
    """Tell what this host can enforce, and how to get the rest; and whom the server would trust.

    Options stand before the word, such as --config FILE: jobworker-server --config server.yaml doctor
    """
    from jobworker_lib import doctor
    from jobworker_server import security_report

    settings: Settings = context.obj
    typer.echo(doctor.report(settings.cgroup))
    typer.echo(f"\n{security_report.report(settings)}")


def _fail(error: Exception, status: int) -> None:
    log.complain(f"jobworker-server: {error}")
    raise typer.Exit(status)
