"""What a start may be given besides the command: named once, for both faces of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from jobworker_lib.job.isolation import Isolation
    from jobworker_lib.job.limits import Limits
    from jobworker_lib.job.restart import RestartPolicy
    from jobworker_lib.job.terminal import TerminalSize
    from jobworker_lib.output.limit import OutputLimit


class StartOptions(TypedDict, total=False):
    """The keyword arguments of :meth:`jobworker_lib.Engine.start`; None stands for the default."""

    cwd: str | os.PathLike[str] | None
    """The working directory, by default this process's."""
    env: Mapping[str, str] | None
    """Variables added to a clean default environment (PATH, HOME, USER, LOGNAME, SHELL, LANG); nothing else of this
    process's environment is handed on. ``env=os.environ`` hands on all of it."""
    timeout: float | None
    """Seconds after which the job is stopped, counted from its start."""
    limits: Limits | None
    """What the job may use."""
    isolation: Isolation | None
    """How it is kept apart from the host, by default not at all."""
    user: str | None
    """The Unix user that it runs as, by name or number; by default that of this process. HOME, USER, LOGNAME and SHELL
    follow. Only root can start jobs of other users."""
    groups: Sequence[str] | None
    """Its supplementary groups, by name or number, in place of those that ``user`` has."""
    new_privileges: bool | None
    """Whether it may gain privileges by executing a program, such as a setuid one or one with file capabilities, by
    default True. False costs nothing, and needs no isolation (``PR_SET_NO_NEW_PRIVS``)."""
    labels: Mapping[str, str] | None
    """To find it by."""
    owner: str | None
    """Whose it is, by default the user's name."""
    request_id: str | None
    """A second start of the same owner with the same id gives the job of the first."""
    stdin: bool
    """Whether it has a standard input that can be written to, see :meth:`jobworker_lib.Job.attach`."""
    terminal: TerminalSize | None
    """The size of its terminal, which is its input too; None: it has none. ``env`` may set ``TERM``, by default
    ``xterm-256color``."""
    output_limit: OutputLimit | None
    """How much of its output is kept, by default all."""
    priority: int
    """Of queued jobs that with the highest is started first, and of equal ones the oldest: -1000 to 1000, default 0."""
    start_deadline: float | None
    """Seconds within which it must be started; one that is queued still then fails. By default it may wait for ever."""
    running_per_owner: int | None
    """Most jobs of its owner that may run with it, itself included. Beyond that it is queued or refused as
    :class:`jobworker_lib.Bounds` say, whose own bounds hold besides. By default those alone."""
    queued_per_owner: int | None
    """Most jobs of its owner that may wait for their turn with it, itself included: where it would have to wait beyond
    that, it is refused. By default the :class:`jobworker_lib.Bounds` alone say how many wait."""
    restart: RestartPolicy | None
    """When its command is executed again, by default never."""
