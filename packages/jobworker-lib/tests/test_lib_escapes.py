"""Attackers in isolated jobs, who are root there if the engine is, try the written list of escapes."""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import leave_nothing_running
from escape_attempts import ESCAPES, PRELUDE, Escape, held_by
from jobworker_lib import Engine, Isolation, RestartPolicy, RunResult, TerminalSize

PYTHON = str(Path(sys.executable).resolve())
MARK = "jobworker-escape-victim"
IS_ROOT = os.geteuid() == 0
ATTACK = (
    PRELUDE
    + """
def attack():
%s
try:
    attack()
except OSError as error:
    print("held:", errno.errorcode.get(error.errno, NOTHING))
else:
    print("escaped")
"""
)


class Scene:
    """A host with something to get at."""

    def __init__(self, directory: Path, engine: Engine, things: dict[str, str]) -> None:
        self.directory = directory
        self.cwd = directory / "job"
        self.engine = engine
        self.things = things
        temporary = any(directory.is_relative_to(path) for path in ("/tmp", "/var/tmp"))
        # Where all this is in /tmp, a private one would hide it before anything else has to.
        self.fence = replace(Isolation.full(), private_tmp=not temporary)

    def attack(self, escape: Escape, isolation: Isolation | None) -> RunResult:
        code = ATTACK % "\n".join(f"    {line}" for line in escape.code.splitlines())
        return self.engine.run(
            [PYTHON, "-I", "-S", "-c", code],
            cwd=self.cwd,
            env={**self.things, "PYTHONDONTWRITEBYTECODE": "1"},
            isolation=isolation,
            timeout=60,
        )


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("escapes")
    state, secrets, outside, cwd = (directory / name for name in ("state", "certs", "outside", "job"))
    for path in (secrets, outside, cwd):
        path.mkdir()
    for path in (directory, *directory.parents):  # the user of a job has to get there
        with suppress(OSError):
            path.chmod(path.stat().st_mode | 0o755)
    cwd.chmod(0o777)
    (secrets / "server.key").write_text("secret")
    if IS_ROOT:
        shutil.copy(shutil.which("id") or "id", cwd / "setuid-id")
        (cwd / "setuid-id").chmod(0o4755)
    with ExitStack() as stack:
        stack.callback(leave_nothing_running, state)
        engine = stack.enter_context(Engine(state, hidden_paths=[secrets]))
        victim = engine.start([PYTHON, "-S", "-c", "import time; time.sleep(1000)", MARK])
        stack.callback(victim.stop, force=True)
        things = {
            "VICTIM": str(_main_pid(state, victim.id)),
            "VICTIM_DIRECTORY": str(state / "jobs" / victim.id),
            "SERVER": str(os.getpid()),
            "MARK": MARK,
            "STATE": str(state),
            "SECRET": str(secrets / "server.key"),
            "OUTSIDE": str(outside),
            "HANDLE": _handle(secrets / "server.key"),
            **_disk(),
            "CGROUP": _cgroup(),
            **_listeners(stack),
            "SHM_KEY": str(_shared_memory(stack)),
        }
        yield Scene(directory, engine, things)


@pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.name)
def test_an_isolated_job_does_not_escape(scene: Scene, escape: Escape) -> None:
    result = scene.attack(escape, scene.fence)
    outcome, _, error = result.stdout.decode().strip().partition(" ")
    assert outcome == "held:", result
    assert error in held_by(escape), result


@pytest.mark.parametrize("escape", [one for one in ESCAPES if one.succeeds_outside], ids=lambda escape: escape.name)
def test_without_isolation_the_same_succeeds(scene: Scene, escape: Escape) -> None:
    """So what the other test shows is the isolation's doing."""
    if not IS_ROOT:
        pytest.skip("without root much fails also where nothing is isolated")
    result = scene.attack(escape, None)
    assert result.stdout == b"escaped\n", result


def test_foreign_system_calls_kill(scene: Scene) -> None:
    """Those of 32-bit programs have numbers of their own, so the filter can't judge them."""
    if os.uname().machine != "x86_64":
        pytest.skip("this machine has no 32-bit system calls that its programs can make")
    code = """
import ctypes, mmap
memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
memory.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid); int 0x80; ret
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
print(ctypes.CFUNCTYPE(ctypes.c_int)(address)())
"""
    result = scene.engine.run([PYTHON, "-I", "-S", "-c", code], cwd=scene.cwd, isolation=scene.fence)
    assert (result.status.signal, result.stdout) == (signal.SIGSYS, b"")


@pytest.mark.parametrize("request_number", [0x5412, 0x5412 | 1 << 32, 0x541C], ids=hex)
def test_nothing_is_typed_on_the_terminal(scene: Scene, request_number: int) -> None:
    """TIOCSTI and TIOCLINUX, also where bits are set that the kernel does not look at."""
    code = f"{PRELUDE}\ntry: call(libc.ioctl, 0, {request_number}, b'x')\nexcept OSError as error: print(error.errno)"
    job = scene.engine.start(
        [PYTHON, "-I", "-S", "-c", code], cwd=scene.cwd, isolation=scene.fence, terminal=TerminalSize(24, 80)
    )
    assert b"".join(chunk.data for chunk in job.output()) == b"1\r\n"


def test_a_user_does_not_become_root(scene: Scene) -> None:
    if not IS_ROOT:
        pytest.skip("only root can start jobs of another user")
    command = ["./setuid-id", "-u"]
    fenced = scene.engine.run(command, cwd=scene.cwd, user="nobody", isolation=scene.fence)
    assert fenced.stdout == b"%d\n" % pwd.getpwnam("nobody").pw_uid
    assert scene.engine.run(command, cwd=scene.cwd, user="nobody").stdout == b"0\n"
    status = ["grep", "-E", "^(Uid|Gid|Cap)", "/proc/self/status"]
    told = scene.engine.run(status, cwd=scene.cwd, user="nobody", isolation=scene.fence).stdout.split()
    assert b"0" not in told
    assert told.count(b"0000000000000000") == 5


def test_what_is_hidden_in_the_working_directory_stays_hidden(scene: Scene) -> None:
    inside = scene.cwd / "keys"
    inside.mkdir(exist_ok=True)
    (inside / "key").write_text("secret")
    script = "mv keys moved; rmdir keys; rm -rf keys; ls -A keys; cat keys/key; echo done"
    result = scene.engine.run(
        ["sh", "-c", script], cwd=scene.cwd, isolation=replace(scene.fence, hidden=(str(inside),), landlock=False)
    )
    assert result.stdout == b"done\n"
    assert (inside / "key").read_text() == "secret"


def test_what_is_hidden_is_not_carried_off(scene: Scene) -> None:
    """By renaming a directory above it, which the next execution would be looking for in vain."""
    above = scene.cwd / "above"
    (above / "keys").mkdir(parents=True)
    (above / "keys" / "key").write_text("secret")
    job = scene.engine.start(
        ["sh", "-c", "mv above moved; mkdir -p above/keys; cat moved/keys/key above/keys/key; exit 1"],
        cwd=scene.cwd,
        isolation=replace(scene.fence, hidden=(str(above / "keys"),), landlock=False),
        restart=RestartPolicy(max_restarts=2, backoff=0.01),
    )
    assert len(job.wait().attempts) == 3
    assert b"secret" not in b"".join(chunk.data for chunk in job.output())
    assert (above / "keys" / "key").exists()


@pytest.mark.parametrize("place", ["cwd", "writable"])
def test_a_link_in_its_place_does_not_make_another_directory_writable(scene: Scene, place: str) -> None:
    """A job is executed again, and has put a link where a path led that was to be writable."""
    area, victim = scene.directory / f"area-{place}", scene.directory / f"victim-{place}"
    (area / "x").mkdir(parents=True)
    victim.mkdir()
    script = f"touch '{area}/x/written'; rm -rf '{area}/x'; ln -s '{victim}' '{area}/x'; exit 1"
    job = scene.engine.start(
        ["sh", "-c", script],
        cwd=area / "x" if place == "cwd" else scene.cwd,
        isolation=replace(scene.fence, writable=(str(area), str(area / "x"))),
        restart=RestartPolicy(max_restarts=2, backoff=0.01),
    )
    assert len(job.wait().attempts) >= 2
    assert list(victim.iterdir()) == []


def test_a_link_that_another_has_put_in_its_place_is_not_followed(scene: Scene) -> None:
    area, victim = scene.directory / "area-of-another", scene.directory / "victim-of-another"
    (area / "x").mkdir(parents=True)
    victim.mkdir()
    job = scene.engine.start(
        ["sh", "-c", 'echo ready; read line; touch "$1/written"; exit 1', "sh", str(area / "x")],
        cwd=scene.cwd,
        isolation=replace(scene.fence, writable=(str(area / "x"),)),
        restart=RestartPolicy(max_restarts=1, backoff=0.01),
        stdin=True,
    )
    next(job.output())
    (area / "x").rename(area / "moved")
    (area / "x").symlink_to(victim)
    with job.attach() as attachment:
        attachment.write(b"go on\n")
    status = job.wait()
    assert "isolat" in (status.error or "")
    assert list(victim.iterdir()) == []


def test_what_is_hidden_is_so_at_another_mount_too(scene: Scene) -> None:
    if not IS_ROOT:
        pytest.skip("only root can mount a directory at a second place")
    alias = scene.directory / "alias"
    alias.mkdir()
    subprocess.run(["mount", "--bind", str(scene.directory / "certs"), str(alias)], check=True)
    try:
        result = scene.engine.run(
            ["cat", str(alias / "server.key")], cwd=scene.cwd, isolation=replace(scene.fence, landlock=False)
        )
    finally:
        subprocess.run(["umount", str(alias)], check=True)
    assert (result.stdout, result.exit_code) == (b"", 1)


@pytest.mark.parametrize("without", ["mounts", "landlock"])
def test_each_lock_holds_without_the_other(scene: Scene, without: str) -> None:
    """Landlock alone, seen where the mounts were undone by who may: a job that keeps CAP_SYS_ADMIN."""
    if without == "mounts" and not IS_ROOT:
        pytest.skip("only root keeps a capability that is worth it")
    isolation = replace(scene.fence, landlock=without == "mounts")
    undo = "true"
    if without == "mounts":
        isolation = replace(
            isolation, drop_capabilities=False, seccomp=False, private_devices=False, no_new_privileges=False
        )
        undo = "umount -l $CERTS"
    script = f"{undo}; cat $SECRET; echo x > $OUTSIDE/lock; echo y > here && echo done"
    result = scene.engine.run(
        ["sh", "-c", script],
        cwd=scene.cwd,
        isolation=isolation,
        env={**scene.things, "CERTS": os.path.dirname(scene.things["SECRET"])},
    )
    assert result.stdout == b"done\n", result
    assert not (Path(scene.things["OUTSIDE"]) / "lock").exists()


def _main_pid(state: Path, job_id: str) -> int:
    return int(json.loads((state / "jobs" / job_id / "started.json").read_text())["pid"])


def _handle(path: Path) -> str:
    """What open_by_handle_at(2) takes; zeros where the filesystem has no handles."""
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0), 136)
    mount = ctypes.c_int()
    ctypes.CDLL(None).name_to_handle_at(-100, os.fsencode(path), handle, ctypes.byref(mount), 0)
    return handle.raw.hex()


def _disk() -> dict[str, str]:
    for name in sorted(os.listdir("/dev")):
        with suppress(OSError):
            found = os.stat(f"/dev/{name}")
            if stat.S_ISBLK(found.st_mode):
                os.close(os.open(f"/dev/{name}", os.O_RDONLY))
                return {"DISK": f"/dev/{name}", "DISK_NUMBER": str(found.st_rdev)}
    return {"DISK": "/dev/no-disk", "DISK_NUMBER": "0"}


def _cgroup() -> str:
    paths = [f"/sys/fs/cgroup{kind}" for kind in ("/memory", "/pids", "/unified", "")]
    return next((path for path in paths if os.path.exists(f"{path}/cgroup.procs")), "/sys/fs/cgroup")


def _listeners(stack: ExitStack) -> dict[str, str]:
    tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
    name = f"jobworker-escape-{os.getpid()}"
    abstract.bind(f"\0{name}")
    abstract.listen(100)
    in_run = stack.enter_context(socket.socket(socket.AF_UNIX))
    path = f"/run/{name}"
    with suppress(PermissionError):
        in_run.bind(path)
        stack.callback(os.unlink, path)
        in_run.listen(100)
    return {"PORT": str(tcp.getsockname()[1]), "ABSTRACT": name, "RUN_SOCKET": path}


def _shared_memory(stack: ExitStack) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    key = 0x6A6F6200 ^ os.getpid()
    identity = libc.shmget(key, 4096, 0o1600)
    assert identity >= 0
    stack.callback(libc.shmctl, identity, 0, None)
    return key
