"""``start``: start a job and leave it running."""

from __future__ import annotations

import typer

from jobworker_cli import options
from jobworker_cli.connection import connect
from jobworker_cli.render import job_json
from jobworker_cli.terminal import print_line


def start(
    context: typer.Context,
    command: options.Command,
    *,
    cwd: options.Cwd = "",
    env: options.Env = None,
    label: options.Label = None,
    timeout: options.JobTimeout = None,
    priority: options.Priority = 0,
    start_deadline: options.StartDeadline = None,
    restart: options.Restart = 0,
    restart_backoff: options.RestartBackoff = None,
    restart_max_backoff: options.RestartMaxBackoff = None,
    output_limit: options.LimitOfOutput = None,
    output_limit_action: options.LimitActionOption = None,
    stdin: options.Stdin = False,
    tty: options.Tty = False,
    output: options.Output = None,
) -> None:
    """Start a job, print its id, and leave it running.

    With --stdin or --tty, `attach` joins it and writes to it; without, it reads the end of file at once.

        jobworker-cli start sleep 60
        jobworker-cli start --tty bash
        jobworker-cli start --label team=a -- sh -c 'make && make test'
    """
    variables, labels = options.key_values("--env", env), options.key_values("--label", label)
    seconds = options.positive("--timeout", timeout)
    deadline = options.positive("--start-deadline", start_deadline)
    policy = options.restart_policy(restart, restart_backoff, restart_max_backoff)
    limit = options.output_limit(output_limit, output_limit_action)
    with connect(context.obj) as client:
        job = client.start(
            command,
            cwd=cwd,
            env=variables,
            labels=labels,
            timeout=seconds,
            stdin=stdin,
            terminal=options.terminal(variables) if tty else None,
            restart=policy,
            priority=priority,
            start_deadline=deadline,
            output_limit=limit,
        )
    print_line(job_json(job) if output else job.id)
