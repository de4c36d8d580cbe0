"""What is most likely a mistake in a policy, or opens a way around it, on this host."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from jobworker_lib import InvalidArgumentError
from jobworker_lib.isolation import users
from jobworker_server.policy.policy import Policy
from jobworker_server.policy.rules import Rules


def warnings(policy: Policy) -> Iterator[str]:
    """Warnings, each a line that begins with the place."""
    for name, role in policy.roles.items():
        yield from _of_rules(f"roles.{name}", role.rules)
    for name, rules in policy.owners.items():
        yield from _of_rules(f"owners.{name}", rules)


def _of_rules(place: str, rules: Rules) -> Iterator[str]:
    for command in rules.commands or ():
        if problem := _of_command(Path(command)):
            yield f"{place}.commands: {command} {problem}"
    for user in rules.users or ():
        try:
            users.entry(user)
        except InvalidArgumentError:
            yield f"{place}.users: this host has no user {user}"
    if rules.users and os.geteuid() != 0:
        yield f"{place}.users: only a server that runs as root can start jobs of a user"
    for path in rules.writable or ():
        if not os.path.isdir(path):
            yield f"{place}.writable: there is no directory {path}"
            continue
        for above in Path(path).parents:
            if who := _who_else_may_change(above):
                yield f"{place}.writable: {path} may be replaced, for {who} may change {above}"


def _of_command(command: Path) -> str | None:
    try:
        real = Path(os.path.realpath(command, strict=True))  # resolve() has an error of its own for links in a circle
    except (OSError, ValueError) as error:
        return f"can't be executed: {getattr(error, 'strerror', None) or error}"
    if not os.path.isfile(real) or not os.access(real, os.X_OK):
        return "is no program that can be executed"
    for path in dict.fromkeys((real, *real.parents, command.parent, *command.parent.parents)):
        if who := _who_else_may_change(path):
            return f"is only as safe as {path}, which {who} may change"
    return None


def _who_else_may_change(path: Path) -> str | None:
    """Whoever may change a file or directory besides root; None: nobody."""
    try:
        about = path.stat()
    except OSError:
        return None  # it has just gone
    if about.st_uid != 0:
        return f"the user {about.st_uid}"
    if stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX:
        return None  # nobody can rename what is another's
    if about.st_mode & stat.S_IWOTH:
        return "everybody"
    if about.st_mode & stat.S_IWGRP and about.st_gid != 0:
        return f"the group {about.st_gid}"
    return None
