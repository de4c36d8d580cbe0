"""A job's cgroup, whichever version of the interface it has."""

from __future__ import annotations

import errno
import os
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from jobworker_lib.cgroup import files, populated
from jobworker_lib.errors import LimitNotEnforceableError
from jobworker_lib.host import tree
from jobworker_lib.job.start_errors import CGROUP_STEP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import ExitStack

    from jobworker_lib.job.limits import Limits
    from jobworker_lib.job.usage import Usage
    from jobworker_lib.shim.enter import Step

_REMOVAL_SECONDS = 5.0
_ROUND_SECONDS = 0.1
"""After which what has not died is killed again."""
_PAUSE_SECONDS = 0.01
"""Between looks at a cgroup that tells nobody when it is empty."""


class Setting(NamedTuple):
    """What is written to a file of a cgroup for a limit."""

    limit: str
    controller: str
    file: str
    value: str


class Group(ABC):
    """The directories that are one job's cgroup, by controller; processes enter it, and it dies with the job."""

    version: ClassVar[int]

    def __init__(self, directories: Mapping[str, str]) -> None:
        self.directories = dict(directories)

    def make(self) -> None:
        """Make what is not there. OSError of mkdir(2)."""
        for directory in set(self.directories.values()):
            os.makedirs(directory, exist_ok=True)

    def limit(self, limits: Limits, cwd: str) -> None:
        """Set the limits of the whole job; ``cwd`` tells of which disk, where they don't name one.

        Raises:
            LimitNotEnforceableError: this host can't enforce one.
        """
        for setting in self.settings(limits, cwd):
            directory = self.directories.get(setting.controller)
            if directory is None:
                raise LimitNotEnforceableError(
                    setting.limit, f"the cgroup controller {setting.controller} is of no use here"
                )
            try:
                files.write(directory, setting.file, setting.value)
            except OSError as error:
                raise LimitNotEnforceableError(
                    setting.limit, f"{setting.value!r} can't be written to {directory}/{setting.file}: {error.strerror}"
                ) from None

    @abstractmethod
    def settings(self, limits: Limits, cwd: str) -> list[Setting]:
        """What is written for limits. LimitNotEnforceableError for a disk that is none."""

    @abstractmethod
    def entry(self, opened: ExitStack) -> tuple[Callable[[], int], list[Step]]:
        """How a process gets into it: what forks one, and the first steps that this takes.

        Neither needs to see the cgroup's directories, for the process may have another view of the host by then; what
        they have ``opened`` for that is to be closed afterwards.
        """

    @abstractmethod
    def usage(self) -> Usage:
        """What its processes have used until now."""

    @abstractmethod
    def out_of_memory_kills(self) -> int:
        """How many of its processes the kernel has killed for want of memory."""

    def pressure(self, resource: str) -> float | None:
        """What PSI tells of ``cpu``, ``memory`` or ``io``, in the hierarchy of version 2 alone; None: nothing."""
        for line in (files.read(self.unified or "/dev/null", f"{resource}.pressure") or "").splitlines():
            kind, average, *_ = line.split()
            if kind == "some":
                return float(average.removeprefix("avg10="))
        return None

    def watch_out_of_memory(self) -> int | None:
        """A descriptor that can be read when memory is short, where the kernel doesn't kill the whole job by itself."""
        return None

    @property
    @abstractmethod
    def unified(self) -> str | None:
        """Its directory in the hierarchy of version 2, where there is one."""

    @abstractmethod
    def _kill(self, processes: Callable[[], list[int]]) -> None:
        """SIGKILL to all that are in it."""

    def kill(self) -> None:
        """SIGKILL to all that are in it, those that are just being forked too."""
        with suppress(FileNotFoundError):
            self._kill(self.processes)

    def processes(self) -> list[int]:
        """The pids that are in it, and in cgroups that the job has made below."""
        found: dict[int, None] = {}
        for directory in set(self.directories.values()):
            for below, _, _ in os.walk(directory):
                found.update(dict.fromkeys(map(int, (files.read(below, "cgroup.procs") or "").split())))
        return list(found)

    def remove(self) -> bool:
        """Kill what is in it and remove it, with what the job has made below. False: something would not die."""
        give_up_at = time.monotonic() + _REMOVAL_SECONDS
        for directory in set(self.directories.values()):
            while not _is_removed(directory):
                if time.monotonic() > give_up_at:
                    return False
                self._end_all()
        return True

    def _end_all(self) -> None:
        """Kill what is in it, and return when that has come to its end, or after a while."""
        self.kill()
        told = self.unified is not None and populated.wait(self.unified, _ROUND_SECONDS)
        if not told or self.processes():
            kill_all(self.processes)  # a job of root may have left the hierarchy through which the others were killed
            time.sleep(_PAUSE_SECONDS)

    def _kill_frozen(self, directory: str, file: str, states: tuple[str, str]) -> None:
        """SIGKILL to each while all are frozen, so that none can fork: the states are written to a file for that."""
        files.write(directory, file, states[0])
        try:
            kill_all(self.processes)
        finally:
            files.write(directory, file, states[1])


def _is_removed(directory: str) -> bool:
    for below, _, _ in os.walk(directory, topdown=False):
        try:
            os.rmdir(below)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
    return True


def join_step(directories: Iterable[str], opened: ExitStack) -> Step:
    """Let a process enter cgroups by itself."""
    descriptors = []
    for directory in directories:
        descriptors.append(os.open(os.path.join(directory, "cgroup.procs"), os.O_WRONLY | os.O_CLOEXEC))
        opened.callback(os.close, descriptors[-1])

    def join() -> None:
        for descriptor in descriptors:
            os.write(descriptor, b"0")

    return CGROUP_STEP, join


def kill_all(processes: Callable[[], list[int]]) -> None:
    """SIGKILL to each, where the kernel has nothing better: what forks meanwhile may escape."""
    tree.kill(processes)
