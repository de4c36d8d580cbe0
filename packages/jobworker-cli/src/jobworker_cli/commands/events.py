"""``events``, also ``watch``: what happens to jobs."""

from __future__ import annotations

from typing import Annotated

import typer

from jobworker_cli import options
from jobworker_cli.connection import connect
from jobworker_cli.errors import NoAnswerError
from jobworker_cli.models import Event
from jobworker_cli.render import event_json, utc
from jobworker_cli.terminal import print_line
from jobworker_cli.text import escape


def events(
    context: typer.Context,
    job_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID ...]", hidden=True, help="Only of these jobs.")
    ] = None,
    *,
    all_owners: options.AllOwners = False,
    cursor: Annotated[
        str,
        typer.Option("--cursor", metavar="CURSOR", help="Go on after the event with this. Default: from now on."),
    ] = "",
    output: options.JsonOutput = None,
) -> None:
    """Tell what happens to your jobs, a line an event, until Ctrl-C.

    Also: watch. Events are created, started, output_truncated, ended and deleted. A lost connection is told on the
    standard error, and nothing is missed when the server is back.

    With -o json an event is {"event", "time", "id", "cursor", "job"}, on one line; job is null where it is deleted.
    Without any event, the cursor from which it began is told as {"cursor"}.

        jobworker-cli events --all-owners
        jobworker-cli events -o json --cursor 90f1ab5c6a2e7d10-48213
    """
    with connect(context.obj) as client:
        found = [client.resolve(job_id) for job_id in job_ids or ()]
        reached = cursor
        try:
            for batch, reached in client.watch_batches(cursor, job_ids=found, all_owners=all_owners or bool(found)):
                if output:
                    print_line("\n".join(map(event_json, batch)) if batch else event_json(reached))
                elif batch:
                    print_line("\n".join(map(_line, batch)))
        except NoAnswerError as error:
            if reached:
                error.hint = f"go on with --cursor {reached}"
            raise


def _line(event: Event) -> str:
    what = event.type or "unknown"
    about = f"  {escape(event.job.describe())}" if event.type == "ended" and event.job else ""
    return f"{utc(event.time)}  {event.job_id}  {what}{about}"
