"""A result in the form that was asked for: JSON, YAML, a wide table, ids."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobworker_cli.models import Job


class OutputFormat(StrEnum):
    """How a result is written."""

    JSON = "json"
    YAML = "yaml"
    WIDE = "wide"
    ID = "id"


class JsonFormat(StrEnum):
    """How a line of a stream is written."""

    JSON = "json"


class UsageFormat(StrEnum):
    """How a line of what a job uses is written."""

    JSON = "json"
    WIDE = "wide"


def job_text(job: Job, form: OutputFormat) -> str:
    """One job."""
    from jobworker_cli.render import job_json, job_object

    if form is OutputFormat.JSON:
        return job_json(job)
    if form is OutputFormat.YAML:
        return _yaml(job_object(job))
    return jobs_text([job], form)


def jobs_text(jobs: Sequence[Job], form: OutputFormat) -> str:
    """Many jobs; empty where there is nothing to write."""
    from jobworker_cli.render import job_object, jobs_json

    match form:
        case OutputFormat.JSON:
            return jobs_json(jobs)
        case OutputFormat.YAML:
            return _yaml([job_object(job) for job in jobs])
        case OutputFormat.WIDE:
            from jobworker_cli.table import wide

            return "\n".join(wide(jobs))
        case OutputFormat.ID:
            return "\n".join(job.id for job in jobs)


def _yaml(value: object) -> str:
    import json

    import yaml

    plain = json.loads(json.dumps(value))  # without enumerations
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=False, default_flow_style=False).rstrip("\n")
