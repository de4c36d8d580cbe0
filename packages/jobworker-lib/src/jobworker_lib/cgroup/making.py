"""Makes a job's cgroup, and finds it again."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from jobworker_lib.cgroup import checking, place
from jobworker_lib.cgroup.v1 import GroupV1
from jobworker_lib.cgroup.v2 import GroupV2

if TYPE_CHECKING:
    from jobworker_lib.cgroup.group import Group
    from jobworker_lib.job.spec import JobSpec

_KINDS: dict[int, type[GroupV1 | GroupV2]] = {1: GroupV1, 2: GroupV2}
_PREFIX = "jobworker-"


def plan(spec: JobSpec) -> Group | None:
    """The cgroup that a job is to have, not made yet; None where it needs none, or an isolated one can't have one."""
    is_limited = bool(checking.controllers(spec.limits))
    if not is_limited and spec.isolation is None:
        return None
    here = place.find(spec.cgroup_parent)
    if not here.parents:
        return None
    name = f"{_PREFIX}{spec.id}"
    return _KINDS[here.version]({key: os.path.join(parent, name) for key, parent in here.parents.items()})


def to_record(group: Group) -> dict[str, Any]:
    """What is kept in the job's directory to find it again."""
    return {"version": group.version, "directories": group.directories}


def from_record(record: dict[str, Any], job_id: str) -> Group | None:
    """The cgroup that was recorded for a job; None where the record is of another kind, or not of this job."""
    kind = _KINDS.get(record.get("version", 0))
    directories = record.get("directories")
    if kind is None or not isinstance(directories, dict) or not directories:
        return None
    if any(os.path.basename(path) != f"{_PREFIX}{job_id}" for path in directories.values()):
        return None
    return kind(directories)


def remove_recorded(record: dict[str, Any], job_id: str) -> None:
    """Kill and remove what is left of a recorded cgroup."""
    if (group := from_record(record, job_id)) is not None:
        with suppress(OSError):
            group.remove()
