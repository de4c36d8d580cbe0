"""What kind of filesystem a directory is on."""

from __future__ import annotations

import os

_NETWORK_TYPES = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "9p",
    "ceph",
    "lustre",
    "gpfs",
    "beegfs",
    "afs",
    "glusterfs",
    "ocfs2",
    "gfs2",
)


def is_network_filesystem(path: str) -> bool:
    """Whether other hosts may change files below ``path`` unseen by inotify and by SQLite's shared memory."""
    kind = _filesystem_type(os.path.realpath(path))
    return kind in _NETWORK_TYPES or kind.startswith("fuse.")


def _filesystem_type(path: str) -> str:
    """The type of the mount that holds ``path`` (/proc/self/mountinfo, proc(5))."""
    longest, kind = "", ""
    with open("/proc/self/mountinfo") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            mount_point = before.split(" ")[4].encode().decode("unicode_escape")
            inside = path == mount_point or path.startswith(mount_point.rstrip("/") + "/")
            if inside and len(mount_point) >= len(longest):
                longest, kind = mount_point, after.split(" ")[0]
    return kind
