"""Mutual TLS 1.3, with certificates that can be exchanged while connections are open."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
from cryptography import x509

from jobworker_server import TLS_1_3_ONLY, credentials
from jobworker_server.credentials import Authorities, CredentialFiles
from jobworker_server.errors import CertificateError, TlsVersionError
from jobworker_server.expiry import Expiring
from jobworker_server.reloading import Reloadable
from jobworker_server.trust import Trust


class MutualTls:
    """The transport security of a server; clients must show a certificate of a CA.

    Raises:
        CertificateError: the files can't be used.
        TlsVersionError: older versions of TLS could not be refused.
    """

    def __init__(self, files: CredentialFiles) -> None:
        if not TLS_1_3_ONLY:
            raise TlsVersionError
        self._files = files
        lists = [] if files.crl is None else [files.crl]
        self.reloadables = (
            Reloadable("the server's certificate", (files.cert, files.key), self.reload_key_pair),
            Reloadable("the trust in clients", (files.ca, files.cert, *lists), self.reload_authorities),
        )
        """What is loaded again when its files change."""
        self._authorities = credentials.load_authorities(files)
        self._pair = credentials.load_key_pair(files)
        self._trust = Trust(self._authorities.certificates, self._authorities.revocations or ())

    @property
    def trust(self) -> Trust:
        """Whom to trust now."""
        return self._trust

    def reload_key_pair(self) -> str:
        """Read the server's certificate and key again, for connections made from now on; tell what they are.

        Raises:
            CertificateError: they can't be used; the old ones stay in use.
        """
        self._pair = pair = credentials.load_key_pair(self._files)
        return f"valid until {pair.certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"

    def reload_authorities(self) -> str:
        """Read the CAs and what they have revoked again, for connections and calls from now on; tell what they are.

        Raises:
            CertificateError: they can't be used; the old ones stay in use.
        """
        found = credentials.load_authorities(self._files, self._authorities)
        if found.revocations is None and self._authorities.revocations is not None:
            raise CertificateError(f"{self._files.crl} is gone, and with it what is revoked; put it back")
        self._trust = Trust(found.certificates, found.revocations or (), before=self._trust)
        self._authorities = found
        return self.description

    @property
    def description(self) -> str:
        """Whom it trusts, for the log."""
        names = ", ".join(certificate.subject.rfc4514_string() for certificate in self._authorities.certificates)
        lists = self._authorities.revocations
        return f"{names}; {'no CRL' if lists is None else f'{sum(len(found.serials) for found in lists)} revoked'}"

    def expiring(self) -> Iterator[Expiring]:
        """What of it has an end."""
        yield _time_of(
            f"the server's certificate {self._files.cert}", self._pair.certificate, "clients refuse it then; renew it"
        )
        for certificate in self._authorities.certificates:
            name = certificate.subject.rfc4514_string()
            yield _time_of(f"the CA {name!r}", certificate, "its clients are refused then; rotate the CA")
        for revocations in self._authorities.revocations or ():
            if revocations.expires:
                what = f"the CRL of {revocations.name!r}"
                remedy = f"all clients of this CA are refused then; put a new one into {self._files.crl}"
                yield Expiring(what, revocations.made, revocations.expires, remedy)

    def server_credentials(self) -> grpc.ServerCredentials:
        """Credentials for one listening port: gRPC takes them for one only."""
        served = self._pair, self._authorities

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            # Called before each handshake, one at a time for a port. None: as before.
            nonlocal served
            current = self._pair, self._authorities
            if current == served:
                return None
            served = current
            return _configuration(*served)

        # The stubs don't know that the fetcher may return None.
        first = _configuration(*served)
        return grpc.dynamic_ssl_server_credentials(first, fetch, require_client_authentication=True)  # type: ignore[arg-type]


def _configuration(pair: credentials.KeyPair, authorities: Authorities) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pair.key, pair.cert)], authorities.pem)


def _time_of(what: str, certificate: x509.Certificate, remedy: str) -> Expiring:
    return Expiring(what, certificate.not_valid_before_utc, certificate.not_valid_after_utc, remedy)
