from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from jobworker_lib import (
    InvalidArgumentError,
    IoLimit,
    Limits,
    OutputLimit,
    RestartPolicy,
    TerminalSize,
)
from jobworker_lib.job.record import to_bytes
from jobworker_lib.job.spec import DEFAULT_PATH, JobSpec


def make(argv: Any = ("true",), **options: Any) -> JobSpec:
    return JobSpec.make(argv, **options)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("argv", {"argv": []}),
        ("argv", {"argv": ["", "x"]}),
        ("argv", {"argv": "echo hi"}),
        ("argv", {"argv": b"echo"}),
        ("argv", {"argv": ["echo\0"]}),
        ("argv", {"argv": ["echo", "a\0b"]}),
        ("argv", {"argv": ["echo", b"bytes"]}),
        ("argv", {"argv": ["echo", "\ud800"]}),
        ("cwd", {"cwd": "/a\0b"}),
        ("cwd", {"cwd": b"/bytes"}),
        ("env", {"env": {"": "x"}}),
        ("env", {"env": {"A=B": "x"}}),
        ("env", {"env": {"A\0": "x"}}),
        ("env", {"env": {"A": "x\0"}}),
        ("env", {"env": {"A": 1}}),
        ("env", {"env": {1: "x"}}),
        ("env", {"env": {"JOBWORKER_JOB_ID": "x"}}),
        ("env", {"env": {"JOBWORKER_JOB_DIRECTORY": "x"}}),
        ("timeout", {"timeout": 0}),
        ("timeout", {"timeout": -1.5}),
        ("timeout", {"timeout": float("nan")}),
        ("timeout", {"timeout": float("inf")}),
        ("timeout", {"timeout": 11 * 366 * 86400}),
        ("limits.memory_bytes", {"limits": Limits(memory_bytes=0)}),
        ("limits.pids", {"limits": Limits(pids=-1)}),
        ("limits.cpus", {"limits": Limits(cpus=float("inf"))}),
        ("limits.cpus", {"limits": Limits(cpus=0)}),
        ("limits.memory_high_bytes", {"limits": Limits(memory_high_bytes=1 << 63)}),
        ("limits.swap_bytes", {"limits": Limits(swap_bytes=-1)}),
        ("limits.cpu_weight", {"limits": Limits(cpu_weight=10_001)}),
        ("limits.open_files", {"limits": Limits(open_files=0)}),
        ("limits.nice", {"limits": Limits(nice=20)}),
        ("limits.nice", {"limits": Limits(nice=-21)}),
        ("limits.io[0]", {"limits": Limits(io=(IoLimit(device="/dev/sda"),))}),
        ("limits.io", {"limits": Limits(io=(IoLimit(read_bytes_per_second=1), IoLimit(read_bytes_per_second=2)))}),
        ("limits.io[0].device", {"limits": Limits(io=(IoLimit(device="/a\0", read_bytes_per_second=1),))}),
        ("limits.io[0].write_bytes_per_second", {"limits": Limits(io=(IoLimit(write_bytes_per_second=0),))}),
        ("terminal", {"terminal": TerminalSize(0, 80)}),
        ("terminal", {"terminal": TerminalSize(24, 65536)}),
        ("output_limit.bytes", {"output_limit": OutputLimit(65535)}),
        ("output_limit.action", {"output_limit": OutputLimit(65536, "burn")}),  # type: ignore[arg-type]  # on purpose
        ("priority", {"priority": 1001}),
        ("priority", {"priority": -1001}),
        ("start_deadline", {"start_deadline": 0}),
        ("restart.max_restarts", {"restart": RestartPolicy(max_restarts=-1)}),
        ("restart.backoff", {"restart": RestartPolicy(max_restarts=1, backoff=0)}),
        ("restart.max_backoff", {"restart": RestartPolicy(max_restarts=1, max_backoff=float("nan"))}),
        ("labels", {"labels": {"": "x"}}),
        ("labels", {"labels": {"-a": "x"}}),
        ("labels", {"labels": {"a-": "x"}}),
        ("labels", {"labels": {"a b": "x"}}),
        ("labels", {"labels": {"a\n": "x"}}),
        ("labels", {"labels": {"a" * 64: "x"}}),
        ("labels", {"labels": {"été": "x"}}),
        ("labels", {"labels": {f"k{number}": "" for number in range(65)}}),
        ("labels.a", {"labels": {"a": "x" * 257}}),
        ("labels.a", {"labels": {"a": "x\ny"}}),
        ("labels.a", {"labels": {"a": "\u2028"}}),
        ("labels.a", {"labels": {"a": 1}}),
        ("owner", {"owner": ""}),
        ("owner", {"owner": "x" * 257}),
        ("owner", {"owner": "a\x1b[31m"}),
        ("request_id", {"request_id": "x" * 129}),
        ("request_id", {"request_id": "a\0b"}),
    ],
    ids=repr,
)
def test_refuses(field: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        make(**options)
    assert caught.value.field == field
    assert str(caught.value) == f"{field}: {caught.value.problem}"
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "options",
    [
        {"argv": ["true", "", "\n", "\udcff"]},
        {"argv": [Path("/bin/true"), Path("x")]},
        {"argv": ("true",)},
        {"env": {"A": "", "été": "\n=", "B": "\udcff"}},
        {"timeout": 1},
        {"timeout": 0.001},
        {"timeout": 10 * 366 * 86400},
        {"labels": {"a": "", "A.b_c-d/e9": "x" * 256, "k" * 63: "été"}},
        {"owner": "Ann Example <ann@example.org>"},
        {"request_id": "x" * 128},
        {"request_id": ""},
        {"limits": Limits(memory_bytes=1, cpus=0.01, pids=1)},
        {"limits": Limits(swap_bytes=0, core_size_bytes=0, file_size_bytes=0, nice=-20, cpu_weight=10_000)},
        {"limits": Limits(io=(IoLimit(read_bytes_per_second=1), IoLimit(device="/", write_operations_per_second=2)))},
    ],
    ids=repr,
)
def test_accepts_and_keeps_on_disk_as_it_is(options: dict[str, Any]) -> None:
    spec = make(**options)
    assert JobSpec.from_json(json.loads(to_bytes(spec))) == spec


def test_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    account = pwd.getpwuid(os.geteuid())
    spec = make()
    assert spec.cwd == str(tmp_path)
    assert spec.owner == account.pw_name
    assert (spec.labels, spec.timeout, spec.limits, spec.request_id) == ({}, None, Limits(), None)
    assert spec.env == {
        "PATH": DEFAULT_PATH,
        "HOME": account.pw_dir,
        "USER": account.pw_name,
        "LOGNAME": account.pw_name,
        "SHELL": account.pw_shell or "/bin/sh",
        "LANG": "C.UTF-8",
        "JOBWORKER_JOB_ID": spec.id,
    }


def test_relative_working_directory_is_one_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert make(cwd="below").cwd == f"{tmp_path}/below"


def test_errors_never_hold_arguments_or_environment() -> None:
    secret = "hunter2"
    for options in (
        {"argv": ["login", f"{secret}\0"]},
        {"env": {"PASSWORD": f"{secret}\0"}},
        {"env": {f"{secret}=": "x"}},
        {"labels": {f"-{secret}": "x"}},
    ):
        with pytest.raises(InvalidArgumentError) as caught:
            make(**options)
        assert secret not in str(caught.value)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(TypeError, match="timeuot"):
        make(timeuot=3)


def test_a_spec_is_the_same_after_json() -> None:
    spec = make(
        ["sh", "-c", "x"],
        limits=Limits(cpus=0.5, nice=-3, io=(IoLimit(device="/srv", read_bytes_per_second=1 << 20),)),
        terminal=TerminalSize(50, 132),
        output_limit=OutputLimit(1 << 20, "drop_oldest"),
        restart=RestartPolicy(max_restarts=3),
        stdin=True,
        priority=-5,
        start_deadline=1.5,
    )
    assert JobSpec.from_json(json.loads(to_bytes(spec))) == spec
    assert JobSpec.from_json(json.loads(to_bytes(make()))).restart is None
