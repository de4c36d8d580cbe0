"""The help of a command, in the form of the manual's: the same with each version of typer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from typer.core import TyperCommand, TyperGroup

from jobworker_cli import usage
from jobworker_cli.narrow_help import NarrowHelp
from jobworker_cli.plain_values import PlainValues

_EXAMPLE = "jobworker-cli "
_INDENT = " " * 4


class Command(NarrowHelp, PlainValues, TyperCommand):
    """A command whose arguments are shown as their metavar, without types and braces.

    The arguments are declared as hidden, for typer would list them, too. Rich would show panels, and make --help slow.
    """

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ARG002  typer calls it so
        """What follows the command's name in the line of its usage."""
        return ["[OPTIONS]", *(name for name, _ in self._arguments())]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write what the arguments are, then the options without a panel, then those of each ``rich_help_panel``."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": self._arguments(), "Options": []}
        for parameter in self.get_params(ctx):
            if parameter.param_type_name != "argument" and (record := parameter.get_help_record(ctx)) is not None:
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or "Options", []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def _arguments(self) -> list[tuple[str, str]]:
        return [
            (parameter.metavar or "", getattr(parameter, "help", None) or "")
            for parameter in self.params
            if parameter.param_type_name == "argument"
        ]


class HelpGroup(NarrowHelp, PlainValues, TyperGroup):
    """A group of such commands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, and what follows; where there is none, those that there are are told."""
        names = [name for name in self.list_commands(ctx) if not self.commands[name].hidden]
        if args[0] not in self.commands and not args[0].startswith("-"):
            raise usage.Error(f"{ctx.info_name}: expected {usage.one_of(names)}", ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands, each with the first sentence of its help, whole."""
        with formatter.section("Commands"):
            commands: dict[str, Any] = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
            formatter.write_dl([(name, summary(found)) for name, found in commands.items() if not found.hidden])


def summary(command: Any) -> str:
    """The first sentence of a command's help."""
    return str(command.help).partition("\n")[0]


def help_text(command: Callable[..., None]) -> str:
    """The documentation of a command, its examples marked so that they are not filled into one paragraph."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(f"\b\n{_indented(text)}" if _is_example(text) else text for text in paragraphs)


def _is_example(paragraph: str) -> bool:
    # One that is all that follows the first line has lost its indentation.
    return paragraph.startswith((_INDENT, _EXAMPLE))


def _indented(example: str) -> str:
    return "\n".join(_INDENT + line.removeprefix(_INDENT) for line in example.splitlines())
