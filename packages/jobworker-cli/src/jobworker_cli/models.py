"""What the server tells of jobs and their output, as plain Python values. Times are aware, in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from jobworker_cli.fence import Isolation, Limits, Usage

DEFAULT_GRACE_SECONDS = 10.0
"""How long a job has to end after SIGTERM."""


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    """Accepted, and waiting for its turn: as many jobs run as may."""
    STARTING = "starting"
    """Accepted; its command has not been executed yet."""
    RUNNING = "running"
    """Its command was executed, and something of the job is still there."""
    EXITED = "exited"
    """Ended by itself, or by a signal that jobworker did not send."""
    STOPPED = "stopped"
    """Ended by jobworker: a user's stop, or a limit such as the timeout."""
    FAILED = "failed"
    """Its command could not be executed."""
    LOST = "lost"
    """Its host crashed; how it ended is not known."""

    @property
    def ended(self) -> bool:
        """Whether a job in this state will never change again."""
        return self not in (JobState.QUEUED, JobState.STARTING, JobState.RUNNING)


class Reason(StrEnum):
    """Why a job ended."""

    EXITED = "exited"
    STOPPED = "stopped"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    OUTPUT_LIMIT = "output_limit"
    FAILED_TO_START = "failed_to_start"
    LOST = "lost"


class EventType(StrEnum):
    """What happened to a job."""

    CREATED = "created"
    """It was accepted."""
    STARTED = "started"
    """Its command was executed."""
    OUTPUT_TRUNCATED = "output_truncated"
    """Output was dropped to keep its limit, for the first time."""
    ENDED = "ended"
    """It has ended, in whatever way."""
    DELETED = "deleted"
    """It was removed."""


class Stream(StrEnum):
    """One of a job's two output streams."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """The size of a terminal, in characters; each 1 to 65535."""

    rows: int = 24
    columns: int = 80


class OutputLimitAction(StrEnum):
    """What happens when a job has written as much output as its limit allows."""

    STOP = "stop"
    """The job is stopped; the output up to the limit is kept."""
    DROP_OLDEST = "drop_oldest"
    """The job goes on; the newest output is kept."""


@dataclass(frozen=True, slots=True)
class OutputLimit:
    """A bound on the output of both streams together."""

    bytes: int
    """At least 65536."""
    action: OutputLimitAction = OutputLimitAction.STOP


_TOLD_BY_STATE = (None, Reason.EXITED, Reason.STOPPED, Reason.FAILED_TO_START, Reason.LOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """Executes a command again that failed by itself."""

    max_restarts: int
    """Most times that it is executed again, 1 to 1000."""
    backoff: float = 1.0
    """Seconds of pause before the first restart; each further pause is twice as long."""
    max_backoff: float = 300.0
    """The longest pause, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One execution of a job's command."""

    number: int
    """1 is the first."""
    started_at: datetime
    ended_at: datetime | None = None
    """When nothing of it was left."""
    exit_code: int | None = None
    """0 to 255, where the main process exited."""
    signal: int | None = None
    """The signal's number, where one ended the main process."""
    output_offset: int = 0
    """Where its output begins in the job's output; it ends where the next attempt's begins."""
    error: str = ""
    """Why the command could not be executed this time, where it couldn't."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it was at one moment."""

    id: str
    argv: tuple[str, ...]
    """The command and its arguments."""
    owner: str
    """The name of the client that started it."""
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    """What it may use: what the start asked for, completed with the server's defaults."""
    timeout: float | None = None
    """Seconds that it may run from its start; None: for ever."""
    state: JobState
    created_at: datetime
    started_at: datetime | None = None
    """When the command was executed."""
    ended_at: datetime | None = None
    exit_code: int | None = None
    """0 to 255, where the main process exited."""
    signal: int | None = None
    """The signal's number, where one ended the main process."""
    reason: Reason | None = None
    """Why the job ended; None before."""
    stdin: bool = False
    """Whether it was started with a standard input that can be written to."""
    tty: bool = False
    """Whether it was started with a terminal."""
    error: str = ""
    """Why the command could not be executed, where it couldn't."""
    priority: int = 0
    """Of queued jobs that with the highest is started first."""
    output_bytes: int = 0
    """Output captured until then, of both streams together, what was dropped since included."""
    output_dropped_bytes: int = 0
    """Output dropped to keep the limit: the first bytes, or, where the limit stops the job, what it wrote beyond it."""
    output_limit: OutputLimit | None = None
    attempts: tuple[Attempt, ...] = ()
    """The executions of its command, the first one first; at most the last 100."""
    usage: Usage | None = None
    """What it has used until then; None: nothing is known of that."""
    isolation: Isolation | None = None
    """How it is kept apart from the host; None: not at all."""
    user: str = ""
    """The Unix user that it runs as, as it was given; empty: the server's."""
    groups: tuple[str, ...] = ()
    """Its supplementary groups, as they were given; empty: those that its user has."""
    out_of_memory_process: str = ""
    """The process that was killed, where the job ended for the reason ``out_of_memory`` and the host told which."""
    no_new_privileges: bool = False
    """Gains no privilege by executing a program, such as sudo: the server's policy does not allow it."""

    def describe(self) -> str:
        """The status in a few words, such as ``exited (signal: 9, out of memory)``."""
        details = []
        if self.exit_code is not None:
            details.append(f"exit code: {self.exit_code}")
        if self.signal is not None:
            details.append(f"signal: {self.signal}")
        if self.reason not in _TOLD_BY_STATE:
            details.append(str(self.reason).replace("_", " "))
        if self.error:
            details.append(self.error)
        return f"{self.state} ({', '.join(details)})" if details else str(self.state)


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of a list of jobs, the newest first."""

    jobs: tuple[Job, ...]
    next_page_token: str
    """For the next page; empty: this was the last one."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Output that is not there any more: it was dropped to keep the job's output limit."""

    begin: int
    """The offset of the first byte that is missing."""
    end: int
    """The offset of the first byte after them."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of bytes that a job wrote to one stream, as they arrived."""

    data: bytes
    """Empty only where nothing but a gap is to be told."""
    stream: Stream
    offset: int
    """Where the first of these bytes stands in the output of both streams, in order of arrival."""
    time: datetime
    """When the bytes were captured."""
    gap: Gap | None = None
    """What is missing just before this chunk, where something is."""

    @property
    def end(self) -> int:
        """The offset of what comes after this chunk."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a job."""

    type: EventType | None
    """None: something that this version does not know."""
    time: datetime
    job_id: str
    job: Job | None
    """As it was when the event was sent; None where it was deleted by then."""
    cursor: str
    """To go on after this event."""
