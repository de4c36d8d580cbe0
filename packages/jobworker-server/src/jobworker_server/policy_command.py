"""``jobworker-server policy``: what a policy file says, before a server goes by it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from jobworker_server.errors import ConfigError

if TYPE_CHECKING:
    from jobworker_server.config import Settings
    from jobworker_server.policy import Policy

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _policy() -> None:
    """Check a policy file, or tell what it allows."""


@app.command("check")
def _check(
    context: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy file.")]
) -> None:
    """Check a policy file, and tell all of it as tables.

    What is no mistake but most likely not meant, as on this host, is told as a warning.

    Exit status: 0 it can be used, 1 it can't be.
    """
    from jobworker_server.policy import explain
    from jobworker_server.policy.warnings import warnings

    settings: Settings = context.obj
    policy = _read(file)
    for line in explain.overview(policy, settings.limits):
        typer.echo(line)
    for warning in warnings(policy):
        print(f"warning: {warning}", file=sys.stderr)


@app.command("explain")
def _explain(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="The policy file. Default: the configured one, or the built-in roles."),
    ] = None,
    role: Annotated[
        str | None, typer.Option(metavar="ROLE", help="Which role. Default: all of them, as check does.")
    ] = None,
    owner: Annotated[str | None, typer.Option(metavar="NAME", help="For which owner of jobs.")] = None,
) -> None:
    """Tell what those may do who have a role, and what they may start.

    Options of the server stand before the word policy, such as --config FILE: its limits count, too.
    """
    from jobworker_server.errors import PermissionDeniedError
    from jobworker_server.policy import BUILT_IN, explain

    settings: Settings = context.obj
    chosen = file or settings.policy
    policy = _read(chosen) if chosen else BUILT_IN
    if role is None and owner is not None:
        raise typer.BadParameter("give a --role as well", param_hint="--owner")
    try:
        lines = (
            explain.overview(policy, settings.limits)
            if role is None
            else explain.of_one(policy, role, owner, settings.limits)
        )
        for line in lines:
            typer.echo(line)
    except PermissionDeniedError as error:
        _fail(error)


def _read(path: Path) -> Policy:
    from jobworker_server.policy import file

    try:
        return file.read(path)
    except ConfigError as error:
        _fail(error)


def _fail(error: Exception) -> NoReturn:
    print(f"jobworker-server: {error}", file=sys.stderr)
    raise typer.Exit(1)
