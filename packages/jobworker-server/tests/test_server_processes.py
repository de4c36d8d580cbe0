"""What each process may do, as docs/security.md has it, and that a job gets nothing of them but its own streams."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from jobworker.v1 import job_pb2
from jobworker.v1.worker_service_pb2 import TerminalSize
from jobworker_lib.isolation import capabilities
from jobworker_server import privileges
from server_testing import TIMEOUT, Authority, Client, ServerProcess

DOCUMENT = Path(__file__).parents[3] / "docs" / "security.md"
FULL = job_pb2.Isolation(
    pid=True, ipc=True, uts=True, network=job_pb2.NETWORK_ISOLATED, read_only=True, private_tmp=True,
    private_devices=True, no_new_privileges=True, drop_capabilities=True, seccomp=True,
)  # fmt: skip
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's server has anything to let go of")

LOOK = """
import json, os, sys
fds = {}
for name in os.listdir("/proc/self/fd"):
    try:
        fds[name] = os.readlink(f"/proc/self/fd/{name}")
    except FileNotFoundError:
        pass
status = dict(line.rstrip("\\n").split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print(json.dumps({"fds": fds, "env": dict(os.environ), "status": status, "umask": os.umask(0), "cwd": os.getcwd()}))
"""
PYTHON = os.path.realpath(sys.executable)
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "input": {"stdin": True},
    "terminal": {"terminal": TerminalSize(rows=24, columns=200)},
    "limits": {"limits": job_pb2.Limits(open_files=64)},
    "process namespace": {"isolation": job_pb2.Isolation(pid=True)},
    "all isolation": {"isolation": FULL},
    "restart": {"restart": job_pb2.RestartPolicy(max_restarts=1)},
}


def look(client: Client, **options: Any) -> dict[str, Any]:
    """What a job sees of itself."""
    job = client.start(PYTHON, "-I", "-S", "-c", LOOK, **options)
    found: dict[str, Any] = json.loads(client.output(job.id).split(b"\n")[0])
    return found


@pytest.mark.parametrize("way", WAYS)
def test_a_job_has_its_streams_and_a_clean_environment(full: Client, way: str) -> None:
    """Also while others come and go, and have descriptors open in all processes around it."""
    stop = threading.Event()

    def keep_busy() -> None:
        while not stop.is_set():
            full.output(full.start("true").id)

    others = [threading.Thread(target=keep_busy) for _ in range(4)]
    for thread in others:
        thread.start()
    try:
        for _ in range(5):
            found = look(full, **WAYS[way])
            listing = [name for name, target in found["fds"].items() if target.endswith("/fd")]
            assert set(found["fds"]) - set(listing) == {"0", "1", "2"}, found["fds"]
            assert set(found["env"]) - {"TERM"} == {
                "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "JOBWORKER_JOB_ID", "JOBWORKER_JOB_DIRECTORY",
            }  # fmt: skip
            assert found["status"]["NoNewPrivs"] == "1"
            assert int(found["status"]["SigBlk"], 16) == 0
            assert found["umask"] == 0o022
    finally:
        stop.set()
        for thread in others:
            thread.join()


def row(name: str, pid: int | str) -> str:
    """A line of the document's table."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    effective, bounding = int(status["CapEff"], 16), int(status["CapBnd"], 16)
    names = [known for number, known in enumerate(capabilities.NAMES) if effective >> number & 1]
    has = "none" if not effective else "all" if effective == bounding else ", ".join(f"`{known}`" for known in names)
    user = "root" if status["Uid"].split()[1] == "0" else "its `user`"
    gains = "no" if status["NoNewPrivs"] == "1" else "yes"
    filtered = "yes" if status["Seccomp"] == "2" else "no"
    return f"| {name} | {user} | {has} | {gains} | {filtered} |"


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def main_process(client: Client, **options: Any) -> int:
    """Starts a job: its main process."""
    job = client.start("sleep", "1000", cwd="/", **options)
    wanted = f"JOBWORKER_JOB_ID={job.id}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    return int(entry.name)
            except OSError:
                continue
    raise AssertionError("it is not there")


@as_root
def test_processes_have_what_the_document_says(server_certs: Path, tmp_path: Path, authority: Authority) -> None:
    with ServerProcess(server_certs, tmp_path / "state", "localhost:0", "--max-running", "4") as server:
        client = Client(server.address, authority.client("ann", "full"), authority)
        plain = main_process(client)
        as_user = main_process(client, user="nobody")
        isolated = main_process(client, isolation=FULL)
        fork_server = parent(parent(plain))
        jobs = [client.start("sleep", "1000") for _ in range(2)]
        assert [job.state for job in jobs][1] == job_pb2.JOB_STATE_QUEUED
        processes = {
            "server": server.process.pid,
            "fork server": fork_server,
            "shim": parent(plain),
            "job": plain,
            "job with `user`": as_user,
            "init of a job with a PID namespace": parent(isolated),
            "job with all isolation": isolated,
        }
        table = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]

        def differing() -> list[str]:
            """An init lets go of its privileges a moment after it has started the job, and a keeper may just begin."""
            keepers = _keepers_of(tmp_path / "state")
            rows = [row(name, pid) for name, pid in processes.items()]
            rows += [row("keeper, while jobs are queued", pid) for pid in keepers]
            return [line for line in rows if line not in table] or ([] if keepers else ["no keeper"])

        deadline = time.monotonic() + TIMEOUT
        while (found := differing()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "\n".join(found) == ""
        client.stop_all()
        client.stop_all()
        client.close()


def _keepers_of(state_dir: Path) -> list[int]:
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in found if _is_keeper_of(Path(f"/proc/{pid}"), state_dir)]


def _is_keeper_of(process: Path, state_dir: Path) -> bool:
    try:
        arguments = (process / "cmdline").read_bytes().split(b"\0")
        return (process / "comm").read_text() == "jobworker-queue\n" and os.fsencode(state_dir) in arguments
    except OSError:
        return False


@as_root
def test_every_thread_of_the_server_has_let_go(server: ServerProcess, full: Client) -> None:
    full.output(full.start("true").id)
    kept = sum(1 << number for number in capabilities.numbers(privileges.KEPT))
    for thread in Path(f"/proc/{server.process.pid}/task").iterdir():
        status = dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines() if ":\t" in line)
        for kind in ("CapEff", "CapPrm"):
            assert int(status[kind], 16) & ~kept == 0, (thread.name, kind)
        assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0


@as_root
def test_jobs_of_roots_server_have_what_they_had(full: Client) -> None:
    """What the server lets go of, it does not take from jobs."""
    found = look(full)
    assert int(found["status"]["CapEff"], 16) == int(found["status"]["CapBnd"], 16) > 0
    job = full.start("grep", "CapEff", "/proc/self/status", user="nobody", cwd="/")
    assert full.output(job.id).split() == [b"CapEff:", b"0" * 16]


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is missing")
@as_root
def test_a_job_of_the_servers_own_user_does_not_see_into_the_server(authority: Authority) -> None:
    """An ordinary user's server; its jobs are that user's, too."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        home = Path(directory)
        (home / "certs").mkdir()
        authority.write_server_files(home / "certs")
        for path in [home, *home.rglob("*")]:
            os.chown(path, 12345, 12345)
        wrapper = home / "python"
        become = "setpriv --reuid=12345 --regid=12345 --clear-groups --bounding-set=-all,+dac_read_search"
        become += " --inh-caps=-all,+dac_read_search --ambient-caps=+dac_read_search"
        wrapper.write_text(f'#!/bin/sh\nexec {become} {sys.executable} "$@"\n')
        wrapper.chmod(0o755)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.executable", str(wrapper))
            server = ServerProcess(home / "certs", home / "state")
        with server:
            client = Client(server.address, authority.client("ann", "full"), authority)
            pid = server.process.pid
            script = f"id -u; cat /proc/{pid}/environ; cat /proc/{pid}/maps; head -c 1 /proc/{pid}/mem"
            lines = client.output(client.start("sh", "-c", f"({script}) 2>&1", cwd="/").id).decode().splitlines()
            assert lines[0] == "12345"
            assert [line.rpartition(": ")[2] for line in lines[1:]] == ["Permission denied"] * 3
            client.close()
