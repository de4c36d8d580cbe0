"""Reads very many job directories, for the index: no more of them than it needs, and with as few calls as can be."""

from __future__ import annotations

import os
from typing import Any

from jobworker_lib.job import record, status_json
from jobworker_lib.job.directory import EXIT, SPEC, JobDirectory
from jobworker_lib.job.record import DAMAGE
from jobworker_lib.job.status import State
from jobworker_lib.store.index_rows import Indexed


def ended(directory: str) -> Indexed | None:
    """What the index knows of an ended job; None for others. An error of any kind where a file can't be read."""
    exit_record: dict[str, Any] = {}
    try:
        exit_record = record.read(f"{directory}/{EXIT}")
        state, ended_ns = State(exit_record["state"]), exit_record["ended_ns"]
    except FileNotFoundError:
        return None
    except DAMAGE:
        found = JobDirectory(directory).read_exit()
        if found is None:
            return None
        exit_record, state, ended_ns = {}, found.state, found.ended_ns
    spec = record.read(f"{directory}/{SPEC}")
    return Indexed(
        spec["id"],
        spec["created_ns"],
        spec["owner"],
        spec["labels"],
        spec["request_id"],
        state,
        ended_ns,
        status=_status(spec, exit_record),
    )


def _status(spec: dict[str, Any], exit_record: dict[str, Any]) -> str | None:
    try:
        return status_json.encode_records(spec, exit_record)
    except KeyError:  # one of them is of an older version
        return None


def disk_usage(directory: str) -> int:
    """The bytes that a directory takes on the disk, with all that is in it. FileNotFoundError where it is gone."""
    blocks = os.stat(directory).st_blocks
    with os.scandir(directory) as entries:
        for entry in entries:
            blocks += entry.stat(follow_symlinks=False).st_blocks
    return blocks * 512
