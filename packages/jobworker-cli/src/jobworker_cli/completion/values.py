"""The values that options and arguments may have: states, signals, contexts, and what the server knows of jobs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from jobworker_cli import config, config_file, restart_option
from jobworker_cli.errors import ClientError
from jobworker_cli.models import JobState, Stream
from jobworker_cli.text import command_line

FILES = ":files"
DIRECTORIES = ":directories"
COMMANDS = ":commands"
"""What a shell completes by itself."""

_MOST_JOBS = 200
_PATIENCE_SECONDS = "2"

Found = Iterator[tuple[str, str]]
Given = Mapping[str, Any]

_LIVE = ("attach", "stop", "signal", "update")
_ENDED = ("rm",)


def of(parameter: Any, command: str, given: Given, incomplete: str) -> Found:
    """The values of a parameter, each with a few words about it."""
    metavar = (parameter.metavar or "").strip("[]").removesuffix(" ...").removesuffix("]")
    name = parameter.name
    if metavar == "ID":
        yield from _jobs(command, given)
    elif metavar.startswith("COMMAND"):
        yield COMMANDS, ""
    elif metavar == "SIGNAL":
        yield from _signals(incomplete)
    elif name == "label":
        yield from _labels(command, given, incomplete)
    elif name in _BY_NAME:
        yield from _BY_NAME[name](given)
    elif metavar in ("FILE", "DIR", "PATH"):
        yield (DIRECTORIES if metavar == "DIR" else FILES), ""
    elif command == "config" or metavar in ("KEY", "CONTEXT"):
        yield from (_keys if metavar == "KEY" else _contexts)(given)
    else:
        yield from ((str(choice), "") for choice in choices(parameter))


def choices(parameter: Any) -> list[Any]:
    """The values of a parameter that takes one of an enumeration; none where it takes others."""
    descriptor = getattr(parameter, "type_descriptor", None)
    found = descriptor.choices if descriptor else getattr(parameter.type, "choices", None)
    return [getattr(choice, "value", choice) for choice in found or ()]


def _states(_given: Given) -> Found:
    yield from ((str(state), "") for state in JobState)


def _streams(_given: Given) -> Found:
    yield from ((str(stream), "") for stream in Stream)


def _signals(incomplete: str) -> Found:
    prefix = "" if incomplete.startswith("SIG") else "SIG"
    yield from ((name.name.removeprefix(prefix), signal.strsignal(name) or "") for name in signal.Signals)


def _restarts(_given: Given) -> Found:
    yield restart_option.NEVER, ""
    yield restart_option.ON_FAILURE, f"{restart_option.MOST} times at most"
    yield f"{restart_option.ON_FAILURE}:5", "5 times at most"


def _keys(_given: Given) -> Found:
    yield from ((key, "") for key in config_file.SETTINGS)


def _contexts(given: Given) -> Found:
    path = config.file_in_use(given, os.environ)
    with suppress(ClientError):
        yield from ((name, "") for name in config_file.context_names(path))


def _jobs(command: str, given: Given) -> Found:
    states = [state for state in JobState if state.ended == (command in _ENDED)] if command in _LIVE + _ENDED else []
    for job in _listed(given, states=states):
        yield job.id, f"{job.describe()}  {command_line(job.argv)[:60]}"


def _labels(command: str, given: Given, incomplete: str) -> Found:
    if command in ("start", "run") and "=" in incomplete:
        return
    known = {f"{key}={value}" for job in _listed(given) for key, value in job.labels.items()}
    yield from ((label, "") for label in sorted(known))


def _listed(given: Given, **conditions: Any) -> Iterator[Any]:
    """The newest jobs, of everybody where that is asked for; none where the server does not answer soon."""
    flags = {name: str(given[name]) for name in (*config.NAMES, "config") if given.get(name)}
    if given.get("context_name"):
        flags["context"] = str(given["context_name"])
    with suppress(ClientError):
        configuration = config.resolve({"timeout": _PATIENCE_SECONDS} | flags, os.environ)
        from jobworker_cli.client import Client  # not before: most completions need no server

        with Client.configured(configuration) as client:
            yield from islice(client.list(page_size=_MOST_JOBS, all_owners=True, **conditions), _MOST_JOBS)


_BY_NAME: Mapping[str, Callable[[Given], Found]] = {
    "state": _states,
    "stream": _streams,
    "restart": _restarts,
    "context_name": _contexts,
}
