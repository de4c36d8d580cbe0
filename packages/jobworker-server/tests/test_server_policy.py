"""Who may do what: the built-in roles, and that all else is refused."""

from __future__ import annotations

import pytest

from jobworker_server.errors import PermissionDeniedError
from jobworker_server.policy import BUILT_IN, Operation, Policy, Role, Rules, Scope

CHANGES = {Operation.STOP, Operation.SIGNAL, Operation.DELETE, Operation.UPDATE}
LOOKS = {Operation.QUERY, Operation.LIST, Operation.WAIT}


@pytest.mark.parametrize(
    ("role", "start", "changes", "looks", "output"),
    [
        ("full", Scope.ANY, Scope.ANY, Scope.ANY, Scope.ANY),
        ("admin", Scope.ANY, Scope.ANY, Scope.ANY, Scope.ANY),
        ("user", Scope.OWN, Scope.OWN, Scope.OWN, Scope.OWN),
        ("readonly", Scope.NONE, Scope.NONE, Scope.ANY, Scope.ANY),
        ("observer", Scope.NONE, Scope.NONE, Scope.ANY, Scope.NONE),
    ],
)
def test_a_built_in_role_has_the_scopes_of_its_row(
    role: str, start: Scope, changes: Scope, looks: Scope, output: Scope
) -> None:
    expected = {
        Operation.START: start,
        **dict.fromkeys(CHANGES, changes),
        **dict.fromkeys(LOOKS, looks),
        Operation.OUTPUT: output,
        Operation.INPUT: changes,
    }
    assert {operation: BUILT_IN.roles[role].scopes.get(operation, Scope.NONE) for operation in Operation} == expected


@pytest.mark.parametrize("role", BUILT_IN.roles)
def test_jobs_of_a_built_in_role_gain_no_privileges(role: str) -> None:
    assert BUILT_IN.rules(role, "ann") == Rules(new_privileges=False)


@pytest.mark.parametrize("role", ["", "root", "Full", "full ", "none"])
def test_an_unknown_role_is_refused(role: str) -> None:
    with pytest.raises(PermissionDeniedError) as caught:
        BUILT_IN.scope(role, Operation.QUERY)
    assert caught.value.reason == "UNKNOWN_ROLE"


@pytest.mark.parametrize("operation", Operation)
def test_what_a_policy_does_not_mention_is_refused(operation: Operation) -> None:
    with pytest.raises(PermissionDeniedError) as caught:
        Policy({"guest": Role({})}).scope("guest", operation)
    assert caught.value.reason == "NOT_ALLOWED"


def test_a_scope_of_none_is_refused() -> None:
    policy = Policy({"guest": Role({Operation.STOP: Scope.NONE})})
    with pytest.raises(PermissionDeniedError, match="does not allow to stop jobs"):
        policy.scope("guest", Operation.STOP)
