"""The block devices that limits of disks name."""

from __future__ import annotations

import os
import re
import stat

from jobworker_lib.errors import LimitNotEnforceableError

_NUMBERS = re.compile(r"\d+:\d+")
_DISKS = "/sys/block"


def all_disks() -> list[str]:
    """The ``MAJOR:MINOR`` of each whole disk that this host has now; those without any size are none."""
    return sorted(_read(name, "dev") for name in os.listdir(_DISKS) if _read(name, "size") != "0")


def resolve(device: str, cwd: str) -> str:
    """The ``MAJOR:MINOR`` of the whole disk that a path names, or that its filesystem is on; empty: that of ``cwd``.

    It may be given by its numbers as well.

    Raises:
        LimitNotEnforceableError: there is no such path, or no disk under it.
    """
    if _NUMBERS.fullmatch(device):
        return _whole(device, device)
    path = os.path.join(cwd, device) if device else cwd
    try:
        status = os.stat(path)
    except OSError as error:
        raise LimitNotEnforceableError("io", f"the device {path}: {error.strerror}") from None
    number = status.st_rdev if stat.S_ISBLK(status.st_mode) else status.st_dev
    return _whole(f"{os.major(number)}:{os.minor(number)}", path)


def _whole(name: str, path: str) -> str:
    """The disk that a device is, or is a part of; ``path`` is what led to it."""
    place = os.path.realpath(f"/sys/dev/block/{name}")
    if not os.path.isdir(place):
        raise LimitNotEnforceableError(
            "io", f"{path} is not on a block device (its filesystem is {name}); name the device, such as /dev/sda"
        )
    if os.path.exists(os.path.join(place, "partition")):  # the kernel limits disks, not their partitions
        place = os.path.dirname(place)
    with open(os.path.join(place, "dev")) as file:
        return file.read().strip()


def _read(disk: str, file: str) -> str:
    with open(os.path.join(_DISKS, disk, file)) as opened:
        return opened.read().strip()
