"""How many descriptors this process may have (getrlimit(2), RLIMIT_NOFILE)."""

from __future__ import annotations

import resource

_SHARE = 4


def at_once(wanted: int) -> int:
    """So many as are ``wanted`` for one purpose, or else a quarter of those that this process may have."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if most == resource.RLIM_INFINITY else max(1, min(wanted, most // _SHARE))
