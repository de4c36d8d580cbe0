"""``list``: the jobs, the newest first."""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from jobworker_cli import options
from jobworker_cli.connection import connect
from jobworker_cli.formats import OutputFormat, jobs_text
from jobworker_cli.live_block import LiveBlock
from jobworker_cli.models import JobState
from jobworker_cli.table import for_pipe, for_terminal
from jobworker_cli.terminal import pause, print_line, printable, say, screen_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobworker_cli.models import Job


_SECONDS = 1.0


def list_jobs(
    context: typer.Context,
    *,
    state: Annotated[list[JobState] | None, typer.Option("--state", help="In this state; may be repeated.")] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="K=V", help="With this label; may be repeated.")
    ] = None,
    all_owners: options.AllOwners = False,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="The newest N alone.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, and show what changes, until Ctrl-C.")] = False,
    output: options.Output = None,
) -> None:
    """List your jobs, the newest first.

    On a terminal ids and commands are shortened; in a pipe they are whole. With --watch the table on a terminal is
    drawn anew every second; in a pipe a job is a line again when its status changes.

        jobworker-cli list --state running
        jobworker-cli list --all-owners -o json
        jobworker-cli list --watch
    """
    if watch and output not in (None, OutputFormat.ID, OutputFormat.WIDE):
        raise typer.BadParameter("it shows tables; programs use `jobworker-cli events -o json`", param_hint="--watch")
    labels = options.key_values("--label", label)
    with connect(context.obj) as client:

        def found(most: int | None = limit) -> list[Job]:
            jobs = client.list(states=state or (), labels=labels, all_owners=all_owners, page_size=min(most or 0, 1000))
            return list(islice(jobs, most))

        if not watch:
            jobs = found()
            if lines := _lines(jobs, output):
                print_line("\n".join(lines))
            if not jobs and output is None:
                _say_how_to_begin(all_owners=all_owners)
        elif os.isatty(1):
            block = LiveBlock()
            while True:
                block.show(_lines(found(min(block.rows - 1, limit or block.rows)), output))
                pause(_SECONDS)
        else:
            _tell_changes(found, output)


def _lines(jobs: list[Job], output: OutputFormat | None) -> list[str]:
    if output:
        return jobs_text(jobs, output).splitlines()
    if not os.isatty(1):
        return list(for_pipe(jobs))
    return list(for_terminal(jobs, screen_size().columns, cut_mark=printable("…", "~")))


def _say_how_to_begin(*, all_owners: bool) -> None:
    if os.isatty(2):
        others = "" if all_owners else "; --all-owners shows everyone's"
        say(f"there are none{others}; `jobworker-cli run uname -a` runs one")


def _tell_changes(found: Callable[[], list[Job]], output: OutputFormat | None) -> NoReturn:
    """Write the table, and from then on a line for each job whose status has changed, the oldest first."""
    known: dict[str, str] = {}
    header = 0
    while True:
        changed = [job for job in found() if known.get(job.id) != job.describe()]
        known |= {job.id: job.describe() for job in changed}
        lines = _lines(changed, output)[header:]
        if lines:
            print_line("\n".join(lines))
        header = 0 if output is OutputFormat.ID else 1
        pause(_SECONDS)
