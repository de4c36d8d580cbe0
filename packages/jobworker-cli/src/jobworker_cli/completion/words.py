"""From the words of an unfinished command line to what may stand at its end. Neither grpc nor rich is imported here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import typer

from jobworker_cli.completion import values


class Candidate(NamedTuple):
    """A word that fits."""

    word: str
    help: str = ""


class Cursor(NamedTuple):
    """Where the command line ends."""

    command: Any
    """Of click."""
    option: Any
    """The option whose value is being typed; None: none."""
    arguments: Sequence[str]
    """Words of the command that stand before."""
    given: dict[str, Any]
    """The values of options before, by their names."""
    is_over: bool
    """Whether options are over: what is typed belongs to a job's command."""


def complete(root: Any, words: Sequence[str], incomplete: str) -> Iterator[Candidate]:
    """What may be typed in place of ``incomplete``, after ``words``."""
    cursor, prefix = _cursor(root, words), ""
    if cursor.option is None and incomplete.startswith("--") and "=" in incomplete and not cursor.is_over:
        name, _, incomplete = incomplete.partition("=")
        prefix = f"{name}="
        cursor = cursor._replace(option=_options(cursor.command).get(name))
    for candidate in _candidates(cursor, incomplete):
        if candidate.word.startswith(":"):
            yield candidate
        elif candidate.word.startswith(incomplete):
            yield candidate._replace(word=prefix + candidate.word)


def _candidates(cursor: Cursor, incomplete: str) -> Iterator[Candidate]:
    if cursor.option is not None:
        yield from _of_parameter(cursor.option, cursor, incomplete)
    elif cursor.is_over and cursor.arguments:
        yield Candidate(values.FILES)
    elif incomplete.startswith("-"):
        yield from _option_names(cursor.command)
    elif hasattr(cursor.command, "list_commands"):
        yield from _commands(cursor.command) if not cursor.arguments else ()
    else:
        parameter = _argument(cursor.command, len(cursor.arguments))
        if parameter is not None:
            yield from _of_parameter(parameter, cursor, incomplete)


def _of_parameter(parameter: Any, cursor: Cursor, incomplete: str) -> Iterator[Candidate]:
    for word, text in values.of(parameter, cursor.command.name or "", cursor.given, incomplete):
        if word not in cursor.arguments:
            yield Candidate(word, text)


def _cursor(root: Any, words: Sequence[str]) -> Cursor:
    """Read the words before the cursor as click would."""
    command, option, is_over = root, None, False
    given: dict[str, Any] = {}
    arguments: list[str] = []
    for word in words:
        if option is not None:
            given[option.name] = word
            option = None
        elif not is_over and word == "--":
            is_over = True
        elif not is_over and word.startswith("-") and word != "-":
            name, equals, value = word.partition("=")
            found = _options(command).get(name)
            if found is not None and not getattr(found, "is_flag", False):
                if equals:
                    given[found.name] = value
                else:
                    option = found
        elif hasattr(command, "get_command") and (chosen := _chosen(command, word)) is not None:
            command, arguments = chosen, []
        else:
            arguments = [*arguments, word]
            is_over = is_over or not command.context_settings.get("allow_interspersed_args", True)
    return Cursor(command, option, arguments, given, is_over)


def _chosen(group: Any, name: str) -> Any:
    return group.get_command(typer.Context(group), name)


def _parameters(command: Any) -> list[Any]:
    found: list[Any] = command.get_params(typer.Context(command))
    return found


def _options(command: Any) -> dict[str, Any]:
    return {name: parameter for parameter in _parameters(command) for name in parameter.opts if name.startswith("-")}


def _argument(command: Any, position: int) -> Any:
    """The argument at a position; the last one may take several."""
    arguments = [parameter for parameter in _parameters(command) if parameter.param_type_name == "argument"]
    if position < len(arguments):
        return arguments[position]
    return arguments[-1] if arguments and arguments[-1].nargs == -1 else None


def _option_names(command: Any) -> Iterator[Candidate]:
    for parameter in _parameters(command):
        if parameter.param_type_name == "option":
            name = max(parameter.opts, key=len)
            yield Candidate(name, (parameter.help or "").partition("\n")[0])


def _commands(group: Any) -> Iterator[Candidate]:
    from jobworker_cli.command_table import COMMANDS

    for name in group.list_commands(None):
        if hasattr(group, "commands") and name in group.commands:
            yield Candidate(name, str(group.commands[name].help).partition("\n")[0])
        elif name in COMMANDS:
            yield Candidate(name, COMMANDS[name].summary)
