"""Tries whether isolation can be had here: a process isolates itself so and exits.

Only a try can tell: containers, security modules and settings of the kernel forbid namespaces and mounts in ways of
their own. It takes a process of one thread to fork, which who asks may not be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict

from jobworker_lib.errors import IsolationError
from jobworker_lib.host.detached import module_command
from jobworker_lib.isolation import fixes, plan
from jobworker_lib.job.isolation import Isolation
from jobworker_lib.job.start_errors import StepError
from jobworker_lib.shim.enter import Command, enter
from jobworker_lib.shim.init import Orders
from jobworker_lib.shim.namespace import Namespace

needs_user_namespace = plan.needs_user_namespace

_SECONDS = 60.0

_had: set[Isolation] = set()
_trying = threading.Lock()


def require(isolation: Isolation) -> None:
    """Return if a job without paths of its own can be so isolated; tried once, as long as it succeeds.

    Raises:
        IsolationError: it can't.
    """
    with _trying:
        if isolation not in _had:
            _try(isolation)
            _had.add(isolation)


def _try(isolation: Isolation) -> None:
    command = module_command("jobworker_lib.isolation.probe", json.dumps(asdict(isolation)))
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=True, env={}
        )
        told = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise IsolationError("isolation", f"it could not be tried: {error}") from error
    if told:
        raise IsolationError(told["part"], fixes.explain(told["part"], told["errno"]))


def main() -> None:
    """Try the isolation that is the argument, and print which step failed, if one did."""
    isolation = Isolation.from_json(json.loads(sys.argv[-1]))
    told: dict[str, object] = {}
    try:
        _isolate_and_exit(isolation)
    except StepError as error:
        told = {"part": error.step, "errno": error.errno}
    except OSError as error:
        told = {"part": "namespaces", "errno": error.errno}
    print(json.dumps(told))


def _isolate_and_exit(isolation: Isolation) -> None:
    made = plan.make(isolation, cwd="/")
    command = Command((), {}, (0, 1, 2))
    main_steps = [*plan.command_steps(made), ("exit", lambda: os._exit(0))]
    setup = plan.namespace_steps(made)
    if made.has_init:
        orders = Orders(command=command, setup=setup, main=main_steps, farewell=plan.farewell_steps(made))
        Namespace(orders, made.clone_flags).close()
    else:
        enter(command, [*setup, *main_steps])
