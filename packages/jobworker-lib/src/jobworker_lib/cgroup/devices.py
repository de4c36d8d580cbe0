"""The block devices that limits of disks name."""

from __future__ import annotations

import os
import stat

from jobworker_lib.errors import LimitNotEnforceableError


def resolve(device: str, cwd: str) -> str:
    """The ``MAJOR:MINOR`` of the whole disk that a path names, or that its filesystem is on; empty: that of ``cwd``.

    Raises:
        LimitNotEnforceableError: there is no such path, or no disk under it.
    """
    path = os.path.join(cwd, device) if device else cwd
    try:
        status = os.stat(path)
    except OSError as error:
        raise LimitNotEnforceableError("io", f"the device {path}: {error.strerror}") from None
    number = status.st_rdev if stat.S_ISBLK(status.st_mode) else status.st_dev
    name = f"{os.major(number)}:{os.minor(number)}"
    place = os.path.realpath(f"/sys/dev/block/{name}")
    if not os.path.isdir(place):
        raise LimitNotEnforceableError(
            "io", f"{path} is not on a block device (its filesystem is {name}); name the device, such as /dev/sda"
        )
    if os.path.exists(os.path.join(place, "partition")):  # the kernel limits disks, not their partitions
        place = os.path.dirname(place)
    with open(os.path.join(place, "dev")) as file:
        return file.read().strip()
