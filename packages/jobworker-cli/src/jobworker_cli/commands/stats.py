"""``stats``: what a job uses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from jobworker_cli import options, usage_table
from jobworker_cli.connection import connect
from jobworker_cli.formats import UsageFormat
from jobworker_cli.render import sample_json
from jobworker_cli.terminal import print_line, print_over, screen_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobworker_cli.fence import Sample


def stats(
    context: typer.Context,
    job_id: options.JobId,
    *,
    no_follow: Annotated[bool, typer.Option("--no-follow", help="Tell what has been used until now, once.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=0.1, max=86400, help="The time between two lines.")
    ] = 1.0,
    output: options.UsageOutput = None,
) -> None:
    """Tell what a job uses, at an interval, until it has ended.

    The last line tells what it used in all. On a terminal each line takes the place of the one before, and the least
    important columns are left out where it is too narrow. In a pipe, and with -o wide, all columns and lines are there.
    What the server's host can't account for is "-".

    With -o json a line is {"time", "usage"}; usage is null before the job has been started, and otherwise has the keys
    cpu_user, cpu_system and cpu_throttled (seconds), memory_bytes, memory_peak_bytes, io_read_bytes, io_write_bytes,
    pids, pids_peak, cpu_pressure, memory_pressure and io_pressure (percent of the last 10 seconds).

        jobworker-cli stats 3f2a91c0
        jobworker-cli stats --no-follow -o json 3f2a91c0
    """
    with connect(context.obj) as client:
        samples = client.stats(client.resolve(job_id), interval=interval, once=no_follow)
        if output is UsageFormat.JSON:
            for sample in samples:
                print_line(sample_json(sample))
        elif output is None and os.isatty(1):
            _show(samples)
        else:
            _write(samples)


def _show(samples: Iterable[Sample]) -> None:
    """The last sample, in the columns that the terminal has room for; below new titles where that has changed."""
    before, shown = None, None
    for sample in samples:
        titles = usage_table.fitting(screen_size().columns)
        if titles != shown:
            print_line(usage_table.header(titles))
        show = print_over if titles == shown else print_line
        show(usage_table.row(sample, before, titles))
        before, shown = sample, titles


def _write(samples: Iterable[Sample]) -> None:
    before = None
    for sample in samples:
        if before is None:
            print_line(usage_table.header())
        print_line(usage_table.row(sample, before))
        before = sample
