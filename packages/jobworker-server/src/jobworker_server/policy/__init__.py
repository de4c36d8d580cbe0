"""Who may do what, as the built-in roles and the policy file have it."""

from __future__ import annotations

from jobworker_server.policy.in_force import PolicyInForce
from jobworker_server.policy.operations import Operation, Scope
from jobworker_server.policy.policy import BUILT_IN, Policy, Role
from jobworker_server.policy.rules import Rules

__all__ = ["BUILT_IN", "Operation", "Policy", "PolicyInForce", "Role", "Rules", "Scope"]
