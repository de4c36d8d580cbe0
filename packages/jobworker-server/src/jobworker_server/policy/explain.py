"""A policy as tables for people: what each role may do, and what it may start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from jobworker_lib import Isolation
from jobworker_server import limit_setting
from jobworker_server.limit_policy import LimitPolicy
from jobworker_server.policy import fence
from jobworker_server.policy.operations import Operation, Scope
from jobworker_server.policy.policy import Policy, Role
from jobworker_server.policy.rules import Rules

_NOTHING = "-"
_NO_PRIVILEGES = ["newPrivileges", "can't be gained"]


def overview(policy: Policy, limits: LimitPolicy) -> Iterator[str]:
    """Lines that tell all of a policy; ``limits`` hold besides."""
    yield from _table(
        [
            ["role", *Operation],
            *([name, *(_scope(role, operation) for operation in Operation)] for name, role in policy.roles.items()),
        ]
    )
    sections = {
        f"role {name}": list(_bounds(role.rules, LimitPolicy()))
        for name, role in policy.roles.items()
        if _may_start(role)
    }
    for name, rules in policy.owners.items():
        given = _bounds(replace(rules, new_privileges=False), LimitPolicy())
        sections[f"owner {name}"] = [*given, *([] if rules.new_privileges else [_NO_PRIVILEGES])]
    for title, bounds in sections.items():
        if bounds:
            yield ""
            yield f"{title}, in what it starts"
            yield from _indented(_table(bounds))
    if configured := _limits(limits):
        yield ""
        yield f"all roles, by the configuration: {configured}"


def of_one(policy: Policy, role_name: str, owner: str | None, limits: LimitPolicy) -> Iterator[str]:
    """Lines that tell what those may do who have a role, or one owner of them; ``limits`` hold besides.

    Raises:
        PermissionDeniedError: there is no such role.
    """
    role = policy.role(role_name)
    yield from _table([["operation", "whose jobs"], *([operation, _scope(role, operation)] for operation in Operation)])
    yield ""
    if not _may_start(role):
        yield "It starts no jobs."
        return
    rules = role.rules if owner is None else policy.rules(role_name, owner)
    yield from _table([["what it starts", "may be"], *_bounds(rules, limits, always=True)])


def _may_start(role: Role) -> bool:
    return role.scopes.get(Operation.START, Scope.NONE) is not Scope.NONE


def _scope(role: Role, operation: Operation) -> str:
    scope = role.scopes.get(operation, Scope.NONE)
    return _NOTHING if scope is Scope.NONE else scope.value


def _bounds(rules: Rules, limits: LimitPolicy, *, always: bool = False) -> Iterator[list[str]]:
    """Key and value of each bound that there is; with ``always`` also of those that there are not."""
    bounds = {
        "running": None if rules.running is None else f"{rules.running} at once of one owner",
        "queued": None if rules.queued is None else f"{rules.queued} at once of one owner",
        "priority": None if rules.priority is None else f"at most {rules.priority}",
        "commands": _list(rules.commands),
        "environment": _list(rules.environment),
        "users": _users(rules.users),
        "limits": _limits(limits.and_(rules.limits)),
        "isolation": _isolation(rules.isolation),
        "writable": _list(rules.writable),
        "newPrivileges": "may be gained" if rules.new_privileges else None,
    }
    unbounded = {
        "running": "any number at once",
        "queued": "any number at once",
        "priority": "any, by default 0",
        "commands": "any",
        "environment": "any variables",
        "users": "any, by default the server's",
        "limits": "as it asks for",
        "isolation": "as it asks for",
        _NO_PRIVILEGES[0]: _NO_PRIVILEGES[1],
    }
    for key, value in bounds.items():
        if value is not None:
            yield [key, value]
        elif always and key in unbounded:
            yield [key, unbounded[key]]


def _list(items: Sequence[str] | None) -> str | None:
    return None if items is None else ", ".join(items) or "none"


def _isolation(isolation: Isolation | None) -> str | None:
    if isolation is None:
        return None
    return "full" if isolation == Isolation.full() else ", ".join(fence.parts_of(isolation))


def _users(users: Sequence[str] | None) -> str | None:
    if not users:
        return _list(users)
    return ", ".join([f"{users[0]} (where none is named)", *users[1:]])


def _limits(limits: LimitPolicy) -> str | None:
    default = limit_setting.written(limits.default, limits.default_timeout)
    most = limit_setting.written(limits.maximum, limits.maximum_timeout)
    parts = []
    if default:
        parts.append("by default " + ", ".join(f"{key} {value}" for key, value in default.items()))
    if most:
        parts.append("at most " + ", ".join(f"{key} {value}" for key, value in most.items()))
    return "; ".join(parts) or None


def _table(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    cells = [list(map(str, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
