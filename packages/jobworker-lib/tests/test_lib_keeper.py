"""The queue under fire: it goes on without an engine, though its keeper is killed, and no bound is ever exceeded."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from jobworker_lib import Bounds, Engine, EngineError, State
from jobworker_lib.job.directory import JobDirectory
from jobworker_lib.store.version import FORMAT
from lib_testing import (
    PATIENCE_SECONDS,
    SLEEPER,
    finish,
    fork_servers,
    keepers,
    kill,
    kill_all,
    next_line,
    nobody_keeps_house,
    program,
    sh,
    shims,
    wait_until,
)

ONE = Bounds(running=1)

_STARTS = """
import sys
from jobworker_lib import Engine
with Engine(sys.argv[1]) as engine:
    for _ in range(int(sys.argv[2])):
        print(engine.start(sys.argv[4:], owner=sys.argv[3]).id, flush=True)
"""
_BOUNDED_STARTS = _STARTS.replace("owner=sys.argv[3]", "owner=sys.argv[3], running_per_owner=2")
_REPEATS = """
import json, random, sys
from jobworker_lib import Engine
names = [f"request-{number}" for number in range(30)]
random.Random(int(sys.argv[2])).shuffle(names)
with Engine(sys.argv[1]) as engine:
    command = ["sh", "-c", "echo $1 >> $2", "sh"]
    print(json.dumps({n: engine.start([*command, n, sys.argv[3]], owner="ann", request_id=n).id for n in names}))
"""
_KEEPER_THAT_DIES = """
import fcntl, os, sys
from pathlib import Path
from jobworker_lib.queue.client import LOCK
from jobworker_lib.queue.keeper import Keeper
lock = os.open(f"{sys.argv[1]}/{LOCK}", os.O_RDWR)
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
Keeper._start = lambda self: os._exit(0 if self._taken else 1)
Keeper(Path(sys.argv[1]), lock).serve()
sys.exit("there was nothing to start")
"""
_OLDER_KEEPER = """
import fcntl, os, sys
from pathlib import Path
from jobworker_lib.store import version
version.FORMAT = 3
from jobworker_lib.host import libc
from jobworker_lib.launcher import Launcher
from jobworker_lib.queue import keeper as keeper_module
keeper_module.is_newer = lambda state_dir: False  # versions of format 3 did not look
launch = Launcher.launch
def noted(self, directory, lock, **options):
    Path(sys.argv[2]).touch()
    launch(self, directory, lock, **options)
Launcher.launch = noted
lock = os.open(f"{sys.argv[1]}/keeper.lock", os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
os.pwrite(lock, b"1", 0)
libc.set_process_name("jobworker-queue")
keeper = keeper_module.Keeper(Path(sys.argv[1]), lock)
print("keeps", flush=True)
keeper.serve()
"""
_DIES_BEFORE_ITS_JOB_IS_SHOWN = """
import os, sys
from jobworker_lib import Engine
rename = os.rename
def dying(source, target):
    if "/new/" in str(source) and "/jobs/" in str(target):
        os._exit(0)
    rename(source, target)
os.rename = dying
Engine(sys.argv[1]).start(["echo", "shown"], request_id=sys.argv[2] or None)
"""


_DIES_BEFORE_IT_IS_TAKEN = """
import os, sys
from jobworker_lib import Engine
from jobworker_lib.launcher import Launcher
Launcher.launch = lambda *_, **__: os._exit(0)
Engine(sys.argv[1]).start(["sh", "-c", "echo ran >> $1", "sh", sys.argv[2]], request_id=sys.argv[3] or None)
"""


def recorded(path: Path, name: object) -> list[str]:
    """A command that writes its name down when it is executed."""
    return sh('echo "$1" >> "$2"', name, path)


def counting(directory: Path) -> list[str]:
    """A command that writes down how many of its like run beside it, itself included."""
    script = 'touch "$1/at/$$"; ls "$1/at" | wc -l >> "$1/counts"; sleep 0.05; rm "$1/at/$$"'
    return sh(script, directory)


def wait_for_all(engine: Engine, patience: float = 90.0) -> None:
    for job in engine.list(state=[State.QUEUED, State.STARTING, State.RUNNING]):
        job.wait(patience)


def test_queue_goes_on_without_an_engine(state_dir: Path, tmp_path: Path) -> None:
    Engine(state_dir, bounds=ONE).close()
    with program(_STARTS, state_dir, 5, "ann", *sh('sleep 0.1; echo x >> "$1"', tmp_path / "ran")) as starter:
        finish(starter)
    wait_until(lambda: (tmp_path / "ran").exists() and (tmp_path / "ran").read_text() == "x\n" * 5, "all jobs")
    wait_until(lambda: not keepers(state_dir), "the end of the keeper")


@pytest.mark.parametrize("look", ["open", "status", "wait", "list", "start"])
def test_killed_keeper_is_replaced_by_who_looks(state_dir: Path, tmp_path: Path, look: str) -> None:
    with Engine(state_dir, bounds=ONE) as engine:
        first, waiting = engine.start(SLEEPER), engine.start(recorded(tmp_path / "ran", "waiting"))
        wait_until(lambda: keepers(state_dir), "a keeper")
        (keeper,) = keepers(state_dir)
        kill(keeper)
        first.stop()
        if look == "open":
            Engine(state_dir).close()
        elif look == "start":
            engine.start(["true"])
        elif look == "wait":
            assert waiting.wait(PATIENCE_SECONDS).exit_code == 0
        else:
            assert waiting.status() if look == "status" else engine.list()
        wait_until((tmp_path / "ran").exists, "the start of the job that waited")


def test_keeper_that_dies_just_before_it_starts_a_job_leaves_it_queued(state_dir: Path, tmp_path: Path) -> None:
    with nobody_keeps_house(state_dir), Engine(state_dir, bounds=ONE) as engine:  # who does would start another keeper
        first, waiting = engine.start(SLEEPER), engine.start(recorded(tmp_path / "ran", "waiting"))
        wait_until(lambda: keepers(state_dir), "a keeper")
        (keeper,) = keepers(state_dir)
        kill(keeper)
        first.stop()
        with program(_KEEPER_THAT_DIES, state_dir) as dying:
            finish(dying)
        assert waiting.wait(PATIENCE_SECONDS).exit_code == 0
        assert engine.start(["true"]).wait(PATIENCE_SECONDS).exit_code == 0
    assert (tmp_path / "ran").read_text() == "waiting\n"


def test_keeper_that_is_killed_again_and_again_starts_each_job_once(state_dir: Path, tmp_path: Path) -> None:
    chosen = random.Random(11)  # noqa: S311  # to be repeated, not to be secret
    over = threading.Event()

    def kill_keepers() -> None:
        while not over.wait(chosen.uniform(0.05, 0.4)):
            kill_all(keepers(state_dir))  # one whose queue is empty may just have ended

    with Engine(state_dir, bounds=Bounds(running=2)) as engine:
        killer = threading.Thread(target=kill_keepers)
        killer.start()
        try:
            jobs = [engine.start(recorded(tmp_path / "ran", number)) for number in range(60)]
            ends = Counter(job.wait(90).describe() for job in jobs)
        finally:
            over.set()
            killer.join()
    assert ends == {"exited (exit code: 0)": 60}
    assert Counter((tmp_path / "ran").read_text().split()) == {str(number): 1 for number in range(60)}


def test_deadline_that_passed_while_no_keeper_was_there(state_dir: Path, tmp_path: Path) -> None:
    with Engine(state_dir, bounds=ONE) as engine:
        first = engine.start(SLEEPER)
        late = engine.start(recorded(tmp_path / "ran", "late"), start_deadline=1.5)
        wait_until(lambda: keepers(state_dir) or late.status().state.ended, "a keeper")
        kill_all(keepers(state_dir))  # on a slow host it may have done its work by now
        created_ns = JobDirectory(state_dir / "jobs" / late.id).read_spec().created_ns
        wait_until(lambda: time.time_ns() > created_ns + 1_500_000_000, "the deadline")
        first.stop()
        assert late.wait(PATIENCE_SECONDS).state is State.FAILED
    assert not (tmp_path / "ran").exists()


def test_fork_server_and_shims_that_are_killed_cost_their_own_job_only(state_dir: Path) -> None:
    with Engine(state_dir, bounds=ONE) as engine:
        first, waiting = engine.start(SLEEPER), engine.start(["true"])
        kill_all(fork_servers(state_dir) + shims(state_dir))
        assert waiting.wait(PATIENCE_SECONDS).exit_code == 0
        assert first.status().state is State.LOST


def test_engines_that_start_at_once_never_exceed_the_bounds(state_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "at").mkdir()
    Engine(state_dir, bounds=Bounds(running=3, running_per_owner=2)).close()
    with ExitStack() as programs:
        starters = [
            programs.enter_context(program(_STARTS, state_dir, 12, owner, *counting(tmp_path)))
            for owner in ("ann", "bob", "ann", "carol")
        ]
        for starter in starters:
            finish(starter)
        with Engine(state_dir) as engine:
            wait_for_all(engine)
            assert {job.status().exit_code for job in engine.list()} == {0}
            assert len(engine.list()) == 48
    counts = list(map(int, (tmp_path / "counts").read_text().split()))
    assert len(counts) == 48
    assert max(counts) == 3


def test_bound_of_an_owner_holds_across_engines(state_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "at").mkdir()
    Engine(state_dir, bounds=Bounds(running_per_owner=2)).close()
    with ExitStack() as programs:
        command = counting(tmp_path)
        starters = [programs.enter_context(program(_STARTS, state_dir, 8, "ann", *command)) for _ in range(3)]
        for starter in starters:
            finish(starter)
        with Engine(state_dir) as engine:
            wait_for_all(engine)
    assert max(map(int, (tmp_path / "counts").read_text().split())) == 2


def test_bound_of_starts_holds_across_engines_that_have_none(state_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "at").mkdir()
    with ExitStack() as programs:
        command = counting(tmp_path)
        starters = [programs.enter_context(program(_BOUNDED_STARTS, state_dir, 8, "ann", *command)) for _ in range(3)]
        for starter in starters:
            finish(starter)
        with Engine(state_dir) as engine:
            wait_for_all(engine)
            assert len(engine.list()) == 24
    assert max(map(int, (tmp_path / "counts").read_text().split())) == 2


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(running=2)])
def test_equal_requests_of_several_engines_are_one_job(state_dir: Path, tmp_path: Path, bounds: Bounds) -> None:
    Engine(state_dir, bounds=bounds).close()
    with ExitStack() as programs:
        starters = [programs.enter_context(program(_REPEATS, state_dir, seed, tmp_path / "ran")) for seed in range(4)]
        first, *others = [json.loads(finish(starter)) for starter in starters]
    assert all(other == first for other in others)
    with Engine(state_dir) as engine:
        wait_for_all(engine)
        assert {job.id for job in engine.list()} == set(first.values())
    assert Counter((tmp_path / "ran").read_text().split()) == dict.fromkeys(first, 1)


@pytest.mark.timeout(300)
def test_a_thousand_jobs_run_once_each_in_the_order_of_their_priorities(state_dir: Path, tmp_path: Path) -> None:
    chosen = random.Random(5)  # noqa: S311  # to be repeated, not to be secret
    with Engine(state_dir, bounds=ONE) as engine:
        first = engine.start(SLEEPER)
        asked = [(chosen.randint(-2, 2), number) for number in range(1000)]
        for priority, number in asked:
            engine.start(recorded(tmp_path / "ran", f"{priority} {number}"), priority=priority)
        first.stop()
        wait_for_all(engine, 240)
    expected = [f"{priority} {number}" for priority, number in sorted(asked, key=lambda job: (-job[0], job[1]))]
    assert (tmp_path / "ran").read_text().splitlines() == expected


def test_queue_is_kept_over_a_reboot(state_dir: Path) -> None:
    """All processes are gone, and the index and the event log are from before; the lock of who ran is free."""
    with Engine(state_dir, bounds=ONE) as engine:
        first, waiting = engine.start(SLEEPER), engine.start(["echo", "after"])
        wait_until(lambda: keepers(state_dir), "a keeper")
    kill_all(keepers(state_dir) + fork_servers(state_dir) + shims(state_dir))  # the engine's own have no more to do
    for path in (state_dir / "index.db", state_dir / "index.db-wal", state_dir / "index.db-shm"):
        path.unlink(missing_ok=True)
    head = state_dir / "events" / "head"
    head.write_text(head.read_text().replace(head.read_text().split()[1], "0" * 36))
    with Engine(state_dir) as engine:
        assert engine.get(waiting.id).wait(PATIENCE_SECONDS).exit_code == 0
        assert engine.get(first.id).status().state is State.LOST


def test_job_whose_starter_died_before_it_was_shown_waits_still(state_dir: Path) -> None:
    with Engine(state_dir, bounds=ONE) as engine:
        first = engine.start(SLEEPER)
        with program(_DIES_BEFORE_ITS_JOB_IS_SHOWN, state_dir, "") as starter:
            finish(starter)
        wait_until(lambda: len(engine.list(state="queued")) == 1, "the job")
        (job,) = engine.list(state="queued")
        first.stop()
        assert job.wait(PATIENCE_SECONDS).exit_code == 0


@pytest.mark.parametrize("look", ["start", "list", "status"])
def test_cut_off_start_with_a_request_id_is_resumed_by_who_looks(state_dir: Path, tmp_path: Path, look: str) -> None:
    with program(_DIES_BEFORE_IT_IS_TAKEN, state_dir, tmp_path / "ran", "request") as starter:
        finish(starter)
    (path,) = (state_dir / "jobs").iterdir()
    with Engine(state_dir) as engine:
        job = engine.get(path.name)
        if look == "start":
            assert engine.start(["true"], request_id="request").id == job.id
        elif look == "list":
            engine.list()
        else:
            assert job.status().state in (State.QUEUED, State.STARTING, State.RUNNING, State.EXITED)
        assert job.wait(PATIENCE_SECONDS).exit_code == 0
        assert [found.id for found in engine.list()] == [job.id]
    assert (tmp_path / "ran").read_text() == "ran\n"


def test_repeated_start_finds_the_job_that_was_not_shown_yet(state_dir: Path) -> None:
    with program(_DIES_BEFORE_ITS_JOB_IS_SHOWN, state_dir, "request") as starter:
        finish(starter)
    (hidden,) = (state_dir / "new").iterdir()
    with Engine(state_dir) as engine:
        job = engine.start(["echo", "shown"], request_id="request")
        assert job.id == hidden.name
        assert (job.wait(PATIENCE_SECONDS).exit_code, [chunk.data for chunk in job.output()]) == (0, [b"shown\n"])
        assert not os.listdir(state_dir / "new")


def test_repeated_start_waits_for_who_looks_at_the_job_that_was_not_shown_yet(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with program(_DIES_BEFORE_ITS_JOB_IS_SHOWN, state_dir, "request") as starter:
        finish(starter)
    (hidden,) = (state_dir / "new").iterdir()
    other = JobDirectory(str(hidden)).try_lock()
    assert other is not None
    take, held = JobDirectory.try_lock, [other]

    def try_lock(directory: JobDirectory) -> int | None:
        lock = take(directory)
        if lock is None:
            with suppress(IndexError):
                os.close(held.pop())
        return lock

    monkeypatch.setattr(JobDirectory, "try_lock", try_lock)
    with Engine(state_dir) as engine:  # its housekeeper looks at the job, too
        assert engine.start(["true"], request_id="request").wait(PATIENCE_SECONDS).exit_code == 0
        assert not held


def test_cut_off_start_without_a_request_id_is_lost(state_dir: Path, tmp_path: Path) -> None:
    with program(_DIES_BEFORE_IT_IS_TAKEN, state_dir, tmp_path / "ran", "") as starter:
        finish(starter)
    with Engine(state_dir) as engine:
        assert [status.state for status in engine.list().statuses] == [State.LOST]
    assert not (tmp_path / "ran").exists()


def test_cut_off_start_of_before_the_boot_is_lost(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with program(_DIES_BEFORE_IT_IS_TAKEN, state_dir, tmp_path / "ran", "request") as starter:
        finish(starter)
    monkeypatch.setattr("jobworker_lib.store.lost.boot_time_ns", time.time_ns)
    with Engine(state_dir) as engine:
        assert [status.state for status in engine.list().statuses] == [State.LOST]


def test_keeper_ends_where_its_directory_is_removed(state_dir: Path, tmp_path: Path) -> None:
    with Engine(state_dir, bounds=ONE) as engine:
        engine.start(SLEEPER)
        engine.start(["true"])
        wait_until(lambda: keepers(state_dir), "a keeper")
        (keeper,) = keepers(state_dir)
    state_dir.rename(tmp_path / "moved")
    wait_until(lambda: not _is_alive(keeper), "the end of the keeper")
    (tmp_path / "moved").rename(state_dir)


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_only_one_keeper_at_a_time(state_dir: Path) -> None:
    Engine(state_dir, bounds=ONE).close()
    with ExitStack() as programs:
        starters = [programs.enter_context(program(_STARTS, state_dir, 3, "ann", *SLEEPER)) for _ in range(4)]
        for starter in starters:
            next_line(starter)
        for starter in starters:
            finish(starter)
        wait_until(lambda: keepers(state_dir), "a keeper that has its name")
        assert len(keepers(state_dir)) == 1
        assert json.loads((state_dir / "bounds.json").read_text())["running"] == 1


@pytest.fixture
def older_keeper(state_dir: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The keeper of a queue of an older version, which serves one job that waits behind another."""
    with Engine(state_dir, bounds=ONE) as engine:
        engine.start(SLEEPER)
        engine.start(recorded(tmp_path / "ran", "queued before"))
        wait_until(lambda: keepers(state_dir), "a keeper")
    (keeper,) = keepers(state_dir)
    kill(keeper)
    (state_dir / "keeper.4.lock").unlink()
    (state_dir / "version").write_text("3\n")
    with program(_OLDER_KEEPER, state_dir, tmp_path / "started by the older one") as older:
        assert next_line(older) == "keeps"
        yield older


def test_newer_engine_takes_the_queue_over_from_an_older_keeper(
    state_dir: Path, tmp_path: Path, older_keeper: subprocess.Popen[str]
) -> None:
    """Which would ignore that a job is to gain no privileges."""
    with Engine(state_dir) as engine:
        assert older_keeper.wait(PATIENCE_SECONDS) == -signal.SIGKILL
        later = engine.start(["grep", "NoNewPrivs", "/proc/self/status"], new_privileges=False)
        (first,) = engine.list(state="running")
        first.stop()
        assert later.wait(PATIENCE_SECONDS).exit_code == 0
        assert [chunk.data for chunk in later.output()] == [b"NoNewPrivs:\t1\n"]
    assert (tmp_path / "ran").read_text() == "queued before\n"
    assert not (tmp_path / "started by the older one").exists()
    assert not (state_dir / "keeper.lock").exists()


def test_older_keeper_that_can_not_be_ended_gets_no_job(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on another host, or in another container: the lock is held, and no process is to be seen."""
    monkeypatch.setattr("jobworker_lib.queue.older_keepers._SECONDS", 0.1)
    with Engine(state_dir, bounds=ONE) as engine:
        engine.start(SLEEPER)
        with (state_dir / "keeper.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(EngineError, match="keeper of an older version"):
                engine.start(["true"])
            Engine(state_dir).close()
        assert len(engine.list()) == 1
        assert engine.start(["true"]).status().state is State.QUEUED


def test_keeper_steps_down_for_a_newer_version(state_dir: Path) -> None:
    with Engine(state_dir, bounds=ONE) as engine:
        engine.start(SLEEPER)
        waiting = engine.start(["true"])
        wait_until(lambda: keepers(state_dir), "a keeper")
        (state_dir / ".version.new").write_text(f"{FORMAT + 1}\n")
        (state_dir / ".version.new").rename(state_dir / "version")
        try:
            wait_until(lambda: not keepers(state_dir), "the end of the keeper")
            assert waiting.status().state is State.QUEUED
            assert not keepers(state_dir)
            assert (state_dir / f"keeper.{FORMAT}.lock").read_text() == "1"
        finally:
            (state_dir / "version").write_text(f"{FORMAT}\n")
        assert waiting.status().state is State.QUEUED
        wait_until(lambda: keepers(state_dir), "a keeper")
