"""In guests that have one version of cgroups; each is booted once, for all of its scenarios, by who asks first."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from jobworker_lib.cgroup import place
from limits.guest import boot
from limits.guest.scenarios import run_scenarios
from limits.guest_main import names
from limits.runner import Told
from limits.table import COLUMNS, EXAMINED, examined, examined_without_root, given_cgroups, table

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
def told_by(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[Literal[1, 2]], Told]:
    """What became of each scenario in the guest of a version. Several processes may run these tests."""
    base = tmp_path_factory.getbasetemp()

    def told(version: Literal[1, 2]) -> Told:
        shared = (base if worker_id == "master" else base.parent) / f"guest-{version}"
        shared.mkdir(exist_ok=True)
        results = shared / "results.json"
        with open(shared / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not results.exists():
                run_scenarios(boot.UserMode(), version, shared, SECONDS)
        found: Told = json.loads(results.read_text())
        return found

    return told


@pytest.mark.parametrize("name", names(2))
def test_in_the_guest_of_version_2(name: str, told_by: Callable[[Literal[1, 2]], Told]) -> None:
    _assert_well(name, told_by(2))


@pytest.mark.parametrize("name", names(1))
def test_in_the_guest_of_version_1(name: str, told_by: Callable[[Literal[1, 2]], Told]) -> None:
    _assert_well(name, told_by(1))


def _assert_well(name: str, told: Told) -> None:
    assert name in told, "the guest did not come so far"
    assert not told[name]["failure"], told[name]["failure"]


def test_the_table_of_the_documentation_is_what_was_found(told_by: Callable[[Literal[1, 2]], Told]) -> None:
    if place.find().version != 1:
        pytest.skip("the table has columns of version 1, and the cgroups of this host are of version 2")
    with given_cgroups() as parent:
        delegated = examined_without_root(parent=parent)
    here = dict(zip(COLUMNS[3:], (examined(), delegated, examined_without_root()), strict=True))
    found = table({**told_by(2)[EXAMINED], **here})
    assert found in (_ROOT / "docs" / "limits.md").read_text(), f"docs/limits.md is to have this table:\n\n{found}\n"
