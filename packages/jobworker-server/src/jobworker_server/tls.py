"""Mutual TLS 1.3, with certificates that can be exchanged while connections are open."""

from __future__ import annotations

import grpc

from jobworker_server import TLS_1_3_ONLY, credentials
from jobworker_server.credentials import CredentialFiles, Credentials
from jobworker_server.errors import TlsVersionError


class MutualTls:
    """The transport security of a server; clients must show a certificate of the CA.

    Raises:
        CertificateError: the files can't be used.
        TlsVersionError: older versions of TLS could not be refused.
    """

    def __init__(self, files: CredentialFiles) -> None:
        if not TLS_1_3_ONLY:
            raise TlsVersionError
        self._files = files
        self._current = _configuration(credentials.load(files))

    def reload(self) -> None:
        """Read the files again, for connections made from now on; open ones stay as they are.

        Raises:
            CertificateError: the files can't be used; the old ones stay in use.
        """
        self._current = _configuration(credentials.load(self._files))

    def server_credentials(self) -> grpc.ServerCredentials:
        """Credentials for one listening port: gRPC takes them for one only."""
        served = self._current

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            # Called before each handshake, one at a time for a port. None: as before.
            nonlocal served
            if self._current is served:
                return None
            served = self._current
            return served

        # The stubs don't know that the fetcher may return None.
        return grpc.dynamic_ssl_server_credentials(served, fetch, require_client_authentication=True)  # type: ignore[arg-type]


def _configuration(loaded: Credentials) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(loaded.key, loaded.cert)], loaded.ca)
