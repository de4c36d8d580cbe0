"""Which part of a job's output a reader is to give: named once, for both faces of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from jobworker_lib.errors import InvalidArgumentError
from jobworker_lib.job.timestamps import ns_from_utc
from jobworker_lib.output.format import STREAMS, Stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


class OutputOptions(TypedDict, total=False):
    """The keyword arguments of :meth:`jobworker_lib.Job.output`. Offsets count the bytes of both streams together."""

    offset: int
    """Where to begin, by default at the first byte; one beyond the end waits for it."""
    follow: bool
    """Go on until the job has ended (the default); otherwise end with what is there when the reader begins."""
    stream: Stream | None
    """Only this one, by default both."""
    since: datetime | None
    """Leave out what was captured before this moment, which must be aware of its time zone."""
    tail: int | None
    """Begin with the last so many lines of what is there when the reader begins, before ``end`` where that is given; 0:
    with what comes from then on. A last line without a newline is one. Not together with ``offset`` or ``since``."""
    end: int | None
    """Where to end: before the byte at this offset."""
    batch_bytes: Callable[[], int] | None
    """Tells before each batch how many bytes of data it may have at most; None: 1 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The part of the output that was asked for, checked; see :class:`OutputOptions`."""

    offset: int = 0
    follow: bool = True
    stream: Stream | None = None
    since: datetime | None = None
    tail: int | None = None
    end: int | None = None
    batch_bytes: Callable[[], int] | None = None

    def __post_init__(self) -> None:
        """Refuse what can't be used.

        Raises:
            InvalidArgumentError: something in it can't be.
        """
        if self.offset < 0:
            raise InvalidArgumentError("offset", "give 0 or more bytes")
        if self.end is not None and self.end < 0:
            raise InvalidArgumentError("end", "give 0 or more bytes")
        if self.tail is not None and self.tail < 0:
            raise InvalidArgumentError("tail", "give 0 or more lines")
        if self.tail is not None and (self.offset or self.since):
            raise InvalidArgumentError("tail", "give it without an offset and a time to begin at")
        if self.since is not None and self.since.tzinfo is None:
            raise InvalidArgumentError("since", "give a time with its time zone")
        if self.stream is not None and self.stream not in STREAMS:
            raise InvalidArgumentError("stream", f"give one of {', '.join(STREAMS)}")

    @property
    def since_ns(self) -> int:
        """The moment in nanoseconds since the epoch; 0 where none was given."""
        return 0 if self.since is None else ns_from_utc(self.since)

    @property
    def stream_number(self) -> int | None:
        """The stream as records have it."""
        return None if self.stream is None else STREAMS.index(self.stream)
