"""The options of a start from elsewhere than the command line, read just as there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import typer

from jobworker_cli import options
from jobworker_cli.command_help import Command
from jobworker_cli.start_options import takes_start_options
from jobworker_cli.starting import StartOptions


def parse(arguments: Sequence[str]) -> tuple[list[str], StartOptions]:
    """The command and its options.

    Raises:
        typer.BadParameter: an option can't be used; what else typer raises of wrong usage has ``format_message``, too.
    """
    found: tuple[list[str], StartOptions] = _parser().main(list(arguments), prog_name="start", standalone_mode=False)
    return found


def names() -> list[str]:
    """The long options, without dashes."""
    return [name for parameter in _parser().params for name in _long(parameter)]


def switches() -> list[str]:
    """Those of them that take no value."""
    return [name for parameter in _parser().params if getattr(parameter, "is_flag", False) for name in _long(parameter)]


def _long(parameter: Any) -> list[str]:
    return [option.removeprefix("--") for option in parameter.opts if option.startswith("--")]


@cache
def _parser() -> Any:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    settings = {"allow_interspersed_args": False, "help_option_names": []}
    app.command(cls=Command, context_settings=settings)(takes_start_options(_given))
    return typer.main.get_command(app)


def _given(command: options.Command, *, starting: StartOptions) -> tuple[list[str], StartOptions]:
    return command, starting
