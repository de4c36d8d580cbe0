"""What is computed for an isolated job before anything is forked: mounts, users, capabilities, and what is refused."""

from __future__ import annotations

import json
import os
import pwd
import re
from pathlib import Path
from typing import Any

import pytest

from escape_attempts import ESCAPES
from jobworker_lib import InvalidArgumentError, Isolation
from jobworker_lib.isolation import capabilities, landlock, mount_plan, system_calls, users
from jobworker_lib.isolation.mountinfo import Mount, aliases
from jobworker_lib.job.record import to_bytes
from jobworker_lib.job.spec import JobSpec


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("isolation.network", {"isolation": Isolation(network="lan")}),  # type: ignore[arg-type]  # that is what is tested
        ("isolation.writable", {"isolation": Isolation(read_only=True, writable=("relative",))}),
        ("isolation.writable", {"isolation": Isolation(read_only=True, writable=("/",))}),
        ("isolation.writable", {"isolation": Isolation(read_only=True, writable=("/x/../proc/sys",))}),
        ("isolation.writable", {"isolation": Isolation(read_only=True, writable="/x")}),  # type: ignore[arg-type]  # the same
        ("isolation.hidden", {"isolation": Isolation(hidden=("/a\0b",))}),
        ("isolation.hidden", {"isolation": Isolation(hidden=("/",))}),
        ("isolation.hidden", {"isolation": Isolation(hidden=("/srv",)), "cwd": "/srv/job"}),
        ("isolation.hidden", {"isolation": Isolation(hidden=("/srv",), writable=("/srv",))}),
        ("isolation.kept_capabilities", {"isolation": Isolation(drop_capabilities=True, kept_capabilities=("CAP_X",))}),
        ("isolation.kept_capabilities", {"isolation": Isolation(kept_capabilities=("CAP_CHOWN",))}),
        ("isolation.landlock", {"isolation": Isolation(landlock=True)}),
        ("user", {"user": "no-such-user-here"}),
        ("user", {"user": ""}),
        ("groups", {"groups": ["0"]}),
        ("groups", {"user": "root", "groups": "root"}),
        ("groups", {"user": "root", "groups": ["0"] * 65}),
    ],
)
def test_refuses(field: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        JobSpec.make(["true"], **options)
    assert caught.value.field == field


def test_a_spec_is_the_same_after_json() -> None:
    isolation = Isolation(
        pid=True,
        read_only=True,
        writable=("/srv//data/",),
        hidden=("/srv/keys",),
        drop_capabilities=True,
        kept_capabilities=("net_raw", "CAP_CHOWN"),
    )
    spec = JobSpec.make(["true"], isolation=isolation, user="root", groups=["root"])
    assert spec.isolation is not None
    assert spec.isolation.writable == ("/srv/data",)
    assert spec.isolation.kept_capabilities == ("CAP_CHOWN", "CAP_NET_RAW")
    assert JobSpec.from_json(json.loads(to_bytes(spec))) == spec


def test_environment_is_that_of_the_user() -> None:
    nobody = pwd.getpwnam("nobody")
    env = JobSpec.make(["true"], user="nobody", env={"SHELL": "/bin/sh"}).env
    assert (env["HOME"], env["USER"], env["LOGNAME"]) == (nobody.pw_dir, "nobody", "nobody")
    assert env["SHELL"] == "/bin/sh"
    assert JobSpec.make(["true"], user=str(nobody.pw_uid)).env["USER"] == "nobody"


def test_groups_are_those_of_the_user_or_those_that_are_given() -> None:
    nobody = pwd.getpwnam("nobody")
    own = users.account("nobody")
    assert (own.uid, own.gid) == (nobody.pw_uid, nobody.pw_gid)
    assert set(own.groups) == set(os.getgrouplist("nobody", nobody.pw_gid))
    assert users.account("nobody", ["root", "4711"]).groups == (nobody.pw_gid, 0, 4711)
    with pytest.raises(InvalidArgumentError, match="no such group"):
        users.account("nobody", ["no-such-group-here"])
    for name in ("no-such-user-here", "root\0", "²", "4294967295"):
        with pytest.raises(InvalidArgumentError, match="no such user"):
            users.account(name)
    with pytest.raises(InvalidArgumentError, match="no such group"):
        users.account("nobody", ["root\0"])


def test_every_capability_of_this_kernel_has_a_name() -> None:
    assert len(capabilities.NAMES) > capabilities.last()
    assert capabilities.numbers(["CAP_SYS_ADMIN", "sys_admin", "chown"]) == (0, 21)


ROOT = Mount("8:1", "/", "/")


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ([ROOT], []),
        ([ROOT, Mount("8:1", "/", "/mnt")], ["/mnt/srv/state"]),
        ([ROOT, Mount("8:1", "/srv", "/mnt")], ["/mnt/state"]),
        ([ROOT, Mount("8:1", "/srv/state/jobs", "/mnt")], ["/mnt"]),
        ([ROOT, Mount("8:1", "/srv/other", "/mnt"), Mount("8:2", "/", "/media")], []),
        ([ROOT, Mount("8:2", "/", "/srv"), Mount("8:2", "/state", "/mnt")], ["/mnt"]),
        ([ROOT, Mount("8:2", "/data", "/srv"), Mount("8:2", "/", "/mnt")], ["/mnt/data/state"]),
    ],
)
def test_what_is_hidden_is_found_at_other_mounts_too(mounts: list[Mount], expected: list[str]) -> None:
    assert aliases("/srv/state", mounts) == expected


def test_plan_keeps_what_is_outermost_and_hides_what_is_there(tmp_path: Path) -> None:
    job, state = tmp_path / "job", tmp_path / "job-state"
    (job / "inner").mkdir(parents=True)
    state.mkdir()
    isolation = Isolation(read_only=True, writable=(str(job / "inner"), str(tmp_path / "absent")), hidden=(str(state),))
    plan = mount_plan.make(isolation, str(job), [str(state / "jobs"), "/no/such/path"], None)
    assert plan.kept == (str(job),)
    assert str(state) in plan.hidden
    assert not any(path.startswith(f"{state}/") or path == "/no/such/path" for path in plan.hidden)
    assert (plan.proc, plan.devices, plan.temporary, plan.emptied, plan.pinned) == (False, False, (), (), ())


def test_plan_pins_what_could_be_moved_away() -> None:
    hidden = ("/usr/share/doc",)
    read_only = mount_plan.make(Isolation(read_only=True, hidden=hidden), "/usr", [], None)
    assert read_only.pinned == ("/usr/share",)
    assert mount_plan.make(Isolation(hidden=hidden), "/usr", [], None).pinned == ("/usr", "/usr/share")


def test_a_working_directory_that_holds_the_host_is_not_writable() -> None:
    for cwd in ("/", "/proc/self", "/sys", "/dev"):
        assert mount_plan.make(Isolation.full(), cwd, [], None).kept == ()


def test_a_working_directory_in_a_place_that_is_replaced_is_put_back(tmp_path: Path) -> None:
    isolation = Isolation(private_tmp=True, private_devices=True)
    plan = mount_plan.make(isolation, "/tmp", ["/run"], "/dev/pts/0")
    assert (plan.kept, plan.terminal) == ((), "/dev/pts/0")
    assert "/tmp" in plan.temporary
    assert "/run" in plan.emptied
    assert mount_plan.make(isolation, "/usr", [], None).kept == ()


def test_landlock_asks_for_nothing_that_its_version_does_not_know() -> None:
    plan = mount_plan.make(Isolation.full(), "/usr/lib", ["/etc"], None)
    handled = [landlock.rules(plan, version).handled for version in range(1, 8)]
    assert [value.bit_length() for value in handled[:3]] == [13, 14, 15]
    assert len(set(handled[2:])) == 1
    assert [landlock.rules(plan, version).scoped for version in (5, 6)] == [0, 3]
    reading = landlock.rules(mount_plan.make(Isolation(hidden=("/etc",)), "/usr", [], None), 7)
    assert (reading.handled, reading.hidden) == (1 << 2, ("/etc",))


def test_the_documentation_tells_every_escape_and_every_refused_system_call() -> None:
    text = (Path(__file__).parents[3] / "docs" / "isolation.md").read_text()
    assert [name for name in system_calls.REFUSED if f"`{name}`" not in text] == []
    table = [part.strip() for line in text.splitlines() if line.startswith("| ") for part in re.split(r"[;|]", line)]
    assert [escape.name for escape in ESCAPES if escape.name not in table] == []
