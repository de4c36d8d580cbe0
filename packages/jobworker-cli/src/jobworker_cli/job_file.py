"""Many jobs from one file: what it may hold, and their start over one connection."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from jobworker_cli import exit_status, usage, yaml_text
from jobworker_cli.connection import connect
from jobworker_cli.errors import ClientError, ConfigurationError
from jobworker_cli.formats import OutputFormat, jobs_text
from jobworker_cli.progress import Progress
from jobworker_cli.start_interrupt import StartInterrupt
from jobworker_cli.start_options import start_job
from jobworker_cli.start_parser import names, parse, switches
from jobworker_cli.terminal import print_line, report, say

if TYPE_CHECKING:
    from jobworker_cli.client import Client
    from jobworker_cli.models import Job
    from jobworker_cli.starting import StartOptions

_AT_ONCE = 16
_COMMAND = "command"
_REQUEST_ID = "request-id"

_SWITCHED = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class FileJob(NamedTuple):
    """A job that a file lists."""

    argv: list[str]
    starting: StartOptions


def start_all(flags: Mapping[str, str | None], file: str, given: StartOptions, output: OutputFormat | None) -> None:
    """Start the jobs of a file; those that can't be started are told, and fail the command when all is done."""
    if any(value for value in given.values()):
        raise typer.BadParameter("the options of its jobs stand in the file", param_hint="--file")
    jobs = read(file)
    with connect(flags) as client, StartInterrupt() as interrupt:
        started = _start(client, jobs, interrupt, is_told=output in (None, OutputFormat.ID))
    if output not in (None, OutputFormat.ID):
        print_line(jobs_text(started, output))
    if interrupt.received:
        say(f"interrupted: {len(started)} of {len(jobs)} jobs were started, and run on")
        raise typer.Exit(interrupt.exit_status)
    if len(started) < len(jobs):
        say(f"{len(jobs) - len(started)} of {len(jobs)} jobs were not started")
        raise typer.Exit(exit_status.FAILED)


def _start(client: Client, jobs: Sequence[FileJob], interrupt: StartInterrupt, *, is_told: bool) -> list[Job]:
    """Start them, several at a time: those that could be; ``is_told``: print their ids."""

    def attempt(job: FileJob) -> Job | ClientError | None:
        if interrupt.received:
            return None
        try:
            return start_job(client, job.argv, job.starting)
        except ClientError as error:
            return error

    started = []
    with ThreadPoolExecutor(_AT_ONCE) as pool, Progress("started", len(jobs), is_told=is_told) as progress:
        for number, found in enumerate(pool.map(attempt, jobs), 1):
            progress.step()
            if isinstance(found, ClientError):
                progress.hide()
                say(f"job {number}:")
                report(found)
            elif found:
                started.append(found)
                if is_told:
                    print_line(found.id)
    return started


def read(file: str) -> list[FileJob]:
    """The jobs of a file.

    Raises:
        ConfigurationError: it can't be read, or something in it can't be used; nothing was started.
    """
    content = _load(file)
    if isinstance(content, dict):
        _require_known(content, ["defaults", "jobs"], file)
        defaults, entries = content.get("defaults", {}), content.get("jobs")
    else:
        defaults, entries = {}, content
    if not isinstance(entries, list) or not entries:
        raise ConfigurationError(f"{file}: it lists no jobs", "`jobworker-cli start --help` shows a file of jobs")
    if isinstance(defaults, dict) and _REQUEST_ID in defaults:
        raise ConfigurationError(
            f"{file}: {_REQUEST_ID} can't be a default: with one id for all, only the first would be started",
            "give each job an id of its own, or none",
        )
    jobs = [_job(entry, defaults, f"{file}: job {number}") for number, entry in enumerate(entries, 1)]
    _require_own_ids(jobs, file)
    return jobs


def _require_own_ids(jobs: Sequence[FileJob], file: str) -> None:
    numbers: dict[str, int] = {}
    for number, job in enumerate(jobs, 1):
        request_id = job.starting["request_id"]
        if request_id and numbers.setdefault(request_id, number) != number:
            raise ConfigurationError(f"{file}: jobs {numbers[request_id]} and {number} have the same {_REQUEST_ID}")


def _load(file: str) -> Any:
    try:
        text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file} can't be read: {error.strerror}") from None
    return yaml_text.parse(text, file, texts_alone=True)  # what is `true` in a command stays so


def _job(entry: object, defaults: object, where: str) -> FileJob:
    if not isinstance(entry, dict) or not isinstance(defaults, dict):
        raise ConfigurationError(f"{where}: a job is a mapping of names to values, such as {{command: [make, test]}}")
    merged = {**defaults, **entry}
    for name in merged.keys() & defaults.keys() & entry.keys():
        if isinstance(defaults[name], dict) and isinstance(entry[name], dict):
            merged[name] = {**defaults[name], **entry[name]}
    command = merged.pop(_COMMAND, None)
    arguments = [part for name, value in merged.items() for part in _option(str(name), value, where)]
    if isinstance(command, str):
        command = ["sh", "-c", command]
    if not isinstance(command, list) or not command:
        raise ConfigurationError(f"{where}: it needs a command: a list of texts, or one text for sh")
    try:
        return FileJob(*parse([*arguments, "--", *map(str, command)]))
    except usage.Error as error:
        raise ConfigurationError(f"{where}: {usage.problem(error)}") from None


def _option(name: str, value: object, where: str) -> list[str]:
    """An option as the command line has it."""
    _require_known([name], [_COMMAND, *names()], where)
    match value:
        case str() if name in switches():
            if value.lower() not in _SWITCHED:
                raise ConfigurationError(f"{where}: {name}: expected true or false")
            return [f"--{name}"] * _SWITCHED[value.lower()]
        case dict():
            return [part for key, item in value.items() for part in (f"--{name}", f"{key}={item}")]
        case list():
            return [part for item in value for part in (f"--{name}", str(item))]
        case _:
            return [f"--{name}", str(value)]


def _require_known(names: Sequence[Any] | Mapping[Any, Any], known: Sequence[str], where: str) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are: {', '.join(known)}"
            raise ConfigurationError(f"{where}: unknown key {str(name)!r}", hint)
