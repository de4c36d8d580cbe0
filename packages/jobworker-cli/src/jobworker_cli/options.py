"""Arguments and options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, TypeVar, overload

import typer

from jobworker_cli import quantities, restart_option
from jobworker_cli.formats import JsonFormat, OutputFormat, UsageFormat
from jobworker_cli.models import OutputLimit, OutputLimitAction, RestartPolicy, TerminalSize

T = TypeVar("T")

_SMALLEST_OUTPUT_LIMIT = 64 << 10


JobId = Annotated[
    str, typer.Argument(metavar="ID", hidden=True, help="The job's id, or as much of its beginning as tells it apart.")
]
JobIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID ...]", hidden=True, help="Ids, or as much of their beginnings as tells them apart."),
]
Output = Annotated[
    OutputFormat | None,
    typer.Option("--output", "-o", help="Write the result as JSON, YAML, a wide table, or the id alone."),
]
JsonOutput = Annotated[JsonFormat | None, typer.Option("--output", "-o", help="Write each line as JSON.")]
UsageOutput = Annotated[
    UsageFormat | None, typer.Option("--output", "-o", help="Write each line as JSON, or with all columns.")
]
ByLabel = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="K=V", help="Instead of ids: all of yours with this label; may be repeated."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
AllOwners = Annotated[bool, typer.Option("--all-owners", help="Everyone's, as far as you may see them.")]
Command = Annotated[
    list[str],
    typer.Argument(
        metavar="COMMAND [ARG ...]",
        hidden=True,
        help="What to run and its arguments, as they stand: there is no shell, `sh -c '...'` runs one.",
    ),
]
OptionalCommand = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="COMMAND [ARG ...]",
        hidden=True,
        help="What to run and its arguments, as they stand: there is no shell, `sh -c '...'` runs one.",
    ),
]
Cwd = Annotated[
    str,
    typer.Option("--cwd", metavar="DIR", help="Working directory on the server. Default: the server's home directory."),
]
Env = Annotated[list[str] | None, typer.Option("--env", metavar="K=V", help="Environment variable; may be repeated.")]
Label = Annotated[list[str] | None, typer.Option("--label", metavar="K=V", help="Label; may be repeated.")]
JobTimeout = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", help="Stop the job when it has run so long.")
]

Priority = Annotated[
    int,
    typer.Option("--priority", metavar="N", min=-1000, max=1000, help="The highest of those that wait starts first."),
]
StartDeadline = Annotated[
    float | None,
    typer.Option("--start-deadline", metavar="SECONDS", help="Fail if it has not been started in this time."),
]
RequestId = Annotated[
    str,
    typer.Option(
        "--request-id", metavar="ID", help="An id of your own: a second start with it gives the job of the first."
    ),
]
Restart = Annotated[
    str,
    typer.Option(
        "--restart",
        metavar="POLICY",
        help="Execute the command again: never, on-failure (1000 times at most), or on-failure:N, N times at most.",
    ),
]
RestartBackoff = Annotated[
    float | None,
    typer.Option(
        "--restart-backoff", metavar="SECONDS", help="Pause before a restart, each twice the last. Default: 1."
    ),
]
RestartMaxBackoff = Annotated[
    float | None, typer.Option("--restart-max-backoff", metavar="SECONDS", help="The longest pause. Default: 300.")
]
Stdin = Annotated[bool, typer.Option("--stdin", "-i", help="Give the job a standard input.")]
Tty = Annotated[bool, typer.Option("--tty", "-t", help="Give the job a terminal.")]


class LimitAction(StrEnum):
    """What happens at the output limit, as it is written here."""

    STOP = "stop"
    DROP_OLDEST = "drop-oldest"


LimitOfOutput = Annotated[
    str | None,
    typer.Option("--output-limit", metavar="SIZE", help="Keep no more output than this, such as 64M; 64K at least."),
]
LimitActionOption = Annotated[
    LimitAction | None,
    typer.Option("--output-limit-action", help="At the limit, stop the job, or drop its oldest output. Default: stop."),
]


def key_values(option: str, texts: Sequence[str] | None) -> dict[str, str]:
    """Read the ``K=V`` of a repeated option; the last of equal keys counts."""
    pairs = [text.partition("=") for text in texts or ()]
    if not all(key and equals for key, equals, _ in pairs):
        # The text itself is not shown: it may be a secret.
        raise typer.BadParameter("expected K=V", param_hint=option)
    return {key: value for key, _, value in pairs}


@overload
def positive(option: str, seconds: float) -> float: ...
@overload
def positive(option: str, seconds: float | None) -> float | None: ...
def positive(option: str, seconds: float | None) -> float | None:
    """Refuse a time of nothing or less; None stands for none given."""
    if seconds is not None and not 0 < seconds < float("inf"):
        raise typer.BadParameter("expected a number of seconds above 0", param_hint=option)
    return seconds


def terminal(variables: dict[str, str]) -> TerminalSize:
    """What --tty asks for: a terminal like that of the user, if there is one, whose type is added to the variables."""
    from jobworker_cli.local_terminal import local_size

    size = local_size()
    if size is not None and "TERM" in os.environ:
        variables.setdefault("TERM", os.environ["TERM"])
    return size or TerminalSize()


def restart_policy(policy: str, backoff: float | None, max_backoff: float | None) -> RestartPolicy | None:
    """What --restart and its like ask for; None: never."""
    pauses = {
        name: positive(f"--restart-{name.replace('_', '-')}", seconds)
        for name, seconds in (("backoff", backoff), ("max_backoff", max_backoff))
        if seconds is not None
    }
    if restarts := restart_option.restarts(policy):
        return RestartPolicy(max_restarts=restarts, **pauses)
    if pauses:
        raise typer.BadParameter("a pause between restarts needs --restart on-failure", param_hint="--restart")
    return None


def output_limit(size: str | None, action: LimitAction | None) -> OutputLimit | None:
    """What --output-limit and its action ask for; None: no limit."""
    if size is None:
        if action:
            raise typer.BadParameter("it needs --output-limit SIZE", param_hint="--output-limit-action")
        return None
    bound = parsed("--output-limit", quantities.size, size)
    if bound < _SMALLEST_OUTPUT_LIMIT:
        raise typer.BadParameter("the smallest limit is 64K", param_hint="--output-limit")
    return OutputLimit(bound, OutputLimitAction[(action or LimitAction.STOP).name])


def parsed(option: str, read: Callable[[str], T], text: str) -> T:
    """Read an option's text by one of ``quantities.py``."""
    try:
        return read(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
