"""In a guest that has version 2 of cgroups; it is booted once, for all of them, whoever asks first."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from jobworker_lib.cgroup import place
from limits.guest import boot
from limits.guest_main import DELEGATED, REFUSED
from limits.scenarios import EVERYWHERE, IN_VERSION_2, WITHOUT_KERNEL_LOG
from limits.table import COLUMNS, EXAMINED, examined, examined_without_root, table

NAMES = (*(scenario.__name__ for scenario in (*EVERYWHERE, *IN_VERSION_2, *WITHOUT_KERNEL_LOG)), DELEGATED, REFUSED)
SECONDS = 600.0

pytestmark = [
    pytest.mark.skipif(
        shutil.which(boot.KERNEL) is None,
        reason="there is no guest kernel: apt-get install --no-install-recommends user-mode-linux",
    ),
    pytest.mark.skipif(
        os.geteuid() != 0, reason="only root can keep the guest's processes in a namespace of their own"
    ),
    pytest.mark.timeout(SECONDS + 60),
]
_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, dict[str, Any]]:
    """What became of each scenario. Several processes may run these tests."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "guest"
    shared.mkdir(exist_ok=True)
    results = shared / "results.json"
    with open(shared / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not results.exists():
            paths = [_ROOT / "tests-e2e", _ROOT / "packages" / "jobworker-lib" / "src"]
            boot.run(
                [sys.executable, "-m", "limits.guest_main", f"{boot.SHARED}/results.json"],
                shared,
                environment={"PYTHONPATH": ":".join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"},
                keep=[_ROOT, Path(sys.base_prefix)],
                seconds=SECONDS,
            )
    found: dict[str, dict[str, Any]] = json.loads(results.read_text())
    return found


@pytest.mark.parametrize("name", NAMES)
def test_in_the_guest(name: str, told: dict[str, dict[str, Any]]) -> None:
    assert name in told, "the guest did not come so far"
    assert not told[name]["failure"], told[name]["failure"]


def test_the_table_of_the_documentation_is_what_was_found(told: dict[str, dict[str, Any]]) -> None:
    if place.find().version != 1:
        pytest.skip("the table has columns of version 1, and the cgroups of this host are of version 2")
    here = dict(zip(COLUMNS[3:], (examined(), examined_without_root()), strict=True))
    found = table({**told[EXAMINED], **here})
    assert found in (_ROOT / "docs" / "limits.md").read_text(), f"docs/limits.md is to have this table:\n\n{found}\n"
