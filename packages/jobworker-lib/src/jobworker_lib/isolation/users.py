"""The Unix user that a job runs as, looked up before it is forked."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass

from jobworker_lib.errors import InvalidArgumentError

_HIGHEST_ID = (1 << 32) - 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user with all its groups."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    """The supplementary ones, its own included, as initgroups(3) gives them."""


def account(user: str, groups: Sequence[str] | None = None) -> Account:
    """The account of a user given by name or number, with its groups or with others in their place.

    Raises:
        InvalidArgumentError: there is no such user, or no such group.
    """
    found = entry(user)
    own = os.getgrouplist(found.pw_name, found.pw_gid) if groups is None else map(_group, groups)
    return Account(uid=found.pw_uid, gid=found.pw_gid, groups=tuple(dict.fromkeys((found.pw_gid, *own))))


def entry(user: str) -> pwd.struct_passwd:
    """What the user database has of a user given by name or number. InvalidArgumentError where it has nothing."""
    try:
        if (number := _number(user)) is not None:
            return pwd.getpwuid(number)
        return pwd.getpwnam(user)
    except (KeyError, ValueError):  # the latter for a NUL in it
        raise InvalidArgumentError("user", f"this host has no such user as {user!r}") from None


def _group(group: str) -> int:
    if (number := _number(group)) is not None:
        return number
    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):
        raise InvalidArgumentError("groups", "this host has no such group") from None


def _number(text: str) -> int | None:
    """The id that a text gives; None: it is a name."""
    if text.isascii() and text.isdigit() and int(text) <= _HIGHEST_ID:
        return int(text)
    return None
