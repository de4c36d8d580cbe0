"""What is to hold for the units. Each scenario finds the server active, and leaves it so."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from jobworker_cli.client import Isolation, Limits
from jobworker_lib import Engine
from jobworker_lib import Limits as EngineLimits
from limits.tools import MIB, hog
from units.first import ETC, PREFIX
from units.machine import CALL_SECONDS, Served, output_of, wait_until

Scenario = Callable[[Served], None]

LIMITS = Limits(memory_bytes=24 * MIB, pids=30, cpus=0.9)
_SECRET = "hush-4711"


def limits_stay_where_nobody_has_delegated_a_cgroup() -> None:
    """systemd manages all that is there, and disables what none of its units needs."""
    with Engine("/var/lib/engine") as engine:
        job = engine.start(["sleep", "1000"], cwd="/", limits=EngineLimits(cpus=0.5, pids=20))
        quota = Path("/sys/fs/cgroup/jobworker-jobs", f"jobworker-{job.id}", "cpu.max")
        assert quota.read_text() == "50000 100000\n"
        output_of("systemd-run", "--unit=other", "--property=CPUWeight=200", "sleep", "1000")
        output_of("systemctl", "stop", "other.service")
        output_of("systemctl", "daemon-reload")
        assert quota.read_text() == "50000 100000\n"
        job.stop(force=True)


def is_active_as_soon_as_it_takes_calls(served: Served) -> None:
    """``systemctl start`` has just returned."""
    assert output_of("jobworker-cli", "run", "echo", "hello") == "hello\n"
    assert served.server["ActiveState"] == "active"
    assert served.server["StatusText"] == "listening on localhost:50051"


def limits_are_enforced_and_end_no_unit(served: Served) -> None:
    """Memory of a job that has run out of it is not the server's."""
    before = served.server["MainPID"]
    told = served.run("cat", "/proc/self/cgroup", limits=LIMITS)
    assert told.startswith(f"0::/jobworker.slice/{served.jobs.name}/jobworker-"), told
    job = served.start(*hog(64), limits=LIMITS)
    ended = served.client.wait(job.id, timeout=CALL_SECONDS)
    assert ended.reason == "out_of_memory", ended
    for unit in (served.server, served.jobs):
        assert (unit["ActiveState"], unit["Result"], unit["NRestarts"]) == ("active", "success", "0")
    assert served.server["MainPID"] == before
    wait_until(lambda: not served.cgroup_of(job).exists(), "the end of the cgroup")


def jobs_write_where_they_should(served: Served) -> None:
    """Isolated or not, as the unit's user."""
    look = "id -u; touch /usr/mine /boot/mine; touch mine && echo here; touch /tmp/mine && rm /tmp/mine && echo tmp"
    user = str(Path(ETC).stat().st_uid)
    home = "/var/lib/jobworker"
    for isolation in (None, Isolation.full()):
        told = served.run("sh", "-c", f"{look}; rm mine", cwd=home, isolation=isolation).splitlines()
        assert [line for line in told if not line.startswith("touch: ")] == [user, "here", "tmp"], told
        assert sum("Read-only file system" in line for line in told) == 2, told
    assert "Read-only" in served.run("touch", "/etc/mine", isolation=Isolation.full())


def a_reload_takes_new_files_and_tells_of_bad_ones_as_errors(served: Served) -> None:
    """In the journal, with its own times and priorities."""
    before = served.server["MainPID"]
    served.server.do("reload")
    (entry, *_) = served.server.messages("the server's certificate was reloaded")
    assert entry["PRIORITY"] == "6"
    assert entry["MESSAGE"].startswith("INFO the server's"), "the journal knows the time"
    certificate = ETC / "certs" / "server.pem"
    good = certificate.read_bytes()
    certificate.write_bytes(b"no certificate")
    served.server.do("reload")
    (entry, *_) = served.server.messages("was not reloaded, the old one stays in use")
    assert entry["PRIORITY"] == "3"
    certificate.write_bytes(good)
    served.server.do("reload")
    wait_until(lambda: served.server["ActiveState"] == "active", "the end of the reload")
    assert served.server["MainPID"] == before


def the_journal_holds_no_secrets(served: Served) -> None:
    """Neither arguments nor variables of jobs, nor keys."""
    job = served.start("sh", "-c", f"echo {_SECRET}; exit 1", env={"PASSWORD": _SECRET})
    served.client.wait(job.id, timeout=CALL_SECONDS)
    served.server.messages(f"job {job.id} started by full (full)")
    told = output_of("journalctl", "--output=json", "--all")
    assert _SECRET not in told
    assert "PRIVATE KEY" not in told


def _start_jobs(served: Served) -> None:
    served.count(limits=LIMITS)
    served.count(isolation=Isolation.full(), cwd="/var/lib/jobworker")
    served.count()


def _assert_running(served: Served) -> None:
    for counting in served.running:
        counting.see_more()
    assert (served.cgroup_of(served.running[0].job) / "memory.max").read_text() == f"{24 * MIB}\n"


def jobs_outlive_a_restart(served: Served) -> None:
    """With their limits and files; new ones get theirs."""
    _start_jobs(served)
    before = served.server["MainPID"]
    served.server.do("restart")
    assert served.server["MainPID"] != before
    _assert_running(served)
    assert served.run("echo", "after", limits=LIMITS) == "after\n"


def jobs_outlive_a_stop(served: Served) -> None:
    """The same, with a while between the end of the server and its start."""
    _start_jobs(served)
    served.server.do("stop")
    assert (served.server["ActiveState"], served.server["Result"]) == ("inactive", "success")
    assert served.jobs["ActiveState"] == "active"
    processes = served.cgroup_of(served.running[0].job) / "cgroup.procs"
    assert processes.read_text()
    output_of("systemctl", "daemon-reload")
    served.server.do("start")
    _assert_running(served)
    assert served.run("echo", "after", limits=LIMITS) == "after\n"


def jobs_outlive_a_kill_and_systemd_starts_the_server_again(served: Served) -> None:
    """What has ended meanwhile has its exit."""
    before = served.server["MainPID"]
    served.server.do("kill", "--kill-whom=main", "--signal=KILL")
    ended = served.running.pop()
    ended.end()
    served.wait_until_active(other_than=before)
    assert served.server["NRestarts"] == "1"
    ended.assert_ended_well()
    _assert_running(served)


def nothing_is_left_of_jobs_that_have_ended(served: Served) -> None:
    """And they end as if the server had been there all the time."""
    for counting in served.running:
        counting.end()
        counting.assert_ended_well()
    wait_until(lambda: not list(served.jobs.cgroup.glob("jobworker-*-*-*")), "the end of all cgroups of jobs")
    assert served.jobs["ActiveState"] == "active"
    ours = {"jobworker-serve", "jobworker-fork", "jobworker-shim"}
    wait_until(lambda: _names(served) <= ours, "the end of all processes")


def _names(served: Served) -> set[str]:
    pids = (served.server.cgroup / "cgroup.procs").read_text().split()
    return {Path("/proc", pid, "comm").read_text().strip() for pid in pids if os.path.exists(f"/proc/{pid}")}


def the_doctor_finds_that_all_limits_can_be_enforced(served: Served) -> None:
    """It is asked within the unit, by a job, and for limits alone: the rest of it would take long here."""
    ask = """
import sys
from jobworker_lib import doctor
print([found.name for found in doctor.examine_limits(sys.argv[1]) if found.problem])
"""
    told = served.run(f"{PREFIX}/bin/python", "-c", ask, f"/jobworker.slice/{served.jobs.name}")
    assert told == ("[]\n" if served.is_of_root else "['nice: more favourable']\n")


def jobs_run_as_other_users(served: Served) -> None:
    """For which the server runs as root."""
    for isolation in (None, Isolation.full()):
        told = served.run(
            "sh", "-c", "id -un; cat /proc/self/cgroup", user="nobody", isolation=isolation, limits=LIMITS
        )
        name, cgroup = told.splitlines()
        assert name == "nobody"
        assert f"/{served.jobs.name}/jobworker-" in cgroup


ORDINARY: tuple[Scenario, ...] = (
    is_active_as_soon_as_it_takes_calls,
    limits_are_enforced_and_end_no_unit,
    the_doctor_finds_that_all_limits_can_be_enforced,
    jobs_write_where_they_should,
    a_reload_takes_new_files_and_tells_of_bad_ones_as_errors,
    the_journal_holds_no_secrets,
    jobs_outlive_a_stop,
    jobs_outlive_a_kill_and_systemd_starts_the_server_again,
    nothing_is_left_of_jobs_that_have_ended,
)
ROOT: tuple[Scenario, ...] = (
    limits_are_enforced_and_end_no_unit,
    the_doctor_finds_that_all_limits_can_be_enforced,
    jobs_run_as_other_users,
    jobs_outlive_a_restart,
    nothing_is_left_of_jobs_that_have_ended,
)
