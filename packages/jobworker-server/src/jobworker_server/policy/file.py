"""The policy file: roles, each a scope for each operation and bounds on what it may start, and bounds for owners."""

from __future__ import annotations

from pathlib import Path

from jobworker_server.policy import built_in, entry, rules_setting
from jobworker_server.policy.entry import Entry
from jobworker_server.policy.operations import Operation, Scope
from jobworker_server.policy.policy import Policy, Role
from jobworker_server.policy.rules import Rules

_ROLES, _OWNERS, _LIKE = "roles", "owners", "like"
_OPERATIONS = {operation.value: operation for operation in Operation}
_SCOPES = {scope.value: scope for scope in Scope}
_ROLE_KEYS = (_LIKE, *_OPERATIONS, *rules_setting.KEYS)


def read(path: Path) -> Policy:
    """The policy that a file has, over the built-in roles.

    Raises:
        ConfigError: it can't be used; the message tells the file, the line and the place.
    """
    top = entry.read(path, "policy file").mapping((_ROLES, _OWNERS))
    owners = top[_OWNERS].mapping(what="owner") if _OWNERS in top else {}
    return Policy(
        roles=_Roles(top[_ROLES].mapping(what="role") if _ROLES in top else {}).all(),
        owners={
            name: rules_setting.rules(entry.mapping(rules_setting.KEYS), Rules(new_privileges=True))
            for name, entry in owners.items()
        },
    )


class _Roles:
    """Those of a file, each made once those are made that it begins with."""

    def __init__(self, entries: dict[str, Entry]) -> None:
        self._entries = entries
        self._made: dict[str, Role] = {}
        self._begun: list[str] = []

    def all(self) -> dict[str, Role]:
        names = dict.fromkeys((*built_in.ROLES, *self._entries))
        return {name: self._role(name) for name in names}

    def _role(self, name: str) -> Role:
        if name not in self._made:
            self._made[name] = self._make(name) if name in self._entries else self._built_in(name)
        return self._made[name]

    def _built_in(self, name: str) -> Role:
        if name == built_in.ADMIN and built_in.FULL in self._entries:
            return self._role(built_in.FULL)
        return Role(built_in.ROLES[name])

    def _make(self, name: str) -> Role:
        fields = self._entries[name].mapping(_ROLE_KEYS, what="operation or bound")
        self._begun.append(name)
        begin = self._beginning(name, fields[_LIKE]) if _LIKE in fields else Role({})
        self._begun.pop()
        scopes = {
            _OPERATIONS[key]: _SCOPES[value.choice(_SCOPES)] for key, value in fields.items() if key in _OPERATIONS
        }
        bounds = {key: value for key, value in fields.items() if key in rules_setting.KEYS}
        return Role({**begin.scopes, **scopes}, rules_setting.rules(bounds, begin.rules))

    def _beginning(self, name: str, like: Entry) -> Role:
        """The role that another begins with; one that begins with itself is the built-in one, changed."""
        other = like.text()
        like.known((*built_in.ROLES, *self._entries), "role")
        if other == name and other in built_in.ROLES:
            return Role(built_in.ROLES[other])
        if other in self._begun or (other == built_in.ADMIN and built_in.FULL in self._begun):
            raise like.error(f"the role begins with itself: {' like '.join((*self._begun, other))}")
        return self._role(other)
