"""Who may do what: for each role the scope of each operation, and what jobs it may start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jobworker_server.errors import PermissionDeniedError
from jobworker_server.policy import built_in
from jobworker_server.policy.operations import Operation, Scope
from jobworker_server.policy.rules import ANYTHING, Rules


@dataclass(frozen=True, slots=True)
class Role:
    """What those who have it may do; an operation that is not there is not allowed."""

    scopes: Mapping[Operation, Scope]
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as a whole; it never changes, but another may take its place."""

    roles: Mapping[str, Role]
    owners: Mapping[str, Rules] = field(default_factory=dict)
    """Bounds on the jobs of single owners, whatever their role; both hold."""

    def role(self, name: str) -> Role:
        """The role of this name. PermissionDeniedError where there is none."""
        if name not in self.roles:
            raise PermissionDeniedError(
                "UNKNOWN_ROLE", f"this server knows no role {name!r}, only {', '.join(self.roles)}"
            )
        return self.roles[name]

    def scope(self, role: str, operation: Operation) -> Scope:
        """The scope in which a role may do something; never ``Scope.NONE``.

        Raises:
            PermissionDeniedError: the policy does not know the role, or does not allow it the operation.
        """
        scope = self.role(role).scopes.get(operation, Scope.NONE)
        if scope is Scope.NONE:
            raise PermissionDeniedError("NOT_ALLOWED", f"the role {role!r} does not allow to {operation.verb}")
        return scope

    def rules(self, role: str, owner: str) -> Rules:
        """What an owner with a role may start. PermissionDeniedError where there is no such role."""
        return self.role(role).rules.and_(self.owners.get(owner, ANYTHING))


BUILT_IN = Policy({name: Role(scopes) for name, scopes in built_in.ROLES.items()})
"""What holds without a policy file."""
