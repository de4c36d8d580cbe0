"""Isolated jobs do all that others do: they are stopped, signalled, timed out, restarted and attached to."""

from __future__ import annotations

import os
import pwd
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from jobworker_lib import (
    CommandNotExecutableError,
    CommandNotFoundError,
    Engine,
    InvalidArgumentError,
    Isolation,
    IsolationError,
    Job,
    Limits,
    RestartPolicy,
    State,
    TerminalSize,
    WorkingDirectoryError,
)
from jobworker_lib.isolation import calls
from lib_testing import (
    SLEEPER,
    all_pids,
    awaiting,
    finish,
    fork_servers,
    job_processes,
    kill,
    open_files,
    parent,
    process_name,
    program,
    sh,
    wait_until,
)

PYTHON = str(Path(sys.executable).resolve())
FULL = Isolation.full()
IS_ROOT = os.geteuid() == 0
TREE = """
import os, signal, time
def live(name):
    os.write(1, name)
    while True: time.sleep(100)
if os.fork() == 0: live(b"c")
if os.fork() == 0: os.setsid(); live(b"s")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: live(b"d")
    os._exit(0)
live(b"m")
"""


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    directory = tmp_path / "job"
    directory.mkdir()
    return directory


def output_of(job: Job) -> bytes:
    return b"".join(chunk.data for chunk in job.output())


def read_until(job: Job, wanted: bytes) -> None:
    """Return when the job has printed so many bytes, in any order."""
    output = b""
    for chunk in job.output():
        output += chunk.data
        if sorted(output) == sorted(wanted):
            return
    raise AssertionError(output)


def init_of(job: Job) -> int:
    """The init process of a running job."""
    for pid in job_processes(job.id):
        if process_name(parent(pid)) == "jobworker-init":
            return parent(pid)
    raise AssertionError("there is none")


def test_it_sees_itself_alone(engine: Engine, cwd: Path) -> None:
    script = "echo $$; ls -d /proc/[0-9]*; hostname; id -u; ls -A /tmp /run; pwd; touch here && echo written"
    result = engine.run(sh(script), cwd=cwd, isolation=FULL)
    lines = result.stdout.decode().splitlines()
    assert lines[0] == "2"  # the first process is its init
    assert [line for line in lines if line.startswith("/proc/")] == ["/proc/1", "/proc/2"]
    assert "jobworker" in lines
    assert str(os.geteuid()) in lines
    assert lines[-2:] == [str(cwd), "written"]
    assert result.status.isolation == replace(FULL, landlock=calls.landlock_version() > 0)


@pytest.mark.parametrize(
    ("isolation", "script", "expected"),
    [
        (Isolation(pid=True), "echo $$", b"2\n"),
        (Isolation(uts=True), "hostname", b"jobworker\n"),
        (Isolation(ipc=True), "readlink /proc/self/ns/ipc", None),
        (Isolation(network="isolated"), "cat /sys/class/net/lo/operstate; grep -c . /proc/net/dev", None),
        (Isolation(read_only=True), "touch /usr/x 2>/dev/null || echo no", b"no\n"),
        (Isolation(private_devices=True), "ls /dev | tr '\\n' ' '", None),
        (Isolation(hidden=("/etc",)), "ls -A /etc", b""),
        (Isolation(no_new_privileges=True), "grep -c 'NoNewPrivs:.1' /proc/self/status", b"1\n"),
        (Isolation(seccomp=True), "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status | tr -d '\\n'", None),
        (Isolation(drop_capabilities=True), "grep Cap /proc/self/status | cut -f2 | sort -u", b"0" * 16 + b"\n"),
    ],
    ids=repr,
)
def test_each_part_can_be_had_alone(
    engine: Engine, cwd: Path, isolation: Isolation, script: str, expected: bytes | None
) -> None:
    result = engine.run(sh(script), cwd=cwd, isolation=isolation)
    assert result.stderr == b""
    if expected is not None:
        assert result.stdout == expected
    elif isolation.ipc:
        assert result.stdout.decode().strip() != os.readlink("/proc/self/ns/ipc")
    elif isolation.seccomp:
        assert result.stdout == b"NoNewPrivs:\t1Seccomp:\t2"
    elif isolation.private_devices:
        names = b"fd full null ptmx pts random shm stderr stdin stdout tty urandom zero "
        assert result.stdout == names


@pytest.mark.parametrize("network", ["isolated", "none"])
def test_network_of_its_own(engine: Engine, cwd: Path, network: str) -> None:
    code = """
import socket
print([name for _, name in socket.if_nameindex()])
with socket.create_server(("127.0.0.1", 0)) as server:
    server.settimeout(10)
    socket.create_connection(server.getsockname(), 10).close()
    server.accept()
    print("connected")
"""
    isolation = Isolation(network=network)  # type: ignore[arg-type]  # it is one of them
    result = engine.run([PYTHON, "-I", "-S", "-c", code], cwd=cwd, isolation=isolation)
    assert b"'lo'" in result.stdout
    assert b"eth" not in result.stdout
    assert (b"connected" in result.stdout) == (network == "isolated")
    if network == "none":
        assert b"unreachable" in result.stderr


def test_kept_capabilities_are_kept_over_a_change_of_the_user(engine: Engine) -> None:
    isolation = replace(FULL, kept_capabilities=("CAP_NET_BIND_SERVICE",))
    status = ["grep", "-E", "^Cap", "/proc/self/status"]
    user = "nobody" if IS_ROOT else None
    told = engine.run(status, cwd="/", isolation=isolation, user=user).stdout.split()
    assert told[1::2] == [b"0000000000000400"] * 5


def test_what_may_be_written(engine: Engine, cwd: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    file = tmp_path / "file"
    file.touch()
    script = 'echo 1 > "$1/x"; echo 2 > "$2"; echo 3 > here; echo 4 > /tmp/x; cp /tmp/x /dev/shm; cat /dev/shm/x'
    isolation = replace(FULL, writable=(str(data), str(file)))
    result = engine.run(sh(script, data, file), cwd=cwd, isolation=isolation)
    assert (result.stdout, result.stderr) == (b"4\n", b"")
    assert [path.read_text() for path in (data / "x", file, cwd / "here")] == ["1\n", "2\n", "3\n"]


def test_a_working_directory_is_found_through_a_link(engine: Engine, cwd: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(cwd)
    assert engine.run(["touch", "here"], cwd=tmp_path / "link", isolation=FULL).exit_code == 0
    assert (cwd / "here").exists()


def test_stop_asks_every_process_and_spares_init(engine: Engine, cwd: Path) -> None:
    job = engine.start([PYTHON, "-I", "-S", "-c", TREE], cwd=cwd, isolation=FULL)
    read_until(job, b"csdm")
    wait_until(lambda: len(job_processes(job.id)) == 4, "the end of the daemon's parent")
    status = job.stop(grace=1000)
    assert (status.state, status.signal) == (State.STOPPED, signal.SIGTERM)
    assert job_processes(job.id) == []


def test_stop_kills_what_ignores_it(engine: Engine, cwd: Path) -> None:
    stubborn = TREE.replace("os.write", "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.write")
    job = engine.start([PYTHON, "-I", "-S", "-c", stubborn], cwd=cwd, isolation=FULL)
    read_until(job, b"csdm")
    assert job.stop(grace=0.1).signal == signal.SIGKILL
    assert job_processes(job.id) == []


def test_a_fork_bomb_ends_with_its_init(engine: Engine, cwd: Path) -> None:
    bomb = "bomb() { while :; do bomb & sleep 0.05; done; }; trap '' TERM; echo ready; bomb"
    job = engine.start(sh(bomb), cwd=cwd, isolation=FULL)
    next(job.output())
    assert job.stop(force=True).signal == signal.SIGKILL
    assert job_processes(job.id) == []


def test_main_process_is_signalled_and_told_of(engine: Engine, cwd: Path) -> None:
    job = engine.start(sh("trap 'exit 7' HUP; echo ready; while :; do sleep 0.02; done"), cwd=cwd, isolation=FULL)
    next(job.output())
    job.signal("SIGHUP")
    assert job.wait().exit_code == 7
    assert engine.run(sh("kill -USR1 $$"), cwd=cwd, isolation=FULL).status.signal == signal.SIGUSR1


def test_what_outlives_the_main_process_is_ended(engine: Engine, cwd: Path) -> None:
    job = engine.start(sh("sleep 1000 & exit 3"), cwd=cwd, isolation=FULL)
    status = job.wait()
    assert (status.state, status.exit_code) == (State.EXITED, 3)
    assert job_processes(job.id) == []


def test_timeout(engine: Engine, cwd: Path) -> None:
    status = engine.start(SLEEPER, cwd=cwd, isolation=FULL, timeout=0.2).wait()
    assert (status.state, status.reason, status.signal) == (State.STOPPED, "timed_out", signal.SIGTERM)


def test_restarts_are_isolated_too(engine: Engine, cwd: Path) -> None:
    job = engine.start(
        sh("echo $$; echo x >> count; [ $(wc -l < count) -ge 3 ]"),
        cwd=cwd,
        isolation=FULL,
        restart=RestartPolicy(max_restarts=5, backoff=0.01),
    )
    status = job.wait()
    assert [attempt.exit_code for attempt in status.attempts] == [1, 1, 0]
    assert output_of(job) == b"2\n2\n2\n"


def test_input_and_its_end(engine: Engine, cwd: Path) -> None:
    job = engine.start(["cat"], cwd=cwd, isolation=FULL, stdin=True)
    with job.attach() as attachment:
        attachment.write(b"hello")
        attachment.close_input()
    assert job.wait().exit_code == 0
    assert output_of(job) == b"hello"


def test_terminal(engine: Engine, cwd: Path) -> None:
    script = "tty; stty size; test -c /dev/tty && echo own > /dev/tty; exec cat"
    job = engine.start(sh(script), cwd=cwd, isolation=FULL, terminal=TerminalSize(24, 80))
    shown = b"/dev/console\r\n24 80\r\nown\r\n"
    read_until(job, shown)
    with job.attach() as attachment:
        attachment.write(b"typed\n\x04")
    assert job.wait().exit_code == 0
    assert output_of(job) == shown + b"typed\r\ntyped\r\n"


def test_limits_of_its_processes_hold(engine: Engine, cwd: Path) -> None:
    result = engine.run(sh("ulimit -n; nice"), cwd=cwd, isolation=FULL, limits=Limits(open_files=77, nice=5))
    assert result.stdout == b"77\n5\n"


def test_nothing_of_the_shim_is_left_open_in_init(engine: Engine, cwd: Path) -> None:
    """A pipe's end that init held would never be seen."""
    job = engine.start(SLEEPER, cwd=cwd, isolation=FULL, stdin=True)
    if not IS_ROOT:
        pytest.skip("only root can look into an init")
    init = init_of(job)

    def kinds() -> list[str]:
        return sorted(name.partition(":")[0] for name in open_files(init))

    wait_until(lambda: kinds() == ["pipe", "pipe", "socket"], "an init that has closed all else")
    job.stop()


def test_a_killed_init_ends_the_job(engine: Engine, cwd: Path) -> None:
    job = engine.start(SLEEPER, cwd=cwd, isolation=FULL)
    os.kill(init_of(job), signal.SIGKILL)
    assert job.wait().signal == signal.SIGKILL
    assert job_processes(job.id) == []


def test_init_is_not_of_the_jobs_usage(engine: Engine, cwd: Path) -> None:
    job = engine.start(SLEEPER, cwd=cwd, isolation=FULL)
    usage = job.status().usage
    assert usage is not None
    assert usage.pids == 1
    job.stop()


def test_signals_do_not_end_init(engine: Engine, cwd: Path) -> None:
    gate = cwd / "gate"
    job = engine.start(sh(f"echo ready; {awaiting(gate)}"), cwd=cwd, isolation=FULL)
    next(job.output())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD):
        os.kill(init_of(job), number)
    gate.touch()
    assert job.wait().exit_code == 0


@pytest.mark.parametrize("first", ["nothing", "the fork server"])
def test_a_killed_shim_leaves_nothing(engine: Engine, state_dir: Path, cwd: Path, first: str) -> None:
    job = engine.start([PYTHON, "-I", "-S", "-c", TREE], cwd=cwd, isolation=FULL)
    read_until(job, b"csdm")
    init = init_of(job)
    shim = parent(init)
    assert process_name(shim) == "jobworker-shim"
    if first == "the fork server":
        kill(*fork_servers(state_dir))
    kill(shim)
    wait_until(lambda: init not in all_pids() and not job_processes(job.id), "the end of the job's processes")
    assert job.wait().state is State.LOST


def test_runs_under_a_shim_by_hand(state_dir: Path, cwd: Path, tmp_path: Path) -> None:
    """As on another host: the directory alone, and no state directory around it."""
    with Engine(state_dir) as engine:
        done = engine.run(["true"], cwd=cwd, isolation=FULL)
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    spec = (state_dir / "jobs" / done.status.id / "spec.json").read_text()
    (directory / "spec.json").write_text(spec)
    script = "import sys; from jobworker_lib.shim.__main__ import main; sys.exit(main())"
    with program(script, directory) as process:
        finish(process)
    assert '"exit_code": 0' in (directory / "exit.json").read_text()


@pytest.mark.parametrize(
    ("argv", "cwd_name", "error"),
    [
        (["no-such-command-anywhere"], "job", CommandNotFoundError),
        (["/etc/passwd"], "job", CommandNotExecutableError),
        (["true"], "absent", WorkingDirectoryError),
    ],
)
def test_failing_starts_are_told_as_such(
    engine: Engine, cwd: Path, argv: list[str], cwd_name: str, error: type[Exception]
) -> None:
    for isolation in (FULL, Isolation(uts=True)):
        with pytest.raises(error):
            engine.start(argv, cwd=cwd.parent / cwd_name, isolation=isolation)


def test_user_and_groups(engine: Engine, cwd: Path) -> None:
    if not IS_ROOT:
        pytest.skip("only root can start jobs of another user")
    cwd.chmod(0o777)
    nobody = pwd.getpwnam("nobody")
    for isolation in (None, FULL):
        result = engine.run(
            sh("id -u; id -g; id -G; echo $HOME $USER; echo out > /dev/stdout"),
            cwd="/",
            user="nobody",
            groups=["4711"],
            isolation=isolation,
        )
        ids = f"{nobody.pw_uid}\n{nobody.pw_gid}\n{nobody.pw_gid} 4711\n"
        assert result.stdout.decode() == f"{ids}{nobody.pw_dir} nobody\nout\n"
        assert (result.status.user, result.status.groups) == ("nobody", ("4711",))


def test_a_user_must_be_able_to_reach_the_working_directory(engine: Engine, cwd: Path) -> None:
    if not IS_ROOT:
        pytest.skip("only root can start jobs of another user")
    cwd.chmod(0o700)
    for isolation in (None, FULL):
        with pytest.raises(WorkingDirectoryError):
            engine.start(["true"], cwd=cwd, user="nobody", isolation=isolation)


def test_only_root_starts_jobs_of_other_users(engine: Engine, cwd: Path) -> None:
    if IS_ROOT:
        pytest.skip("this is root")
    with pytest.raises(IsolationError, match="only root"):
        engine.start(["true"], cwd=cwd, user="nobody")
    assert len(engine.list()) == 0


@pytest.mark.parametrize("field", ["hidden", "writable"])
def test_a_path_must_be_there(engine: Engine, cwd: Path, field: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"isolation\.{field}"):
        engine.start(["true"], cwd=cwd, isolation=Isolation(**{field: ("/no/such/path",)}))  # type: ignore[arg-type]  # one of two


@pytest.mark.parametrize("isolation", ["Isolation(uts=True)", "Isolation(pid=True)", "Isolation.full()"])
def test_what_this_host_forbids_is_refused_and_nothing_started(state_dir: Path, cwd: Path, isolation: str) -> None:
    """As in a container that allows no namespaces; our own filter makes one."""
    script = f"""
import sys
from jobworker_lib import Engine, Isolation, IsolationError
from jobworker_lib.isolation import calls, seccomp
calls.set_no_new_privileges()
calls.set_seccomp_filter(seccomp.program())
with Engine(sys.argv[1]) as engine:
    try:
        engine.start(["true"], cwd=sys.argv[2], isolation={isolation})
    except IsolationError as error:
        print(error.part, len(engine.list()), error)
"""
    with program(script, state_dir, cwd) as process:
        told = finish(process)
    assert told.startswith(("namespaces 0 ", "user_namespace 0 ")), told
    assert "run the engine as root, or allow user namespaces" in told
