"""What a start may be given besides the command: named once, for the client and the commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from jobworker_cli.fence import Isolation, Limits
from jobworker_cli.models import OutputLimit, RestartPolicy, TerminalSize


class StartOptions(TypedDict, total=False):
    """The keyword arguments of ``Client.start``."""

    cwd: str
    """An absolute path on the server; empty: the home directory of the user that the server runs as."""
    env: Mapping[str, str] | None
    """Added to a clean default environment."""
    labels: Mapping[str, str] | None
    """To find the job by."""
    timeout: float | None
    """Seconds that the job may run; None: for ever."""
    stdin: bool
    """Give it a standard input, to write to it with ``attach``; otherwise it reads the end of file."""
    terminal: TerminalSize | None
    """Give it a terminal of this size, which is its input, too."""
    restart: RestartPolicy | None
    """When to execute the command again; None: never."""
    priority: int
    """-1000 to 1000; of jobs that wait for their turn, that with the highest is started first."""
    start_deadline: float | None
    """Seconds within which it must be started; None: it may wait for ever."""
    output_limit: OutputLimit | None
    """How much of its output is kept; None: all."""
    limits: Limits | None
    """What it may use; None: what the server has as its default."""
    isolation: Isolation | None
    """How it is kept apart from the host; None: not at all."""
    user: str
    """The Unix user that it runs as, by name or number; empty: the server's."""
    groups: Sequence[str]
    """Its supplementary groups, by name or number; empty: those of the user."""
    request_id: str
    """Chosen by the caller, at most 128 characters: a start with the id of an earlier one answers with the job that
    that one started. Empty: one of its own, which makes a start that is sent again by itself safe."""
