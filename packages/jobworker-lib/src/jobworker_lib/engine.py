"""The engine for synchronous programs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

from jobworker_lib.core import Core
from jobworker_lib.errors import CommandFailedError, JobworkerError
from jobworker_lib.events.watch import Watch
from jobworker_lib.interaction.attachment import Attachment
from jobworker_lib.interruption import Uninterrupted
from jobworker_lib.shim.ending import DEFAULT_GRACE_SECONDS
from jobworker_lib.store.page import Page
from jobworker_lib.store.retention import AS_BEFORE
from jobworker_lib.waiting.drivers import block, done, until
from jobworker_lib.waiting.watcher import Change

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Unpack

    from jobworker_lib.job.spec import Argument
    from jobworker_lib.job.start_options import StartOptions
    from jobworker_lib.job.status import JobStatus, State
    from jobworker_lib.output.chunk import Chunk
    from jobworker_lib.output.format import Stream
    from jobworker_lib.output.selection import OutputOptions
    from jobworker_lib.queue.bounds import Bounds
    from jobworker_lib.store.retention import GivenRetention

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunResult:
    """What :meth:`Engine.run` gives, as subprocess.run does."""

    status: JobStatus
    stdout: bytes
    stderr: bytes

    @property
    def exit_code(self) -> int | None:
        """The exit code; None where a signal ended the command."""
        return self.status.exit_code

    @classmethod
    def of(cls, status: JobStatus, chunks: Iterable[Chunk], *, check: bool) -> Self:
        """Join a job's output. CommandFailedError where ``check`` is set and it did not exit with 0."""
        parts: dict[Stream, list[bytes]] = {"stdout": [], "stderr": []}
        for chunk in chunks:
            parts[chunk.stream].append(chunk.data)
        result = cls(status, b"".join(parts["stdout"]), b"".join(parts["stderr"]))
        if check and status.exit_code != 0:
            raise CommandFailedError(result)
        return result


class Engine:
    """Runs, watches and stops jobs that are kept in a state directory.

    Closing it leaves its jobs running, and opening the same directory again finds them. Any number of engines, in any
    number of processes of one user, may be open on one directory. Safe to use from several threads.
    """

    def __init__(
        self,
        state_dir: str | os.PathLike[str] | None = None,
        *,
        bounds: Bounds | None = None,
        retention: GivenRetention = AS_BEFORE,
        hidden_paths: Iterable[str | os.PathLike[str]] = (),
        cgroup: str | None = None,
    ) -> None:
        """Open a state directory, by default ``$XDG_STATE_HOME/jobworker``; it is made where it is missing.

        ``bounds`` hold from now on for all who start jobs there, until others are set; None leaves them as they are.
        ``retention`` tells which ended jobs are kept there, from now on until another is given; None keeps all. Where
        it is not given, the last one holds, and where none ever was, :class:`Retention` without arguments.
        ``hidden_paths`` are files and directories, such as keys, that jobs which this engine starts find empty, like
        the state directory, where their isolation gives them a view of the host of their own.
        ``cgroup`` is the path of the cgroup, such as ``/jobs``, in which jobs with limits of the whole job get theirs;
        by default it is found from where this process is.

        Raises:
            StateDirectoryError: it can't be used.
            InvalidArgumentError: the bounds or the retention can't be used.
        """
        self._core = Core(state_dir, bounds, retention, hidden_paths, cgroup)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the state directory; jobs run on."""
        self._core.close()

    def start(self, argv: Sequence[Argument], **options: Unpack[StartOptions]) -> Job:
        """Start a job and return once its command was executed (execve(2)), or it is queued: see :class:`Bounds`.

        Args:
            argv: the command and its arguments, executed as they stand: no shell.
            options: see :class:`jobworker_lib.StartOptions`.

        Raises:
            InvalidArgumentError: an argument can't be used.
            LimitNotEnforceableError: this host can't enforce a limit.
            QuotaExceededError: as many jobs run, and wait, as may.
            StartError: the command could not be executed; its subclasses tell why.
            StartLostError: of these the one that does not know whether it was executed.
            EngineError: a fault of the engine.
        """
        job_id = self._core.start(argv, **options)
        return Job(self._core, until(self._core, job_id, lambda: self._core.poll_started(job_id)))

    def get(self, job_id: str) -> Job:
        """The job of this id. InvalidArgumentError for what is no UUID, JobNotFoundError."""
        self._core.directory(job_id)
        return Job(self._core, job_id)

    def list(
        self,
        *,
        owner: str | None = None,
        labels: Mapping[str, str] | None = None,
        state: State | str | Iterable[State | str] | None = None,
        id_prefix: str | None = None,
        limit: int | None = None,
        page_token: str = "",
    ) -> Page[Job]:
        """Jobs, the newest first: all, or a page of ``limit``. Conditions are joined by and.

        A page that is not the last may have fewer jobs, even none: where it is asked for several labels that many jobs
        have, but few have together, it ends before that takes long.

        Raises:
            InvalidArgumentError: an argument can't be used.
        """
        statuses, token = self._core.list(
            owner=owner, labels=labels, state=state, id_prefix=id_prefix, limit=limit, page_token=page_token
        )
        return Page([Job(self._core, status.id) for status in statuses], statuses, token)

    def wait(
        self,
        jobs: Iterable[Job | str],
        *,
        any: bool = False,  # noqa: A002 - as the API has it
        timeout: float | None = None,
    ) -> Sequence[JobStatus]:
        """Wait until all of the jobs have ended, or with ``any`` one of them: those that have, in the order given.

        Waiting costs nothing while the jobs print.

        Raises:
            TimeoutError: after ``timeout`` seconds.
            JobNotFoundError: there is no such job, or it was deleted meanwhile.
        """
        ends = self._core.ends(_ids(jobs), wait_for_any=any)
        if (found := ends.poll()) is not None:
            return found
        return block(self._core, ends.places(), ends.poll, timeout=timeout, late="the jobs have not ended")

    def watch(
        self, cursor: str | None = None, *, owner: str | None = None, jobs: Iterable[Job | str] | None = None
    ) -> Watch:
        """What happens to jobs, in order, as it happens: an iterator that goes on for ever, and a context manager.

        Args:
            cursor: that of an event (or of a :class:`Watch`), to go on after it; None: from now on.
            owner: only whose jobs; None: everyone's.
            jobs: only these; None: all.

        Raises:
            InvalidArgumentError: what is given is no cursor.
            CursorExpiredError: the events after it are not kept any more.
        """
        return Watch(self._core, self._core.feed(cursor, owner, None if jobs is None else _ids(jobs)))

    def run(self, argv: Sequence[Argument], *, check: bool = False, **options: Unpack[StartOptions]) -> RunResult:
        """Start a job, wait for it and give its output, as subprocess.run does; interrupted, it stops the job.

        Raises:
            CommandFailedError: ``check`` is set and the command did not exit with 0.
            StartError: as :meth:`start`, as are the others.
        """
        starting = Uninterrupted(lambda: self.start(argv, **options))
        try:
            job = starting.result()
            chunks = list(job.output())
            return RunResult.of(job.wait(), chunks, check=check)
        except BaseException:  # what a signal's handler raises can be anything
            with suppress(JobworkerError):  # it may not have started, or have ended
                if started := starting.settle():
                    started.stop()
            raise


def _ids(jobs: Iterable[Job | str]) -> list[str]:
    return [job if isinstance(job, str) else job.id for job in jobs]


class Job:
    """One job of an engine."""

    def __init__(self, core: Core, job_id: str) -> None:
        self._core = core
        self.id = job_id

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def status(self, *, usage: bool = True) -> JobStatus:
        """The job as it is now. JobNotFoundError where it was deleted.

        Without ``usage`` it is not told what a job uses that is running, which takes most of the time.
        """
        return self._core.status(self.id, usage=usage)

    def wait(self, timeout: float | None = None) -> JobStatus:
        """The job, once it has ended. TimeoutError after ``timeout`` seconds, JobNotFoundError."""
        return until(self._core, self.id, lambda: self._core.poll_ended(self.id), timeout=timeout)

    def stop(self, *, grace: float = DEFAULT_GRACE_SECONDS, force: bool = False) -> JobStatus:
        """SIGTERM to every process of the job, SIGKILL to what is left after ``grace`` seconds; return when all ended.

        ``force`` kills at once. InvalidArgumentError, JobNotRunningError, JobNotFoundError.
        """
        done(self._core, self._core.stop(self.id, grace=grace, force=force))
        return self.wait()

    def signal(self, signal: str | int) -> None:
        """Send a signal, such as ``"SIGHUP"``, to the main process. InvalidArgumentError, JobNotRunningError."""
        done(self._core, self._core.signal(self.id, signal))

    def set_timeout(self, timeout: float | None) -> None:
        """Change how long the job may run: seconds from its start, or None, for ever.

        Where so much has passed already, it ends at once, as timed out. InvalidArgumentError, JobNotRunningError,
        JobNotFoundError.
        """
        done(self._core, self._core.set_timeout(self.id, timeout))

    def attach(self, *, watch_only: bool = False, **options: Unpack[OutputOptions]) -> Attachment:
        """Join the job: write to its standard input or terminal, and see its output.

        It may be starting still, or have ended: then it takes no input any more.

        Args:
            watch_only: want nothing but its output, which every job has.
            options: which part of its output, see :class:`jobworker_lib.OutputOptions`; ``tail=0`` is what comes from
                now on.

        Raises:
            InvalidArgumentError: an option can't be used.
            NoInputError: the job was started without ``stdin`` and ``terminal``.
            JobNotFoundError: the job was deleted.
        """
        job_input, reader = self._core.attach(self.id, watch_only=watch_only, **options)
        reader.begin()
        return Attachment(self._core, self, job_input, reader)

    def delete(self) -> None:
        """Remove the ended job with its output. JobRunningError, JobNotFoundError."""
        self._core.delete(self.id)

    def output(self, **options: Unpack[OutputOptions]) -> Iterator[Chunk]:
        """The output, from its first byte until the job has ended, or the part of it that is asked for.

        Args:
            options: see :class:`jobworker_lib.OutputOptions`.

        Raises:
            InvalidArgumentError: an argument can't be used.
            JobNotFoundError: the job was deleted.
        """
        for batch in self.output_batches(**options):
            yield from batch

    def output_batches(self, **options: Unpack[OutputOptions]) -> Iterator[list[Chunk]]:
        """As :meth:`output`, but all that is there at once, by default at most 1 MiB of data a batch."""
        with self._core.reader(self.id, **options) as reader:
            while batch := until(self._core, self.id, reader.next_batch, Change.OUTPUT):
                yield batch
