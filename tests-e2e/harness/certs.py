"""Certificates made by ``jobworker-pki``, and by hand those that it would never make."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from conformance.processes import PATIENCE_SECONDS

ROLE_OID = x509.ObjectIdentifier("1.2.840.10070.8.1")


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and its key."""

    cert: Path
    key: Path


class Certs:
    """A directory as ``jobworker-pki init`` makes it, and further client certificates of its CA below it."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        pki("init", "--dir", directory, *options)
        self.ca = directory / "ca.pem"
        self.full = Pair(directory / "full.pem", directory / "full.key")
        self.server = Pair(directory / "server.pem", directory / "server.key")

    def client(self, role: str, name: str) -> Pair:
        """The certificate of one role and name: names can be the same where roles differ."""
        below = self.directory / role
        if not (below / f"{name}.pem").exists():
            self._share_ca(below)
            pki("issue", "--dir", below, "--role", role, "--name", name)
        return Pair(below / f"{name}.pem", below / f"{name}.key")

    def by_hand(
        self, stem: str, role: str | None, valid_from: datetime, valid_until: datetime, *, key: bytes | None = None
    ) -> Pair:
        """A client certificate of this CA with any validity, and even without a role; ``stem`` is its name.

        ``key``: the one in PEM that it is for; otherwise a new one is made.
        """
        below = self.directory / "by-hand"
        below.mkdir(exist_ok=True)
        pair = Pair(below / f"{stem}.pem", below / f"{stem}.key")
        private = load_pem_private_key(key, None) if key else ec.generate_private_key(ec.SECP256R1())
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        issuer = x509.load_pem_x509_certificate(self.ca.read_bytes())
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, stem)]))
            .issuer_name(issuer.subject)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(valid_from)
            .not_valid_after(valid_until)
        )
        if role is not None:
            utf8_string = bytes([0x0C, len(role)]) + role.encode()
            builder = builder.add_extension(x509.UnrecognizedExtension(ROLE_OID, utf8_string), critical=False)
        ca_key = load_pem_private_key((self.directory / "ca.key").read_bytes(), None)
        assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
        pair.cert.write_bytes(builder.sign(ca_key, hashes.SHA256()).public_bytes(Encoding.PEM))
        pair.key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return pair

    def copy(self, directory: Path) -> Path:
        """The CA and the server's certificate elsewhere, for a test that changes them."""
        self._share_ca(directory)
        for file in (self.server.cert, self.server.key):
            shutil.copy(file, directory)
        return directory

    def _share_ca(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        for name in ("ca.pem", "ca.key"):
            shutil.copy(self.directory / name, directory)


def pki(*arguments: object) -> str:
    """Run ``jobworker-pki``: what it prints."""
    command = [sys.executable, "-m", "jobworker_pki", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS).stdout


def around_now(before: timedelta, after: timedelta) -> tuple[datetime, datetime]:
    """A validity from ``before`` now to ``after`` now."""
    now = datetime.now(UTC)
    return now - before, now + after
