"""The options that say how a job is started: one list of them, for all commands that start one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from jobworker_cli import isolation_options, limit_options, options, restart_option
from jobworker_cli.errors import CommandNotFoundError
from jobworker_cli.starting import StartOptions

if TYPE_CHECKING:
    from jobworker_cli.client import Client
    from jobworker_cli.models import Job

T = TypeVar("T")
U = TypeVar("U")


def start_job(client: Client, command: list[str], starting: StartOptions) -> Job:
    """Start the job that the command line asks for."""
    try:
        return client.start(command, **starting)
    except CommandNotFoundError as error:
        if command[0].split() != command[:1]:
            error.hint = "there is no shell: give the command and its arguments apart, or run sh -c '...'"
        raise


def takes_start_options(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command these options where it has the parameter ``starting``, which gets what they ask for."""
    readers = (_read, limit_options.read, isolation_options.read, isolation_options.read_account)
    shared = {name: parameter for read in readers for name, parameter in _parameters_of(read).items()}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        parameters += shared.values() if parameter.name == "starting" else [parameter]

    @wraps(command)
    def with_options(**arguments: Any) -> T:
        def asked(read: Callable[..., U]) -> U:
            return read(**{name: arguments.pop(name) for name in _parameters_of(read)})

        starting = asked(_read)
        starting["limits"] = asked(limit_options.read)
        starting["isolation"] = asked(isolation_options.read)
        starting["user"], starting["groups"] = asked(isolation_options.read_account)
        return command(**arguments, starting=starting)

    # What typer makes the command's options from.
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # mypy knows it of no function
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def _parameters_of(read: Callable[..., object]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(read, eval_str=True).parameters)


def _read(
    *,
    cwd: options.Cwd = "",
    env: options.Env = None,
    label: options.Label = None,
    timeout: options.JobTimeout = None,
    priority: options.Priority = 0,
    start_deadline: options.StartDeadline = None,
    restart: options.Restart = restart_option.NEVER,
    restart_backoff: options.RestartBackoff = None,
    restart_max_backoff: options.RestartMaxBackoff = None,
    output_limit: options.LimitOfOutput = None,
    output_limit_action: options.LimitActionOption = None,
    request_id: options.RequestId = "",
    stdin: options.Stdin = False,
    tty: options.Tty = False,
) -> StartOptions:
    variables = options.key_values("--env", env)
    return StartOptions(
        cwd=cwd,
        env=variables,
        labels=options.key_values("--label", label),
        timeout=options.positive("--timeout", timeout),
        stdin=stdin,
        terminal=options.terminal(variables) if tty else None,
        restart=options.restart_policy(restart, restart_backoff, restart_max_backoff),
        priority=priority,
        start_deadline=options.positive("--start-deadline", start_deadline),
        output_limit=options.output_limit(output_limit, output_limit_action),
        request_id=request_id,
    )
