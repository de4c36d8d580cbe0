"""The commands by name, each with the module that holds it, which is imported when the command is called."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup

from jobworker_cli import usage
from jobworker_cli.command_help import Command, help_text
from jobworker_cli.narrow_help import NarrowHelp
from jobworker_cli.plain_values import PlainValues


class Entry(NamedTuple):
    """A command."""

    place: str
    """``module:function`` in ``jobworker_cli.commands``."""
    summary: str
    """The first sentence of its documentation."""
    aliases: tuple[str, ...] = ()
    settings: Mapping[str, bool] = MappingProxyType({})
    """Of click's context."""

    def build(self, name: str) -> Any:
        """The command, ready to be called."""
        module, _, attribute = self.place.partition(":")
        found = getattr(import_module(f"jobworker_cli.commands.{module}"), attribute)
        if isinstance(found, typer.Typer):
            command = typer.main.get_command(found)
        else:
            single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
            settings = {**_HELP, **self.settings}
            single.command(name, cls=Command, help=help_text(found), context_settings=settings)(found)
            command = typer.main.get_command(single)
        command.name = name
        return command


_HELP = {"help_option_names": ["-h", "--help"]}
_OF_A_JOB = {"allow_interspersed_args": False}  # What follows COMMAND belongs to it, options too.

COMMANDS = {
    "start": Entry("start:start", "Start a job, print its id, and leave it running.", settings=_OF_A_JOB),
    "run": Entry("run:run", "Run a job as if it were here, and exit as it does.", settings=_OF_A_JOB),
    "attach": Entry("attach:attach", "Join a job: type to it, and see its output."),
    "status": Entry("status:status", "Tell whether a job runs, or how it ended.", ("query",)),
    "stats": Entry("stats:stats", "Tell what a job uses, at an interval, until it has ended."),
    "logs": Entry("logs:logs", "Write a job's output, all of it, until the job has ended.", ("stream", "output")),
    "stop": Entry("stop:stop", "Stop jobs with all their processes."),
    "signal": Entry("signal:send_signal", "Send a signal to a job's main process."),
    "update": Entry("update:update", "Change how long a job may run."),
    "list": Entry("list:list_jobs", "List your jobs, the newest first."),
    "wait": Entry("wait:wait", "Wait until jobs have ended, print how, and exit as they did."),
    "top": Entry("top:top", "Show what your jobs use, live, on the whole terminal."),
    "events": Entry("events:events", "Tell what happens to your jobs, a line an event, until Ctrl-C.", ("watch",)),
    "rm": Entry("rm:remove", "Remove ended jobs with their output."),
    "config": Entry("config:app", "Show and change the configuration file."),
    "completion": Entry("completion:app", "Print the script that completes jobworker-cli in a shell."),
}

_BY_NAME = {name: (name, entry) for name, entry in COMMANDS.items()} | {
    alias: (name, entry) for name, entry in COMMANDS.items() for alias in entry.aliases
}

_ELSEWHERE = {
    "help": "--help", "version": "--version", "ps": "list", "ls": "list", "jobs": "list", "inspect": "status",
    "exec": "run", "submit": "start", "kill": "stop", "cancel": "stop", "delete": "rm", "remove": "rm",
}  # fmt: skip
"""What other programs call it."""


class LazyGroup(NarrowHelp, PlainValues, TyperGroup):
    """A group that imports a command when it is called, and none to list them."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  typer calls it so
        """Their names, without aliases."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  typer calls it so
        """The command of a name or alias; None: there is none."""
        if cmd_name not in _BY_NAME:
            return None
        return _BY_NAME[cmd_name][1].build(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, and what follows; one that there is not is told with that which is meant."""
        if args[0] not in _BY_NAME and not args[0].startswith("-"):
            near = _ELSEWHERE.get(args[0]) or next(iter(difflib.get_close_matches(args[0], _BY_NAME, n=1)), None)
            meant = f"; did you mean {near}?" if near else ""
            raise usage.Error(f"there is no command {args[0]!r}{meant}", ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  typer calls it so
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])
