"""``list``: the jobs, the newest first."""

from __future__ import annotations

import os
import shutil
from typing import Annotated

import typer

from jobworker_cli import options
from jobworker_cli.connection import connect
from jobworker_cli.models import JobState
from jobworker_cli.render import jobs_json
from jobworker_cli.table import for_pipe, for_terminal
from jobworker_cli.terminal import print_line, printable


def list_jobs(
    context: typer.Context,
    *,
    state: Annotated[list[JobState] | None, typer.Option("--state", help="In this state; may be repeated.")] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="K=V", help="With this label; may be repeated.")
    ] = None,
    all_owners: Annotated[bool, typer.Option("--all-owners", help="Everyone's, as far as you may see them.")] = False,
    output: options.Output = None,
) -> None:
    """List your jobs, the newest first.

    On a terminal ids and commands are shortened; in a pipe they are whole.

        jobworker-cli list --state running
        jobworker-cli list --all-owners -o json
    """
    labels = options.key_values("--label", label)
    with connect(context.obj) as client:
        jobs = list(client.list(states=state or (), labels=labels, all_owners=all_owners))
    if output:
        print_line(jobs_json(jobs))
        return
    if os.isatty(1):
        lines = for_terminal(jobs, shutil.get_terminal_size().columns, cut_mark=printable("…", "~"))
    else:
        lines = for_pipe(jobs)
    print_line("\n".join(lines))
