"""What a job's row of ``top`` shows, from two looks at it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobworker_cli.table import age
from jobworker_cli.text import command_line, escape
from jobworker_cli.usage_table import share, size

if TYPE_CHECKING:
    from datetime import datetime

    from jobworker_cli.fence import Sample
    from jobworker_cli.models import Job

COLUMNS = ("ID", "STATUS", "OWNER", "CPU", "MEMORY", "OUTPUT/s", "AGE", "COMMAND")


@dataclass(frozen=True, slots=True)
class Look:
    """A job at a moment, and what it had used then."""

    job: Job
    sample: Sample | None
    """None: it does not run."""
    seconds: float
    """When, by a clock that only goes forward."""


def row(look: Look, before: Look | None, now: datetime) -> tuple[str, ...]:
    """The cells of a job's row; ``before`` is the look from which on rates are told."""
    job, usage = look.job, look.sample.usage if look.sample else None
    return (
        job.id[:8],
        escape(job.describe()),
        escape(job.owner),
        share(look.sample, before.sample if before else None) if look.sample else "-",
        size(usage.memory_bytes if usage else None),
        size(_rate(look, before)),
        age((now - job.created_at).total_seconds()),
        command_line(job.argv),
    )


def matches(job: Job, words: str) -> bool:
    """Whether each of the words is in what is known of a job."""
    labels = " ".join(f"{key}={value}" for key, value in job.labels.items())
    known = f"{job.id} {job.state} {job.owner} {labels} {command_line(job.argv)}".lower()
    return all(word in known for word in words.lower().split())


def in_order(jobs: Iterable[Job]) -> list[Job]:
    """Those that run before those that have ended, each the newest first."""
    return sorted(jobs, key=lambda job: (job.state.ended, -job.created_at.timestamp()))


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels in a line."""
    return escape(", ".join(f"{key}={value}" for key, value in labels.items()))


def _rate(look: Look, before: Look | None) -> int | None:
    """Bytes of output a second."""
    if before is None or look.sample is None or look.seconds <= before.seconds:
        return None
    return int((look.job.output_bytes - before.job.output_bytes) / (look.seconds - before.seconds))
