"""What readers of output are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobworker_lib.job.timestamps import utc_from_ns

if TYPE_CHECKING:
    from datetime import datetime

    from jobworker_lib.output.format import Stream


@dataclass(frozen=True, slots=True)
class Gap:
    """Output that is not there any more: it was dropped to keep the job's output limit."""

    begin: int
    """The offset of the first byte that is missing."""
    end: int
    """The offset of the first byte after them."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of bytes that a job wrote to one stream, as they arrived; not split at lines."""

    data: bytes
    """Empty only where nothing but a gap is to be told: what follows it is not of the stream, or not there yet."""
    stream: Stream
    offset: int
    """Where the first byte stands in the output, counted over both streams in order of arrival."""
    time_ns: int
    """When it was captured, in nanoseconds since the epoch."""
    gap: Gap | None = None
    """What is missing just before this chunk, where something is."""

    @property
    def time(self) -> datetime:
        """When it was captured, in UTC."""
        return utc_from_ns(self.time_ns)

    @property
    def end(self) -> int:
        """The offset to go on from after this chunk."""
        return self.offset + len(self.data)
