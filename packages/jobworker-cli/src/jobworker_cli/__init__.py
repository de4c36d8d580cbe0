"""The command-line client of jobworker, and the small Python client that it stands on (``jobworker_cli.client``)."""

from __future__ import annotations

import os
import sys

__version__ = "0.1.0"

# grpcio has no option for the lowest version of TLS. With this suite alone, which is of TLS 1.2 and can never be
# negotiated, it offers version 1.3 and nothing else. It is read once, when grpc is imported, hence here.
_CIPHER_SUITES = "PSK-AES256-CBC-SHA"

TLS_1_3_ONLY = "grpc" not in sys.modules or os.environ.get("GRPC_SSL_CIPHER_SUITES") == _CIPHER_SUITES
"""Whether grpc was not imported too early to be held to TLS 1.3; a client does not connect otherwise."""

os.environ["GRPC_SSL_CIPHER_SUITES"] = _CIPHER_SUITES
