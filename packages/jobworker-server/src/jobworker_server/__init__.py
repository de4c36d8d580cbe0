"""The gRPC service of jobworker: transport security, who may do what, errors.

The command ``jobworker-server`` is the interface. To embed the service, import this package before ``grpc`` and use
``jobworker_server.server.Server``.
"""

from __future__ import annotations

import os
import sys

__version__ = "0.1.0"

# grpcio has no option for the lowest version of TLS. With this suite alone, which is of TLS 1.2 and can never be
# negotiated, it takes version 1.3 and nothing else. It is read once, when grpc is imported, hence here.
_CIPHER_SUITES = "PSK-AES256-CBC-SHA"

TLS_1_3_ONLY = "grpc" not in sys.modules or os.environ.get("GRPC_SSL_CIPHER_SUITES") == _CIPHER_SUITES
"""Whether grpc was not imported too early to be held to TLS 1.3; a server does not start otherwise."""

os.environ["GRPC_SSL_CIPHER_SUITES"] = _CIPHER_SUITES
# grpc's own log would write what any stranger's failed handshake makes it say, in a format of its own.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
