"""``top``: a live screen of jobs."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from jobworker_cli import config, options


def top(
    context: typer.Context,
    *,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="K=V", help="With this label; may be repeated.")
    ] = None,
    all_owners: options.AllOwners = False,
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=0.2, max=3600, help="The time between two looks.")
    ] = 1.0,
) -> None:
    """Show what your jobs use, live, on the whole terminal.

    The jobs that run come first, with their share of a processor, their memory, and how much output they write. Enter
    opens a job's log, s stops it, K kills it, / filters by id, command, label, owner or state, e shows ended jobs, too,
    and q leaves; jobs run on.

        jobworker-cli top
        jobworker-cli top --all-owners --label batch=7
    """
    labels = options.key_values("--label", label)
    if not (os.isatty(0) and os.isatty(1)):
        raise typer.BadParameter("it needs a terminal; `jobworker-cli list` and `stats` do not", param_hint="top")
    configuration = config.resolve(context.obj, os.environ)
    from jobworker_cli.top.app import TopApp  # Textual is for this command alone

    app = TopApp(configuration, labels, all_owners=all_owners, interval=interval)
    if failure := app.run():
        raise failure
    raise typer.Exit(app.return_code or 0)
