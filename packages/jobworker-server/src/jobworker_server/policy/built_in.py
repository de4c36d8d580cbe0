"""The roles that there are without a policy file, and beside those that it defines."""

from __future__ import annotations

from collections.abc import Mapping

from jobworker_server.policy.operations import Operation, Scope

_LOOKS = (Operation.QUERY, Operation.LIST, Operation.WAIT)

FULL = "full"
ADMIN = "admin"
"""Another name for ``full``, also where a policy file defines that anew."""

ROLES: Mapping[str, Mapping[Operation, Scope]] = {
    FULL: dict.fromkeys(Operation, Scope.ANY),
    ADMIN: dict.fromkeys(Operation, Scope.ANY),
    "user": dict.fromkeys(Operation, Scope.OWN),
    "readonly": dict.fromkeys((*_LOOKS, Operation.OUTPUT), Scope.ANY),
    "observer": dict.fromkeys(_LOOKS, Scope.ANY),
}
"""What each may do; none of them has bounds, but jobs that it starts gain no privileges."""
