"""A small Python client of a jobworker server.

::

    from jobworker_cli.client import Client

    with Client.from_config() as client:  # as the command line finds its server
        job = client.start(["sh", "-c", "echo hi; exit 3"])
        for chunk in client.output(job.id):
            print(chunk.stream, chunk.data)
        print(client.wait(job.id).exit_code)

:mod:`jobworker_cli.client.aio` is the same, awaited. Every method raises the errors of ``jobworker_cli.errors``:
``NoAnswerError`` where the server can't be reached or doesn't answer in time, ``NotAuthenticatedError`` and
``PermissionDeniedError``, and what its own documentation names.
"""

from __future__ import annotations

from jobworker_cli.client.attachment import Attachment
from jobworker_cli.client.output_options import OutputOptions
from jobworker_cli.client.sync import Client
from jobworker_cli.credentials import Credentials
from jobworker_cli.errors import ClientError
from jobworker_cli.fence import IoLimit, Isolation, Limits, Network, Sample, Usage
from jobworker_cli.models import (
    Attempt,
    Chunk,
    Event,
    EventType,
    Gap,
    Job,
    JobPage,
    JobState,
    OutputLimit,
    OutputLimitAction,
    Reason,
    RestartPolicy,
    Stream,
    TerminalSize,
)
from jobworker_cli.starting import StartOptions

__all__ = [
    "Attachment",
    "Attempt",
    "Chunk",
    "Client",
    "ClientError",
    "Credentials",
    "Event",
    "EventType",
    "Gap",
    "IoLimit",
    "Isolation",
    "Job",
    "JobPage",
    "JobState",
    "Limits",
    "Network",
    "OutputLimit",
    "OutputLimitAction",
    "OutputOptions",
    "Reason",
    "RestartPolicy",
    "Sample",
    "StartOptions",
    "Stream",
    "TerminalSize",
    "Usage",
]
