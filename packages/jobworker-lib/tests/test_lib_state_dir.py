from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from conftest import leave_nothing_running
from jobworker_lib import Engine, InvalidArgumentError, JobworkerError, StateDirectoryError
from jobworker_lib.job.directory import JobDirectory
from lib_testing import engine_processes, finish, program, sh, wait_until


def run_there(state_dir: Path) -> None:
    with Engine(state_dir) as engine:
        job = engine.start(sh("echo hi"))
        assert b"".join(chunk.data for chunk in job.output()) == b"hi\n"
        job.wait()
        sleeper = engine.start(["sleep", "1000"])
        assert sleeper.stop().signal == 15
    leave_nothing_running(state_dir)


def test_default_is_where_the_user_keeps_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    with Engine():
        assert (tmp_path / "xdg" / "jobworker" / "jobs").is_dir()
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with Engine():
        assert (tmp_path / "home" / ".local" / "state" / "jobworker" / "jobs").is_dir()


def test_is_for_its_owner_alone(state_dir: Path, engine: Engine) -> None:
    engine.start(sh("echo hi")).wait()
    assert len(engine.list()) == 1  # so the index is made, and with it no more files that come and go
    for path in [state_dir, *state_dir.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0 or path.name.startswith("index.db-"), f"{path} has mode {mode:o}"


_ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="what it makes only root can write to")


@pytest.mark.parametrize("umask", ["0", "077", pytest.param("0277", marks=_ROOT_ONLY)])
def test_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path, umask: str) -> None:
    script = """
import os, sys
from jobworker_lib import Bounds, Engine, OutputLimit
os.umask(int(sys.argv[2], 8))
with Engine(sys.argv[1], bounds=Bounds(running=1)) as engine:
    jobs = [engine.start(["sh", "-c", "echo out"], output_limit=OutputLimit(65536, "drop_oldest")) for _ in range(3)]
    engine.wait(jobs)
    print(engine.run(["sh", "-c", "umask"]).stdout.decode(), end="")
"""
    state_dir = tmp_path / "state"
    with program(script, state_dir, umask) as process:
        assert finish(process) == "0022\n"
    wait_until(lambda: not engine_processes(state_dir))  # the queue's keeper removes files of the index
    for path in [state_dir, *state_dir.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0 or path.name.startswith("index.db"), f"{path} has mode {mode:o}"


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_directory_that_others_could_write_to_is_refused_unless_it_is_empty(state_dir: Path, mode: int) -> None:
    """They may have put links and files there that the engine would take for its own."""
    state_dir.mkdir()
    state_dir.chmod(mode)
    (state_dir / "jobs").symlink_to("/")
    with pytest.raises(StateDirectoryError, match="other users can write to"):
        Engine(state_dir)
    (state_dir / "jobs").unlink()
    Engine(state_dir).close()
    assert stat.S_IMODE(state_dir.stat().st_mode) == 0o700


def plant_pipe(path: Path) -> None:
    os.mkfifo(path)


def plant_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def plant_loop(path: Path) -> None:
    path.symlink_to(path)


def plant_directory(path: Path) -> None:
    path.mkdir()


def plant_nesting(path: Path) -> None:
    path.write_text("[" * 100_000)


def plant_zeros(path: Path) -> None:
    path.write_bytes(bytes(1 << 20))


@pytest.mark.parametrize("name", ["exit.json", "spec.json", "started.json"])
@pytest.mark.parametrize("plant", [plant_pipe, plant_link, plant_loop, plant_directory, plant_nesting, plant_zeros])
def test_what_a_job_of_the_same_user_puts_in_a_records_place_holds_nobody_up(
    engine: Engine, name: str, plant: Callable[[Path], None]
) -> None:
    job = engine.start(["true"])
    other = engine.start(["true"])
    engine.wait([job, other])
    record = Path(engine._core.directory(job.id).path) / name
    record.unlink()
    plant(record)
    with suppress(JobworkerError, OSError):  # damaged, or as it can be told without this record
        job.status()
    assert other.status().exit_code == 0
    assert other.id in {found.id for found in engine.list()}
    assert engine.run(["true"]).exit_code == 0
    if record.is_dir() and not record.is_symlink():
        record.rmdir()
    else:
        record.unlink()
    job_record = Path(engine._core.directory(other.id).path) / name
    record.write_bytes(job_record.read_bytes())


@pytest.mark.parametrize("plant", [plant_pipe, plant_link, plant_loop, plant_directory])
def test_who_looks_for_a_supervisor_is_not_held_up_either(tmp_path: Path, plant: Callable[[Path], None]) -> None:
    plant(tmp_path / "spec.json")
    lock = JobDirectory(tmp_path).try_lock()
    if lock is not None:
        os.close(lock)
    assert (lock is None) == (plant is plant_loop)


def test_path_may_be_longer_than_the_address_of_a_socket(tmp_path: Path) -> None:
    state_dir = tmp_path / ("d" * 100) / ("e" * 100) / "state"
    assert len(str(state_dir)) > 200
    run_there(state_dir)


def test_path_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Engine("state") as engine:
        monkeypatch.chdir("/")
        assert engine.run(["true"]).exit_code == 0
    leave_nothing_running(tmp_path / "state")


def test_path_may_hold_any_character(tmp_path: Path) -> None:
    run_there(tmp_path / "two words % été \n '\"")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
def test_directory_of_another_user_is_refused(state_dir: Path) -> None:
    state_dir.mkdir()
    os.chown(state_dir, 12345, 12345)
    with pytest.raises(StateDirectoryError, match="another user"):
        Engine(state_dir)


def test_file_is_refused(state_dir: Path) -> None:
    state_dir.write_text("")
    with pytest.raises(StateDirectoryError):
        Engine(state_dir)


def test_place_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(StateDirectoryError):
        Engine("/proc/jobworker")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is missing")
def test_works_without_root(tmp_path: Path) -> None:
    """The whole way, as a user without an account."""
    script = """
import sys
from jobworker_lib import Engine
with Engine(sys.argv[1]) as engine:
    assert engine.run(["sh", "-c", "id -u"]).stdout == b"12345\\n"
    job = engine.start(["sh", "-c", "setsid -f sleep 1000; echo ready; exec sleep 1000"])
    next(job.output())
    print(job.status().owner, job.stop().describe())
"""
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 12345, 12345)
    # It may read what only root can, for Python or the sources may be there, and nothing else that root may do.
    become = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
    become += ["--bounding-set=-all,+dac_read_search", "--inh-caps=-all,+dac_read_search"]
    become += ["--ambient-caps=+dac_read_search"]
    with program(script, home / "state", through=become) as process:
        assert finish(process) == "uid12345 stopped (signal: 15)\n"
    wait_until(lambda: not engine_processes(home / "state"))


@pytest.mark.parametrize("job_id", ["", ".", "..", "/", "../jobs", "{0}/../{0}", "{1}", " {0}", "{0}\n"])
def test_only_a_canonical_uuid_names_a_job(engine: Engine, job_id: str) -> None:
    job = engine.start(["true"])
    job.wait()
    with pytest.raises(InvalidArgumentError):
        engine.get(job_id.format(job.id, job.id.upper()))
