"""A job to vary."""

from __future__ import annotations

from datetime import UTC, datetime

from jobworker_cli.models import Job, JobState

CREATED = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
JOB = Job(
    id="3f2a91c0-0000-4000-8000-000000000000",
    argv=("sh", "-c", "echo hi"),
    owner="ann",
    state=JobState.RUNNING,
    created_at=CREATED,
)
