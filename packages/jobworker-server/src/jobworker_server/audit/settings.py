"""Where the audit goes, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_MAX_BYTES = 100 << 20
DEFAULT_KEEP = 10
SYSLOG = Path("/dev/log")


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """A file or the system log; neither: there is no audit."""

    file: Path | None = None
    max_bytes: int = DEFAULT_MAX_BYTES
    """The file is begun anew before it is longer than this."""
    keep: int = DEFAULT_KEEP
    """How many of the files before it are kept."""
    syslog: Path | None = None
    """The socket of the system log."""
    argv: bool = False
    """Whether the command lines of starts are told. They may hold secrets."""
