"""Isolated jobs of a server: what they can't get at, where they begin, and what is refused."""

from __future__ import annotations

import os
import pwd

import pytest

from conformance.jobs import sh
from harness.api import Api, failing
from harness.server import Server
from jobworker.v1 import job_pb2

FULL = job_pb2.Isolation(
    pid=True,
    ipc=True,
    uts=True,
    network=job_pb2.NETWORK_ISOLATED,
    read_only=True,
    private_tmp=True,
    private_devices=True,
    no_new_privileges=True,
    drop_capabilities=True,
    seccomp=True,
    landlock_where_available=True,
)


def without_private_tmp() -> job_pb2.Isolation:
    """What hides the server's files can be seen only where they are not in a /tmp that is replaced."""
    isolation = job_pb2.Isolation()
    isolation.CopyFrom(FULL)
    isolation.private_tmp = False
    return isolation


def printed(api: Api, job_id: str) -> bytes:
    return b"".join(chunk.data for chunk in api.chunks(job_id))


def test_the_servers_keys_and_state_are_hidden(server: Server, api: Api) -> None:
    paths = (server.certs.server.key, server.certs.full.key, server.certs.directory, server.state_dir)
    script = 'cat "$1" "$2"; ls -A "$3" "$4"'
    open_job = api.start(sh(script, *paths))
    assert b"PRIVATE KEY" in printed(api, open_job.id)
    isolated = api.start(sh(script, *paths), cwd="/", isolation=without_private_tmp())
    told = printed(api, isolated.id)
    assert told.count(b"No such file") == 2
    assert b"jobs" not in told
    assert b"server.key\n" not in told


def test_it_begins_in_a_directory_of_its_own(api: Api) -> None:
    job = api.start(sh("pwd; ls -A; touch here && echo $$"), isolation=FULL)
    assert printed(api, job.id) == b"/tmp\n2\n"
    assert not os.path.exists("/tmp/here")
    told = api.wait(job.id).isolation
    assert told.pid
    assert not told.landlock_where_available  # by now it is known


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start jobs of other users")
def test_a_user_whose_home_is_not_there_begins_at_the_root(api: Api) -> None:
    assert not os.path.exists(pwd.getpwnam("nobody").pw_dir)
    for isolation, directory in ((None, b"/"), (job_pb2.Isolation(pid=True), b"/"), (FULL, b"/tmp")):
        job = api.start(sh("pwd; id -un"), user="nobody", isolation=isolation)
        assert printed(api, job.id).split() == [directory, b"nobody"]


def test_what_cannot_be_had_is_refused(api: Api) -> None:
    isolation = job_pb2.Isolation(drop_capabilities=True, kept_capabilities=["CAP_SYS_RESOURCE", "CAP_SYS_BOOT"])
    if os.geteuid() == 0 and _has_all_capabilities():
        pytest.skip("this root has every capability, so each can be kept")
    with failing() as failure:
        api.start(["true"], isolation=isolation)
    assert (failure.code.name, failure.reason) == ("FAILED_PRECONDITION", "ISOLATION_NOT_AVAILABLE")


def _has_all_capabilities() -> bool:
    with open("/proc/self/status") as file:
        mask = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    return bool(mask >> 24 & 1 and mask >> 22 & 1)
