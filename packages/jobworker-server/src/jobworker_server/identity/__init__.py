"""Who calls: name, owner and role, of the client's certificate and of what else the configuration lets say them."""

from __future__ import annotations

from jobworker_server.identity.caller import Identity
from jobworker_server.identity.identification import Identification, IdentitySettings, TokenSettings
from jobworker_server.identity.role_extension import ROLE_OID

__all__ = ["ROLE_OID", "Identification", "Identity", "IdentitySettings", "TokenSettings"]
