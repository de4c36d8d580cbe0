"""Bounds of a policy on what is started, and the ways that somebody with a real client would try around them."""

from __future__ import annotations

import os
import pwd
import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from conformance.jobs import SLEEPER
from conformance.processes import PATIENCE_SECONDS, wait_until
from harness.api import Api, failing
from harness.certs import Certs
from harness.cli import Cli
from harness.server import Server
from jobworker.v1 import job_pb2
from jobworker.v1.worker_service_pb2 import StartRequest

POLICY = """
roles:
  bounded: {{like: user, running: 1, commands: [/bin/sleep, /bin/true]}}
  free: {{like: user}}
  fenced: {{like: user, isolation: full, writable: [{writable}]}}
  limited: {{like: user, limits: {{default: {{openFiles: 50}}, max: {{openFiles: 60, coreSize: 0, timeout: 1h}}}}}}
  lowly: {{like: user, users: [nobody, games]}}
  lowly-fenced: {{like: user, users: [nobody], isolation: full}}
  mighty: {{like: user, newPrivileges: true}}
  private: {{like: user, isolation: [private-tmp]}}
  blind: {{start: own, stop: own, update: own}}
  plain: {{like: user, commands: [/bin/sh], environment: [LANG, "APP_*"]}}
owners:
  eve: {{commands: []}}
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's server starts jobs of other users")


@pytest.fixture
def writable(tmp_path: Path) -> Path:
    """A directory that fenced jobs may write to."""
    path = tmp_path / "writable"
    path.mkdir()
    return path


@pytest.fixture
def policy(tmp_path: Path, writable: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY.format(writable=writable))
    return path


@pytest.fixture
def own_server(certs: Certs, tmp_path: Path, policy: Path) -> Iterator[Server]:
    server = Server(certs, tmp_path, options=["--policy", str(policy)])
    yield server
    server.close()


def output(api: Api, job: job_pb2.Job) -> str:
    api.wait(job.id)
    return b"".join(chunk.data for chunk in api.chunks(job.id)).decode().strip()


def refusal(api: Api, argv: list[str], **fields: object) -> tuple[str, str]:
    with failing() as failure:
        api.start(argv, **fields)
    return failure.reason, failure.message


def sh(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def test_commands_are_compared_as_they_stand(own_server: Server, certs: Certs, tmp_path: Path) -> None:
    (tmp_path / "true").symlink_to("/bin/true")
    with Api(own_server, certs.client("bounded", "ann")) as ann:
        for argv in (
            ["true"],
            ["./true"],
            ["/bin//true"],
            ["/bin/../bin/true"],
            ["/usr/../bin/true"],
            ["/proc/self/root/bin/true"],
            [f"{tmp_path}/true"],
            ["/bin/true "],
            ["/bin/sh", "-c", "/bin/true"],
        ):
            reason, message = refusal(ann, argv, cwd="/bin", env={})
            assert reason == "NOT_ALLOWED", argv
            assert message.endswith("it allows /bin/sleep, /bin/true")
        assert refusal(ann, ["/bin/true"], env={"PATH": str(tmp_path)})[0] == "NOT_ALLOWED"
        assert ann.wait(ann.start(["/bin/true"]).id).exit_code == 0
        assert [job.argv[0] for job in ann.list()] == ["/bin/true"]
    with Api(own_server, certs.client("free", "eve")) as eve:
        assert refusal(eve, ["/bin/true"])[1].endswith("it allows none"), "the owner's bounds hold with any role"


def test_variables_are_those_that_are_listed(own_server: Server, certs: Certs) -> None:
    script = sh("echo $LANG $APP_MODE $ENV $LD_PRELOAD")
    with Api(own_server, certs.client("plain", "ann")) as ann:
        assert output(ann, ann.start(script, env={"LANG": "C", "APP_MODE": "x"})) == "C x"
        for name in ("ENV", "BASH_ENV", "LD_PRELOAD", "PATH", "HOME", "IFS", "lang", "XAPP_", "LANG\n"):
            assert refusal(ann, script, env={"LANG": "C", name: "/tmp/x"})[0] == "NOT_ALLOWED", name


def test_the_command_line_may_tell_the_type_of_its_terminal(own_server: Server, certs: Certs, own_cli: Cli) -> None:
    pair = certs.client("plain", "ann")
    with Api(own_server, pair) as ann:
        size = {"rows": 24, "columns": 80}
        job = ann.start(sh("echo $TERM"), terminal=size, env={"TERM": "vt100"})
        assert output(ann, job) == "vt100"
        assert refusal(ann, sh("true"), terminal=size, env={"TERM": "/tmp/x"})[0] == "NOT_ALLOWED"
    refused = own_cli("start", "--env", "LD_PRELOAD=x", "--", "/bin/sh", client=pair, status=4)
    assert "the role 'plain' does not allow to set the variable 'LD_PRELOAD'; it allows LANG, APP_*" in refused.err


def test_nobody_has_more_time_than_the_maximum(own_server: Server, certs: Certs) -> None:
    with Api(own_server, certs.client("limited", "ann")) as ann, Api(own_server, certs.client("free", "ann")) as free:
        job = ann.start(SLEEPER)
        assert job.timeout.ToSeconds() == 3600
        told = "this server allows jobs to run 1h at most"
        assert refusal(ann, SLEEPER, timeout=Duration(seconds=3601)) == ("INVALID_ARGUMENT", f"timeout: {told}")
        for field, change in (("timeout", Duration(seconds=3601)), ("no_timeout", True)):
            with failing() as failure:
                ann.call("Update", job_id=job.id, **{field: change})
            assert (failure.reason, failure.message) == ("INVALID_ARGUMENT", f"{field}: {told}")
        ann.call("Update", job_id=job.id, timeout=Duration(seconds=60))
        assert ann.status(job.id).timeout.ToSeconds() == 60
        free.call("Update", job_id=job.id, no_timeout=True)
        assert not ann.status(job.id).HasField("timeout"), "it is bounded for who asks, as a start is"
        ann.call("Update", job_id=job.id, timeout=Duration(nanos=1))
        assert ann.wait(job.id).reason == job_pb2.EXIT_REASON_TIMED_OUT


def test_limits_are_the_tighter_ones(own_server: Server, certs: Certs) -> None:
    with Api(own_server, certs.client("limited", "ann")) as ann:
        script = sh("ulimit -n; ulimit -c")
        assert output(ann, ann.start(script)).split() == ["50", "0"]
        assert output(ann, ann.start(script, limits=job_pb2.Limits(open_files=60))).split() == ["60", "0"]
        for limits in (job_pb2.Limits(open_files=61), job_pb2.Limits(core_size_bytes=1)):
            assert refusal(ann, script, limits=limits)[0] == "INVALID_ARGUMENT"


@needs_root
def test_users_are_those_that_are_listed(own_server: Server, certs: Certs) -> None:
    script = sh("id -u; id -G")
    nobody, games = pwd.getpwnam("nobody"), pwd.getpwnam("games")
    with Api(own_server, certs.client("lowly", "ann")) as ann:
        for fields, entry in (({}, nobody), ({"user": "nobody"}, nobody), ({"user": "games"}, games)):
            uid, *groups = output(ann, ann.start(script, cwd="/", **fields)).split()
            assert int(uid) == entry.pw_uid
            assert {int(group) for group in groups} == set(os.getgrouplist(entry.pw_name, entry.pw_gid))
        for user in ("root", "0", "00", "+0", "-1", "nobody ", "NOBODY", "65534", "4294967295", "\u0660", "\u00b2"):
            assert refusal(ann, script, user=user)[0] == "NOT_ALLOWED", user
        for groups in (["root"], ["0"], ["00"], ["nogroup", "tty"], ["4294967296"]):
            assert refusal(ann, script, user="nobody", groups=groups)[0] in ("NOT_ALLOWED", "INVALID_ARGUMENT"), groups
        assert refusal(ann, script, groups=["root"])[0] == "NOT_ALLOWED", "of the user that is the default"


def test_a_user_that_is_no_number_is_refused_as_unknown(own_server: Server, certs: Certs) -> None:
    with Api(own_server, certs.client("free", "ann")) as ann:
        for user in ("\u00b2", "\u0660", "-1", "+0", "no-such-user", "4294967296", "99999999999999999999"):
            assert refusal(ann, sh("true"), user=user)[0] == "INVALID_ARGUMENT", user


def may_write(api: Api, path: object, **fields: object) -> bool:
    return api.wait(api.start(sh(f"touch {path}"), **fields).id).exit_code == 0


def test_isolation_holds_whatever_is_asked_for(
    own_server: Server, certs: Certs, writable: Path, tmp_path: Path
) -> None:
    with Api(own_server, certs.client("fenced", "ann")) as ann:
        nothing = job_pb2.Isolation()
        host = job_pb2.Isolation(network=job_pb2.NETWORK_HOST)
        for fields in ({}, {"isolation": nothing}, {"isolation": host}):
            job = ann.start(sh("ls -d /proc/[0-9]* | wc -l; grep -o '.*:' /proc/net/dev"), **fields)
            processes, *interfaces = output(ann, job).split()
            assert int(processes) < 6
            assert interfaces == ["lo:"]
            assert job.isolation.seccomp
            assert job.isolation.read_only
        assert ann.start(sh("true")).cwd == "/tmp", "its own"
        (writable / "link").symlink_to("/etc")
        (tmp_path / "beside").mkdir()
        for path in (
            "/etc",
            "/root",
            "/var/tmp",
            str(tmp_path),
            f"{writable}/",
            f"{writable}/link",
            f"{writable}/../beside",
        ):
            assert refusal(ann, sh("true"), cwd=path)[0] == "NOT_ALLOWED", path
            asked = job_pb2.Isolation(writable=[path])
            assert refusal(ann, sh("true"), isolation=asked)[0] == "NOT_ALLOWED", path
        keeping = job_pb2.Isolation(drop_capabilities=True, kept_capabilities=["CAP_SYS_ADMIN"])
        assert refusal(ann, sh("true"), isolation=keeping)[0] == "NOT_ALLOWED"
        assert not may_write(ann, tmp_path / "beside" / "x")
        assert not may_write(ann, writable / "x")
        assert not may_write(ann, writable / "x", cwd="/")
        assert may_write(ann, writable / "x", cwd=str(writable))
        assert may_write(ann, writable / "y", isolation=job_pb2.Isolation(writable=[str(writable)]))
        assert not may_write(ann, "/etc/jobworker-test", cwd=str(writable))


def test_nobody_sees_into_the_tmp_of_others(own_server: Server, certs: Certs, writable: Path) -> None:
    """Temporary directories of tests are below the host's /tmp, or else below a link to it that is made here."""
    with tempfile.TemporaryDirectory(dir="/tmp") as theirs, Api(own_server, certs.client("private", "ann")) as ann:
        (Path(theirs) / "secret").touch()
        (writable / "link").symlink_to(theirs)
        for path in (theirs, f"{theirs}/", f"{writable}/link", str(writable)):
            assert refusal(ann, sh("true"), cwd=path)[0] == "NOT_ALLOWED"
            asked = job_pb2.Isolation(private_tmp=True, writable=[path])
            assert refusal(ann, sh("true"), isolation=asked)[0] == "NOT_ALLOWED"
        for fields in ({}, {"cwd": "/"}, {"cwd": "/tmp"}):
            assert output(ann, ann.start(sh(f"ls -A /tmp; ls {theirs} 2>/dev/null"), **fields)) == ""


@needs_root
def test_users_and_isolation_go_together(own_server: Server, certs: Certs) -> None:
    with Api(own_server, certs.client("lowly-fenced", "ann")) as ann:
        found = output(ann, ann.start(sh("id -un; grep -c . /proc/net/dev; grep CapEff /proc/self/status")))
        assert found.split()[0] == "nobody"
        assert found.split()[-1] == "0" * 16


def test_privileges_can_only_be_gained_where_that_is_allowed(own_server: Server, certs: Certs) -> None:
    script = sh("grep NoNewPrivs /proc/self/status")
    for role, expected in (("free", "1"), ("mighty", "0"), ("full", "1")):
        with Api(own_server, certs.client(role, "ann")) as ann:
            job = ann.start(script)
            assert output(ann, job).split()[1] == expected
            assert job.no_new_privileges == (expected == "1")


def test_who_may_not_query_is_told_of_jobs_by_their_ids_alone(own_server: Server, certs: Certs, own_cli: Cli) -> None:
    pair = certs.client("blind", "ann")
    job_id = own_cli("start", "--", *SLEEPER, client=pair).out
    with Api(own_server, pair) as ann:
        assert ann.call("Update", job_id=job_id).job == job_pb2.Job(id=job_id, state=job_pb2.JOB_STATE_RUNNING)
    own_cli("update", job_id, "--timeout", "600", client=pair)
    own_cli("stop", job_id, client=pair)
    own_cli("status", job_id, client=pair, status=4)


def test_a_bound_on_running_jobs_holds_when_the_server_is_killed(own_server: Server, certs: Certs) -> None:
    pair = certs.client("bounded", "ann")
    with Api(own_server, pair) as ann:
        first, second = ann.start(["/bin/sleep", "1000"]), ann.start(["/bin/sleep", "1000"])
        assert (first.state, second.state) == (job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_QUEUED)
    own_server.kill()
    own_server.start()
    with Api(own_server, pair) as ann:
        assert ann.status(second.id).state == job_pb2.JOB_STATE_QUEUED
        third = ann.start(["/bin/true"])
        assert third.state == job_pb2.JOB_STATE_QUEUED
        ann.stop(first.id, force=True)
        wait_until(lambda: ann.status(second.id).state == job_pb2.JOB_STATE_RUNNING, "the second one's turn")
        assert ann.status(third.id).state == job_pb2.JOB_STATE_QUEUED
        ann.stop(second.id, force=True)
        assert ann.wait(third.id).exit_code == 0


def test_a_request_id_of_another_role_opens_nothing(own_server: Server, certs: Certs) -> None:
    with (
        Api(own_server, certs.client("free", "ann")) as free,
        Api(own_server, certs.client("bounded", "ann")) as bounded,
    ):
        job = free.start(SLEEPER, request_id="one", env={"SECRET": "x"})
        assert refusal(bounded, SLEEPER, request_id="one")[0] == "NOT_ALLOWED"
        again = bounded.start(["/bin/true"], request_id="one")
        assert again.id == job.id, "what the owner started, the owner may know of; nothing else is started"
        assert len(free.list()) == 1
    with Api(own_server, certs.client("free", "bob")) as bob:
        assert bob.start(["true"], request_id="one").id != job.id


def test_no_start_finds_a_gap_between_two_policies(own_server: Server, certs: Certs, policy: Path) -> None:
    """One policy allows a start of one command only, the other all commands and no start."""
    narrow = "roles: {clerk: {start: own, query: own, commands: [/bin/true]}}"
    none = "roles: {clerk: {query: own}}"
    policy.write_text(narrow)
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            for text in (none, narrow):
                beside = policy.with_suffix(".new")
                beside.write_text(text)
                beside.replace(policy)
                own_server.send_signal(signal.SIGHUP)
                done.wait(0.005)

    def start(api: Api) -> grpc.StatusCode:
        try:
            api.stub.Start(StartRequest(argv=["/bin/echo", "x"]), timeout=PATIENCE_SECONDS)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    with Api(own_server, certs.client("clerk", "ann")) as ann, ThreadPoolExecutor(4) as threads:
        changing = threads.submit(change)
        try:
            found = set(threads.map(start, [ann] * 300))
        finally:
            done.set()
            changing.result()
    assert found == {grpc.StatusCode.PERMISSION_DENIED}
