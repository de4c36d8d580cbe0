"""Several jobs at once: which they are, whether that is meant, and what becomes of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import typer

from jobworker_cli import exit_status, options
from jobworker_cli.errors import ClientError
from jobworker_cli.progress import Progress
from jobworker_cli.terminal import report, say
from jobworker_cli.text import command_line

if TYPE_CHECKING:
    from jobworker_cli.client import Client
    from jobworker_cli.models import Job, JobState

_AT_ONCE = 16
_SHOWN = 10


def require_ids_or_labels(ids: Sequence[str] | None, labels: Sequence[str] | None) -> None:
    """Refuse both, and neither."""
    if bool(ids) == bool(labels):
        problem = "it can't go with ids" if ids else "give ids, or --label K=V"
        raise typer.BadParameter(problem, param_hint="--label" if ids else "ID")


def chosen(
    client: Client,
    ids: Sequence[str] | None,
    labels: Sequence[str] | None,
    states: Iterable[JobState],
    *,
    verb: str,
    yes: bool,
) -> list[str]:
    """The ids of the jobs that are meant: those given, or those with all the labels, once that was confirmed.

    ``verb`` says what is to be done to them. Jobs that are named by ids are not asked about.
    """
    if ids:
        return list(dict.fromkeys(client.resolve(job_id) for job_id in ids))
    wanted = options.key_values("--label", labels)
    jobs = list(client.list(labels=wanted, states=tuple(states)))
    if not jobs:
        say(f"there is nothing to {verb}: none of your jobs has {' and '.join(labels or ())}")
    elif not yes:
        _confirm(jobs, verb)
    return [job.id for job in jobs]


def on_each(client: Client, ids: Sequence[str], do: Callable[[Client, str], object], *, done: str) -> None:
    """Do something to each job, several at a time; what fails is told, and ends the command when all is done."""

    def attempt(job_id: str) -> ClientError | None:
        try:
            do(client, job_id)
        except ClientError as error:
            return error
        return None

    if len(ids) == 1:
        do(client, ids[0])
        return
    failures = []
    with ThreadPoolExecutor(_AT_ONCE) as pool, Progress(done, len(ids)) as progress:
        for job_id, error in zip(ids, pool.map(attempt, ids), strict=True):
            progress.step()
            if error:
                failures.append(error)
                progress.hide()
                say(f"job {job_id}:")
                report(error)
    if failures:
        raise typer.Exit(exit_status.of_error(failures[0]))


def _confirm(jobs: Sequence[Job], verb: str) -> None:
    if not (os.isatty(0) and os.isatty(2)):
        count = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
        raise typer.BadParameter(
            f"there is no terminal to ask on: --yes confirms to {verb} {count}", param_hint="--label"
        )
    for job in jobs[:_SHOWN]:
        say(f"  {job.id[:8]}  {job.describe()}  {command_line(job.argv)}")
    if len(jobs) > _SHOWN:
        say(f"  and {len(jobs) - _SHOWN} more")
    noun = "this job" if len(jobs) == 1 else f"these {len(jobs)} jobs"
    if not _agrees(f"{verb} {noun}?"):
        say("nothing was done")
        raise typer.Exit(exit_status.FAILED)


def _agrees(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort as abort:
        say("")  # the cursor stands behind the question
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        return False  # Ctrl-D
