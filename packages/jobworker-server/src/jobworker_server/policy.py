"""Who may do what: for each role, the scope of each operation."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum

from jobworker_server.errors import PermissionDeniedError


class Operation(StrEnum):
    """What a call does; each RPC is one of these, and Attach may be two of them."""

    START = "start"
    STOP = "stop"
    SIGNAL = "signal"
    DELETE = "delete"
    UPDATE = "update"
    QUERY = "query"
    LIST = "list"
    WAIT = "wait"
    OUTPUT = "output"
    INPUT = "input"


class Scope(Enum):
    """Whose jobs an operation may be done on."""

    NONE = "none"
    OWN = "own"
    ANY = "any"


Policy = Mapping[str, Mapping[Operation, Scope]]
"""For each role the scope of each operation; an operation that is not there is not allowed."""

_CHANGES = (Operation.STOP, Operation.SIGNAL, Operation.DELETE, Operation.UPDATE)
_LOOKS = (Operation.QUERY, Operation.LIST, Operation.WAIT)
_FULL = dict.fromkeys(Operation, Scope.ANY)

BUILT_IN: Policy = {
    "full": _FULL,
    "admin": _FULL,
    "user": dict.fromkeys(Operation, Scope.OWN),
    "readonly": dict.fromkeys((*_LOOKS, Operation.OUTPUT), Scope.ANY),
    "observer": dict.fromkeys(_LOOKS, Scope.ANY),
}


def allowed_scope(policy: Policy, role: str, operation: Operation) -> Scope:
    """The scope in which ``role`` may do ``operation``; never ``Scope.NONE``.

    Raises:
        PermissionDeniedError: the policy does not know the role, or does not allow it the operation.
    """
    if role not in policy:
        raise PermissionDeniedError("UNKNOWN_ROLE", f"this server knows no role {role!r}, only {', '.join(policy)}")
    scope = policy[role].get(operation, Scope.NONE)
    if scope is Scope.NONE:
        raise PermissionDeniedError("NOT_ALLOWED", f"the role {role!r} does not allow to {_VERBS[operation]}")
    return scope


_VERBS = {
    Operation.START: "start jobs",
    Operation.STOP: "stop jobs",
    Operation.SIGNAL: "signal jobs",
    Operation.DELETE: "delete jobs",
    Operation.UPDATE: "change jobs",
    Operation.QUERY: "query jobs",
    Operation.LIST: "list jobs",
    Operation.WAIT: "wait for jobs",
    Operation.OUTPUT: "read the output of jobs",
    Operation.INPUT: "write to jobs",
}
