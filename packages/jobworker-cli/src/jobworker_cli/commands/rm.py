"""``rm``: remove ended jobs with their output."""

from __future__ import annotations

import typer

from jobworker_cli import many, options
from jobworker_cli.connection import connect
from jobworker_cli.models import JobState


def remove(
    context: typer.Context, job_ids: options.JobIds = None, *, label: options.ByLabel = None, yes: options.Yes = False
) -> None:
    """Remove ended jobs with their output.

    With --label all of your jobs that have ended and have that label are removed; that is asked about on a terminal,
    and needs --yes without one.

        jobworker-cli rm 3f2a91c0 77aa
        jobworker-cli rm --label batch=7 --yes
    """
    many.require_ids_or_labels(job_ids, label)
    with connect(context.obj) as client:
        states = (state for state in JobState if state.ended)
        found = many.chosen(client, job_ids, label, states, verb="remove", yes=yes)
        many.on_each(client, found, lambda to, job: to.delete(job), done="removed")
