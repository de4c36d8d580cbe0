"""What one call does, held against the policy that holds at the moment: when it asks, and again when that changes."""

from __future__ import annotations

from jobworker_server.errors import PermissionDeniedError
from jobworker_server.identity import Identity
from jobworker_server.policy import Operation, Policy, PolicyInForce, Scope


class Access:
    """Gives a caller's scopes, and keeps in mind what they were used for."""

    def __init__(self, policy: PolicyInForce, caller: Identity) -> None:
        self._policy = policy
        self._caller = caller
        self._scopes: dict[Operation, Scope] = {}
        self.job_ids: set[str] = set()
        """The jobs that it is about, of whomever."""
        self._reaches_all = False
        self.is_narrowed = False
        """Whether no further job of others may be reached, although that was allowed when the call began."""

    def scope(self, operation: Operation, policy: Policy | None = None) -> Scope:
        """Whose jobs an operation may be done on, by default by the policy that holds now.

        Raises:
            PermissionDeniedError: on nobody's.
        """
        scope = (policy or self._policy.current).scope(self._caller.role, operation)
        self._scopes.setdefault(operation, scope)
        return scope

    def covers(self, operation: Operation, owner: str) -> bool:
        """Whether an operation may be done on the jobs of an owner."""
        try:
            scope = self._policy.current.scope(self._caller.role, operation)
        except PermissionDeniedError:
            return False
        return scope is Scope.ANY or owner == self._caller.owner

    def note_all(self) -> None:
        """It is about jobs of others, whichever there are."""
        self._reaches_all = True

    def narrowed(self) -> PermissionDeniedError | None:
        """What is wrong with the call by the policy that holds now, if one of ``job_ids`` is another's. None: nothing.

        Raises:
            PermissionDeniedError: the role was taken away, or what the call does with it.
        """
        found = None
        for operation, before in self._scopes.items():
            now = self._policy.current.scope(self._caller.role, operation)
            if before is Scope.ANY and now is Scope.OWN:
                self.is_narrowed = True
                found = PermissionDeniedError(
                    "NOT_ALLOWED",
                    f"the role {self._caller.role!r} does not allow to {operation.verb} of others any more",
                )
        if found and self._reaches_all:
            raise found
        return found
