"""Jobs of every kind, of which it is known beforehand what they write and how they end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from conformance.processes import wait_until
from jobworker_lib import Engine, Job, JobNotRunningError, StartError, StartLostError, State

LABEL = "kind"
REQUEST = "request"

_ROUNDS = "for i in 1 2 3 4; do printf 'out %s\\n' $i; printf 'err %s\\n' $i >&2; sleep 0.02; done"
_ROUNDS_OUT, _ROUNDS_ERR = (b"".join(b"%s %d\n" % (name, i) for i in range(1, 5)) for name in (b"out", b"err"))
_DEAF_DAEMON = """setsid sh -c 'trap "" TERM; echo ready; exec sleep 1000' & exec sleep 1000"""


@dataclass(frozen=True)
class Kind:
    """What a job runs, and what comes of it when nothing goes wrong."""

    name: str
    script: str
    state: State
    exit_code: int | None = None
    signal: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    is_stopped: bool = False

    def __str__(self) -> str:
        return self.name

    def argv(self, runs: Path) -> list[str]:
        """Its command, which first of all notes in ``runs`` that it was executed."""
        if self.state is State.FAILED:
            return [self.script]
        return ["sh", "-c", f'echo $JOBWORKER_JOB_ID >> "$1"; {self.script}', "sh", str(runs)]


LIVES = (
    Kind("exits", "echo out; echo err >&2; exit 3", State.EXITED, 3, None, b"out\n", b"err\n"),
    Kind("talks", f"{_ROUNDS}; kill -9 $$", State.EXITED, None, 9, _ROUNDS_OUT, _ROUNDS_ERR),
    Kind("lingers", "(sleep 0.1; echo late) & exit 0", State.EXITED, 0, None, b"late\n"),
    Kind("is stopped", _DEAF_DAEMON, State.STOPPED, None, 15, b"ready\n", is_stopped=True),
    Kind("fails", "/no/such/command", State.FAILED),
)
GREETING = Kind("greets", "echo hi", State.EXITED, 0, None, b"hi\n")
KINDS = {kind.name: kind for kind in (*LIVES, GREETING)}


@dataclass
class Told:
    """What an engine has said before something was killed: it must stay so."""

    started: list[str] = field(default_factory=list)
    ended: dict[str, str] = field(default_factory=dict)
    """The status as it was told, as repr gives it."""
    output: dict[str, bytes] = field(default_factory=dict)
    deleting: set[str] = field(default_factory=set)
    """What was asked to be deleted: it may be there still, or not."""
    deleted: list[str] = field(default_factory=list)


@dataclass
class Life:
    """Where one trial takes place, and what was said in it."""

    path: Path
    told: Told = field(default_factory=Told)

    @property
    def state_dir(self) -> Path:
        return self.path / "state"

    @property
    def runs(self) -> Path:
        """Where each job that is executed leaves its id."""
        return self.path / "runs"

    @property
    def log(self) -> Path:
        """Of strace."""
        return self.path / "strace.log"


def start(engine: Engine, kind: Kind, runs: Path, owner: str | None = None) -> Job:
    """Start a job under the one request id; where its command can't be executed, the job that is kept of it."""
    try:
        return engine.start(kind.argv(runs), labels={LABEL: kind.name}, request_id=REQUEST, owner=owner)
    except StartLostError as error:
        return engine.get(error.job_id)
    except StartError as error:
        assert kind.state is State.FAILED
        return engine.get(error.job_id)


def live(engine: Engine, kind: Kind, life: Life) -> None:
    """A job's whole life: started, stopped where that is its kind, waited for, read."""
    job = start(engine, kind, life.runs)
    life.told.started.append(job.id)
    bring_to_end(job, kind)
    life.told.output[job.id] = b"".join(chunk.data for chunk in job.output())
    life.told.ended[job.id] = repr(job.status())


def bring_to_end(job: Job, kind: Kind) -> None:
    """Wait for the job's end, and stop it where it would not end by itself."""
    if kind.is_stopped:
        wait_until(lambda: job.status().output_bytes or job.status().state.ended, "the job's first output")
        with suppress(JobNotRunningError):  # it is lost
            job.stop(grace=0.05)
    # Not Job.wait, which looks for a supervisor that died every second only.
    wait_until(lambda: job.status().state.ended, "the job's end")


def greet(engine: Engine, life: Life) -> None:
    """Run a job that is no part of the matter: the engine works, and a shim is idle afterwards."""
    assert engine.run(GREETING.argv(life.runs), labels={LABEL: GREETING.name}).stdout == GREETING.stdout
