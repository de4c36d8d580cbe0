"""Wrong usage, told as every other error is: what is wrong, what is taken instead, and where to read on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from jobworker_cli.terminal import say

Error: Any = typer.BadParameter.__base__
"""Of all wrong usage; typer has no public name for it."""


def report(error: Any) -> None:
    """Say what is wrong with the command line."""
    if error.format_message().startswith("Usage:"):  # nothing was given, so the help is shown
        error.show()
        return
    say(f"error: {problem(error)}")
    if error.ctx is not None:
        usage = " ".join(error.ctx.get_usage().removeprefix("Usage:").split())
        say(f"hint: {usage}; --help tells more")


def problem(error: Any) -> str:
    """What is wrong, in words that no version of typer changes where it is the value of an option."""
    if not isinstance(error, typer.BadParameter):
        message = error.format_message().rstrip(".")
        return f"{message[:1].lower()}{message[1:]}"
    if error.param is None or error.param_hint:  # one of ours
        return f"{error.param_hint}: {error.message}"
    name = _name(error.param)
    if type(error) is not typer.BadParameter:
        return f"{name} is missing"
    return f"{name}: expected {_expected(error.param) or error.message}"


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    return str(max(parameter.opts, key=len))


def _expected(parameter: Any) -> str:
    """What an option takes; empty where that is no matter of its type."""
    from jobworker_cli.completion.values import choices

    if found := choices(parameter):
        return one_of(list(map(str, found)))
    descriptor = getattr(parameter, "type_descriptor", None)  # older versions of typer have click's types
    kind = descriptor.annotation.__name__ if descriptor else parameter.type.name
    bounds = descriptor.parameter_info if descriptor else parameter.type
    noun = "a whole number" if kind.startswith("int") else "a number" if kind.startswith("float") else ""
    if parameter.metavar == "SECONDS":
        noun = "a number of seconds"
    return noun and noun + _between(getattr(bounds, "min", None), getattr(bounds, "max", None))


def _between(least: float | None, most: float | None) -> str:
    if least is None:
        return "" if most is None else f", at most {most:g}"
    return f", {least:g} or more" if most is None else f" from {least:g} to {most:g}"


def one_of(values: Sequence[str]) -> str:
    """The values in a sentence."""
    return f"{', '.join(values[:-1])} or {values[-1]}" if len(values) > 1 else values[0]
