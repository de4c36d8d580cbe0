"""Runs the scenarios in the guest, and leaves what became of each in a file."""

from __future__ import annotations

import json
import os
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from jobworker_cli.client import Client, Credentials
from limits.guest.init import SHARED, end
from units.first import ETC
from units.machine import CALL_SECONDS, Served, Unit
from units.scenarios import ORDINARY, ROOT, Scenario, limits_stay_where_nobody_has_delegated_a_cgroup

_FORMS = (("", ORDINARY), ("-root", ROOT))


def names() -> list[str]:
    """What is told of."""
    of_forms = [f"{scenario.__name__}{form}" for form, scenarios in _FORMS for scenario in scenarios]
    return [limits_stay_where_nobody_has_delegated_a_cgroup.__name__, *of_forms]


def main() -> None:
    """Do so."""
    told: dict[str, object] = {}
    for name, failure, seconds in _results():
        told[name] = {"failure": failure, "seconds": seconds}
        Path(SHARED, "results.json").write_text(json.dumps(told))


def _results() -> Iterator[tuple[str, str, float]]:
    alone = limits_stay_where_nobody_has_delegated_a_cgroup  # so before there are units that have
    yield alone.__name__, *_become_of(alone)
    for form, scenarios in _FORMS:
        server, jobs = (Unit(f"jobworker-{what}{form}.service") for what in ("server", "jobs"))
        if form:
            _give_to_root()
        credentials = Credentials.from_directory(ETC / "certs", "full")
        with Client("localhost:50051", credentials, timeout=CALL_SECONDS) as client:
            served = Served(server, jobs, client)
            for scenario in scenarios:
                yield f"{scenario.__name__}{form}", *_become_of(partial(_served, scenario, served))
        subprocess.run(["systemctl", "stop", server.name], check=False, timeout=CALL_SECONDS)


def _served(scenario: Scenario, served: Served) -> None:
    served.server.do("start")
    scenario(served)


def _become_of(run: Callable[[], None]) -> tuple[str, float]:
    """The failure, empty where there is none, and how long it took."""
    begin, failure = time.monotonic(), ""
    try:
        run()
    except Exception:  # noqa: BLE001  whatever it is, it is told, and the others follow
        failure = traceback.format_exc() + _seen()
    return failure, time.monotonic() - begin


def _give_to_root() -> None:
    for top in (ETC, Path("/var/lib/jobworker")):
        subprocess.run(["chown", "--recursive", "root:root", top], check=True)
    ETC.chmod(0o700)


def _seen() -> str:
    commands = (["systemctl", "status", "--full", "jobworker*"], ["journalctl", "--lines=60"])
    done = [subprocess.run(command, check=False, capture_output=True, text=True) for command in commands]
    return "\n".join(found.stdout + found.stderr for found in done)


if __name__ == "__main__":
    status = 1
    try:
        main()
        status = 0
    except Exception:  # noqa: BLE001  as above
        Path(SHARED, "fault").write_text(traceback.format_exc())
    finally:
        end(status)
        os._exit(status)
