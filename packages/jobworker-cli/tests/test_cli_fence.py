"""Limits, isolation and usage: from options to the API, and from the API to what is shown."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli_process import TIMEOUT_SECONDS
from jobworker.v1 import job_pb2
from jobworker.v1 import worker_service_pb2 as api
from jobworker_cli import errors
from jobworker_cli.client import Client, Credentials, convert_fence
from jobworker_cli.fence import IoLimit, Isolation, Limits, Network, Usage
from jobworker_cli.usage_table import header as usage_header
from scripted_server import ScriptedServer, exited, job, refusal

if TYPE_CHECKING:
    from cli_process import Cli

MEBI = 1 << 20
EACH_LIMIT: dict[str, tuple[str, Any]] = {
    "memory_bytes": ("--memory=64M", 64 * MEBI),
    "cpus": ("--cpus=0.5", 0.5),
    "pids": ("--pids=50", 50),
    "memory_high_bytes": ("--memory-high=1.5G", 1536 * MEBI),
    "swap_bytes": ("--swap=0", 0),
    "cpu_weight": ("--cpu-weight=10000", 10000),
    "io": ("--io-read=10M", (IoLimit(read_bytes_per_second=10 * MEBI),)),
    "open_files": ("--open-files=64", 64),
    "file_size_bytes": ("--file-size=1k", 1024),
    "core_size_bytes": ("--core-size=0", 0),
    "nice": ("--nice=-20", -20),
}
EACH_PART: dict[str, tuple[str, Any]] = {
    "pid": ("--private-pid", True),
    "ipc": ("--private-ipc", True),
    "uts": ("--private-uts", True),
    "network": ("--network=none", Network.NONE),
    "read_only": ("--read-only", True),
    "writable": ("--writable=/srv", ("/srv",)),
    "private_tmp": ("--private-tmp", True),
    "private_devices": ("--private-devices", True),
    "hidden": ("--hide=/home", ("/home",)),
    "no_new_privileges": ("--no-new-privileges", True),
    "drop_capabilities": ("--drop-capabilities", True),
    "kept_capabilities": ("--keep-capability=chown", ("chown",)),
    "seccomp": ("--seccomp", True),
    "landlock": ("--landlock", True),
}


def asked(cli: Cli, server: ScriptedServer, *options: str, command: str = "start") -> api.StartRequest:
    server.service.jobs = [exited(0)]
    done = cli(command, *options, "true")
    assert done.returncode == 0, done.stderr
    (request,) = server.service.requests_of(api.StartRequest)
    server.service.requests.clear()
    return request  # type: ignore[no-any-return]  # the scripted server takes any


def test_samples_hold_all_that_there_is() -> None:
    assert EACH_LIMIT.keys() == {field.name for field in fields(Limits)}
    assert EACH_PART.keys() == {field.name for field in fields(Isolation)}


@pytest.mark.parametrize("name", EACH_LIMIT)
def test_each_limit_comes_through(client: Client, server: ScriptedServer, name: str) -> None:
    limits = replace(Limits(), **{name: EACH_LIMIT[name][1]})
    server.service.answers["Start"] = lambda request, _: api.StartResponse(job=job(limits=request.limits))
    assert client.start(["true"], limits=limits).limits == limits
    assert [field.name for field, _ in server.service.requests[0].limits.ListFields()] == [name]


@pytest.mark.parametrize("name", EACH_PART)
def test_each_part_of_the_isolation_comes_through(client: Client, server: ScriptedServer, name: str) -> None:
    isolation = replace(Isolation(), **{name: EACH_PART[name][1]})
    server.service.answers["Start"] = lambda request, _: api.StartResponse(job=job(isolation=request.isolation))
    assert client.start(["true"], isolation=isolation).isolation == isolation


def test_full_isolation_comes_through() -> None:
    full = Isolation.full()
    assert convert_fence.isolation(convert_fence.isolation_value(full)) == full
    assert convert_fence.isolation_value(full).landlock_where_available


def test_nothing_is_sent_that_is_not_asked_for(client: Client, server: ScriptedServer) -> None:
    server.service.jobs = [job()]
    started = client.start(["true"])
    request = server.service.requests[0]
    assert not request.HasField("limits")
    assert not request.HasField("isolation")
    assert (started.limits, started.isolation, started.usage, started.user) == (Limits(), None, None, "")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"limits": Limits(pids=-1)}, "limits"),
        ({"limits": Limits(memory_bytes=1 << 64)}, "limits"),
        ({"limits": Limits(io=(IoLimit(read_bytes_per_second=-1),))}, "limits.io"),
        ({"limits": Limits(io=(IoLimit(device="\udcff"),))}, "limits.io.device"),
        ({"isolation": Isolation(hidden=("\udcff",))}, "isolation.hidden"),
        ({"user": "\udcff"}, "user"),
        ({"groups": ["\udcff"]}, "groups"),
    ],
)
def test_what_can_not_be_sent_is_refused(client: Client, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(errors.InvalidRequestError, match=f"^{problem}: "):
        client.start(["true"], **options)


@pytest.mark.parametrize("command", ["start", "run"])
def test_all_options_of_limits(cli: Cli, server: ScriptedServer, command: str) -> None:
    options = [option for option, _ in EACH_LIMIT.values()]
    request = asked(cli, server, *options, command=command)
    assert convert_fence.limits(request.limits) == replace(Limits(), **{n: v for n, (_, v) in EACH_LIMIT.items()})


def test_rates_of_several_devices(cli: Cli, server: ScriptedServer) -> None:
    request = asked(
        cli, server, "--io-read", "/dev/sda=10M", "--io-write", "5M", "--io-read-ops", "/dev/sda=100",
        "--io-write-ops", "/a=b=7", "--io-read", "/dev/sda=20M",
    )  # fmt: skip
    assert convert_fence.limits(request.limits).io == (
        IoLimit(device="/dev/sda", read_bytes_per_second=20 * MEBI, read_operations_per_second=100),
        IoLimit(write_bytes_per_second=5 * MEBI),
        IoLimit(device="/a=b", write_operations_per_second=7),
    )


@pytest.mark.parametrize("command", ["start", "run"])
def test_all_options_of_isolation(cli: Cli, server: ScriptedServer, command: str) -> None:
    options = [option for option, _ in EACH_PART.values()]
    request = asked(cli, server, *options, "--user", "ann", "--group", "video", "--group", "7", command=command)
    expected = replace(Isolation(), **{name: value for name, (_, value) in EACH_PART.items()})
    assert convert_fence.isolation(request.isolation) == expected
    assert (request.user, list(request.groups)) == ("ann", ["video", "7"])


def test_isolate_is_all_of_it_but_what_is_excepted(cli: Cli, server: ScriptedServer) -> None:
    whole = asked(cli, server, "--isolate")
    assert convert_fence.isolation(whole.isolation) == Isolation.full()
    options = "--isolate", "--except", "read-only", "--except", "landlock", "--network", "host", "--writable", "/srv"
    part = asked(cli, server, *options)
    assert convert_fence.isolation(part.isolation) == replace(
        Isolation.full(), read_only=False, landlock=False, network=Network.HOST, writable=("/srv",)
    )


@pytest.mark.parametrize(
    "options",
    [
        ["--memory", "much"],
        ["--memory", "-1"],
        ["--cpus", "0"],
        ["--cpus", "nan"],
        ["--pids", "0"],
        ["--cpu-weight", "10001"],
        ["--nice", "20"],
        ["--open-files", "0"],
        ["--io-read", "sda=10M"],
        ["--io-read", "/dev/sda="],
        ["--io-read-ops", "1.5"],
        ["--network", "bridge"],
        ["--except", "pid"],
        ["--isolate", "--except", "everything"],
        ["--group", "video"],
    ],
)
@pytest.mark.parametrize("command", ["start", "run"])
def test_wrong_usage(cli: Cli, command: str, options: list[str]) -> None:
    refused = cli(command, *options, "true")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert options[0 if options[0] != "--isolate" else 1] in refused.stderr


@pytest.mark.parametrize("reason", ["LIMIT_NOT_ENFORCEABLE", "ISOLATION_NOT_AVAILABLE"])
def test_what_the_host_can_not_do_is_told_with_a_hint(cli: Cli, server: ScriptedServer, reason: str) -> None:
    server.service.answers["Start"] = refusal("FAILED_PRECONDITION", reason, "the controller memory is missing")
    for command in ("start", "run"):
        refused = cli(command, "true")
        assert refused.returncode == 1
        assert refused.stderr.startswith("error: the controller memory is missing\nhint: `jobworker-server doctor`")


def test_help_has_a_section_for_each_kind_of_option(cli: Cli) -> None:
    shown = cli("start", "--help").stdout
    sections = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert sections == ["Arguments:", "Options:", "Limits:", "Isolation:"]
    assert shown.index("Limits:") < shown.index("--memory ") < shown.index("Isolation:") < shown.index("--isolate")


# stats


def sample(second: int, **usage: Any) -> api.GetStatsResponse:
    made = api.GetStatsResponse(usage=job_pb2.Usage(**usage) if usage else None)
    made.time.FromJsonString(f"2026-01-02T03:04:{second:02}Z")
    return made


def busy(second: int) -> api.GetStatsResponse:
    made = sample(second, memory_bytes=61 * MEBI, memory_peak_bytes=64 * MEBI, pids=3, io_read_bytes=999)
    made.usage.cpu_user.FromMilliseconds(second * 400)
    made.usage.cpu_system.FromMilliseconds(second * 100)
    return made


def test_stats_as_json_are_a_line_a_sample(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job()]
    server.service.answers["GetStats"] = lambda *_: iter([sample(4), sample(5, pids=3, cpu_pressure=1.5)])
    shown = cli("stats", "-o", "json", "--interval", "0.5", server.service.jobs[0].id)
    assert (shown.returncode, shown.stderr) == (0, "")
    queued, running = map(json.loads, shown.stdout.splitlines())
    assert queued == {"time": "2026-01-02T03:04:04.000000Z", "usage": None}
    assert running["usage"].keys() == {field.name for field in fields(Usage)}
    assert (running["usage"]["pids"], running["usage"]["cpu_pressure"], running["usage"]["cpu_user"]) == (3, 1.5, None)
    (request,) = server.service.requests_of(api.GetStatsRequest)
    assert (request.interval.ToMilliseconds(), request.once) == (500, False)


def test_stats_in_a_pipe_are_a_row_a_sample(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job()]
    server.service.answers["GetStats"] = lambda *_: iter([sample(4), busy(5), busy(7)])
    shown = cli("stats", server.service.jobs[0].id, TZ="UTC")
    header, nothing, first, second = shown.stdout.splitlines()
    assert header == usage_header()
    assert nothing.split() == ["03:04:04", *"-------"]
    assert first.split() == ["03:04:05", "-", "2.50s", "61.0M", "64.0M", "3", "999B", "-"]
    assert second.split() == ["03:04:07", "50%", "3.50s", "61.0M", "64.0M", "3", "999B", "-"]
    assert max(map(len, shown.stdout.splitlines())) <= 80
    wide = cli("stats", "-o", "wide", server.service.jobs[0].id, TZ="UTC", COLUMNS="40")
    assert wide.stdout == shown.stdout


def test_stats_of_now(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job()]
    assert cli("stats", "--no-follow", server.service.jobs[0].id).returncode == 0
    (request,) = server.service.requests_of(api.GetStatsRequest)
    assert request.once


def test_stats_go_on_when_the_connection_was_lost(server: ScriptedServer, certs: Path) -> None:
    arrived = threading.Event()

    def broken(_request: Any, _context: Any) -> Iterator[api.GetStatsResponse]:
        yield busy(1)
        arrived.wait(TIMEOUT_SECONDS)
        server.service.answers["GetStats"] = lambda *_: iter([busy(3)])
        server.drop_connections()

    server.service.answers["GetStats"] = broken
    seen = []
    with Client(server.address, Credentials.from_directory(certs)) as client:
        for found in client.stats("x"):
            seen.append(found.time.second)
            arrived.set()
    assert seen == [1, 3]
    assert len(server.service.requests_of(api.GetStatsRequest)) == 2


@pytest.mark.parametrize("interval", ["0.05", "86401", "soon"])
def test_an_interval_that_can_not_be(cli: Cli, interval: str) -> None:
    assert cli("stats", "--interval", interval, "3f2a").returncode == 2


@pytest.mark.parametrize(
    ("columns", "titles"),
    [
        (80, "TIME CPU CPU TIME MEMORY PEAK PIDS READ WRITTEN"),
        (60, "CPU CPU TIME MEMORY PEAK READ WRITTEN"),
        (40, "CPU CPU TIME MEMORY PEAK"),
    ],
)
def test_stats_on_a_terminal_take_each_others_place(
    server: ScriptedServer, environment: dict[str, str], tmp_path: Path, columns: int, titles: str
) -> None:
    server.service.jobs = [job()]
    server.service.answers["GetStats"] = lambda *_: iter([busy(5), busy(7)])
    command = f"stty cols {columns} rows 24; {sys.executable} -m jobworker_cli stats {server.service.jobs[0].id}"
    shown = subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        env=environment | {"JOBWORKER_SERVER": server.address},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    header, first, second = shown.stdout.splitlines()
    assert header.split() == titles.split()
    assert "2.50s" in first
    assert second.startswith("\x1b[1A\x1b[2K")
    assert max(map(len, (header, first, second.removeprefix("\x1b[1A\x1b[2K")))) <= columns
