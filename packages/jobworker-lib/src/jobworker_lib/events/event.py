"""One thing that happened to a job, and the place in the log after it.

An event is a line of JSON. A line that is not whole is no JSON, so what a crash or a full disk cut off is told from
it, and passed over.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Self

from jobworker_lib.errors import InvalidArgumentError
from jobworker_lib.job.status import State
from jobworker_lib.job.timestamps import utc_from_ns

if TYPE_CHECKING:
    from datetime import datetime

_ENCODER = json.JSONEncoder(separators=(",", ":"))
_CURSOR = re.compile(r"([0-9a-f]{16})-([0-9]{1,19})")


class EventType(StrEnum):
    """What happened."""

    CREATED = "created"
    """The job was accepted."""
    STARTED = "started"
    """Its command was executed."""
    OUTPUT_TRUNCATED = "output_truncated"
    """Output was dropped to keep its limit, for the first time."""
    ENDED = "ended"
    """It has ended, in whatever way."""
    DELETED = "deleted"
    """It was removed."""


class Cursor(NamedTuple):
    """A place in a log: which log, and how many bytes were ever written to it before."""

    log_id: str
    offset: int

    def __str__(self) -> str:
        return f"{self.log_id}-{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The cursor that ``str`` was made from. InvalidArgumentError for what is none."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise InvalidArgumentError("cursor", "give the cursor that came with an event")
        return cls(match[1], int(match[2]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a job."""

    type: EventType
    job_id: str
    time_ns: int
    """When, in nanoseconds since the epoch. The order of events is that of the log, also where a clock was set back."""
    owner: str
    """Whose job it is."""
    state: State | None
    """The state that the job was in then; None where the event does not change it."""
    cursor: str = ""
    """To go on after this event."""

    @property
    def time(self) -> datetime:
        """When it happened, in UTC."""
        return utc_from_ns(self.time_ns)

    def to_line(self) -> bytes:
        """The line that stands for it in the log."""
        fields = {
            "type": self.type,
            "job_id": self.job_id,
            "time_ns": self.time_ns,
            "owner": self.owner,
            "state": self.state,
        }
        return _ENCODER.encode(fields).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes, cursor: str) -> Self | None:
        """The event of a line; None where the line holds none."""
        try:
            fields = json.loads(line)
            state = fields["state"]
            job_id, owner, time_ns = fields["job_id"], fields["owner"], fields["time_ns"]
            if not (isinstance(job_id, str) and isinstance(owner, str) and isinstance(time_ns, int)):
                return None
            return cls(
                type=EventType(fields["type"]),
                job_id=job_id,
                time_ns=time_ns,
                owner=owner,
                state=None if state is None else State(state),
                cursor=cursor,
            )
        except (ValueError, KeyError, TypeError):  # cut off, the head of a segment, or of a later version
            return None
