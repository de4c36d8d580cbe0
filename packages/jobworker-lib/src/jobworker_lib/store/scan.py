"""Reads very many job directories, for the index: no more of them than it needs, and with as few calls as can be."""

from __future__ import annotations

import json
import os
from typing import Any

from jobworker_lib.job.directory import EXIT, SPEC, JobDirectory
from jobworker_lib.job.record import DAMAGE
from jobworker_lib.job.status import State
from jobworker_lib.store.index_rows import Indexed

_READ_BYTES = 64 << 10


def ended(directory: str) -> Indexed | None:
    """What the index knows of an ended job; None for others. An error of any kind where a file can't be read."""
    try:
        record = _read_json(f"{directory}/{EXIT}")
        state, ended_ns = State(record["state"]), record["ended_ns"]
    except FileNotFoundError:
        return None
    except DAMAGE:
        found = JobDirectory(directory).read_exit()
        if found is None:
            return None
        state, ended_ns = found.state, found.ended_ns
    spec = _read_json(f"{directory}/{SPEC}")
    return Indexed(spec["id"], spec["created_ns"], spec["owner"], spec["labels"], spec["request_id"], state, ended_ns)


def disk_usage(directory: str) -> int:
    """The bytes that a directory takes on the disk, with all that is in it. FileNotFoundError where it is gone."""
    blocks = os.stat(directory).st_blocks
    with os.scandir(directory) as entries:
        for entry in entries:
            blocks += entry.stat(follow_symlinks=False).st_blocks
    return blocks * 512


def _read_json(path: str) -> Any:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = part = os.read(descriptor, _READ_BYTES)
        while len(part) == _READ_BYTES:
            part = os.read(descriptor, _READ_BYTES)
            data += part
    finally:
        os.close(descriptor)
    return json.loads(data)
