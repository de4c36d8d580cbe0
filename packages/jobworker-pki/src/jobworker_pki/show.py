"""What a certificate says, for people to read."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from jobworker_pki import facts, issuing, key_types, requests, role
from jobworker_pki.errors import UnreadableCertificateError
from jobworker_pki.reading import MALFORMED, read_bytes, read_certificates
from jobworker_pki.requests import Request

_REQUEST = b"CERTIFICATE REQUEST-----"
_NAME_KINDS: dict[type[x509.GeneralName], str] = {
    x509.DNSName: "DNS",
    x509.IPAddress: "IP",
    x509.UniformResourceIdentifier: "URI",
    x509.RFC822Name: "email",
}


def show(path: Path) -> str:
    """Return what the request or the certificates in ``path`` say: a line a fact, an empty line between certificates.

    Raises UnreadableCertificateError, RequestError.
    """
    if _REQUEST in read_bytes(path):
        return as_lines(describe_request(requests.read(path)))
    certificates = read_certificates(path)
    return "\n\n".join(_show(path, certificate) for certificate in certificates)


def _show(path: Path, certificate: x509.Certificate) -> str:
    try:
        told = describe(certificate)
    except MALFORMED as error:
        raise UnreadableCertificateError(path, f"the certificate is malformed: {escape(str(error))}") from error
    return as_lines(told)


def as_lines(told: dict[str, str]) -> str:
    """Return labels and values in two columns; nothing in a value can act on a terminal."""
    width = max(len(label) for label in told)
    return "\n".join(f"{label:<{width}}  {escape(value)}" for label, value in told.items())


def describe(certificate: x509.Certificate) -> dict[str, str]:
    """Return the facts by their labels; values are as the certificate's maker wrote them, so may hold anything.

    Raises one of ``reading.MALFORMED`` if the certificate is malformed.
    """
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return {
        "name": _name(certificate),
        "role": _role(certificate),
        "kind": _kind(certificate),
        "valid": f"{begin:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC ({_validity(begin, end)})",
        "renewal": _renewal(begin, end),
        "serial": f"{certificate.serial_number:X}",
        "fingerprint": f"SHA256 {certificate.fingerprint(hashes.SHA256()).hex(':').upper()}",
        "issuer": certificate.issuer.rfc4514_string() or "none",
        "names": _alternative_names(certificate),
        "key": _key(certificate),
    }


def describe_request(request: Request) -> dict[str, str]:
    """Return what ``request`` asks for, by labels; its sender wrote all of it."""
    asked = request.registration
    told = {
        "name": _with_code_points(asked.name),
        "e-mail": asked.email or "none",
        "role": asked.role or "none",
        "days": str(asked.days or "none"),
        "key": key_types.describe(request.key),
        "fingerprint": f"SHA256 {bytes.fromhex(request.fingerprint).hex(':').upper()}",
    }
    if asked.spiffe is not None:
        told["SPIFFE ID"] = asked.spiffe
    if request.renews is not None:
        old = facts.of(request.renews)
        told["renews"] = f"{old.serial_text}, {old.role or 'no role'}, valid until {old.until:%Y-%m-%d %H:%M} UTC"
    return told


def _with_code_points(name: str) -> str:
    """Add what tells ``name`` from one that looks the same."""
    points = [f"U+{ord(character):04X}" for character in name if not character.isascii()]
    return f"{name} (with {', '.join(points)})" if points else name


def escape(text: str) -> str:
    """Return ``text`` with all that could act on a terminal written as an escape sequence of Python's."""
    return "".join(
        character if character.isprintable() and character != "\\" else character.encode("unicode_escape").decode()
        for character in text
    )


def _name(certificate: x509.Certificate) -> str:
    names = facts.common_names(certificate)
    if len(names) > 1:
        return f"{', '.join(names)} ({len(names)} common names)"
    return names[0] if names else "none"


def _role(certificate: x509.Certificate) -> str:
    try:
        extension = certificate.extensions.get_extension_for_oid(role.OID).value
    except x509.ExtensionNotFound:
        return _role_by_organization(facts.organizations(certificate))
    try:
        return role.decode(extension.public_bytes())
    except ValueError as error:
        return f"unreadable ({error})"


def _role_by_organization(organizations: list[str]) -> str:
    if not organizations:
        return "none"
    return f"{', '.join(organizations)} (as organization)"


def _kind(certificate: x509.Certificate) -> str:
    extensions = certificate.extensions
    try:
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return "certificate authority"
    except x509.ExtensionNotFound:
        pass
    try:
        usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return "unspecified"
    known = {ExtendedKeyUsageOID.CLIENT_AUTH: "client", ExtendedKeyUsageOID.SERVER_AUTH: "server"}
    return ", ".join(known.get(purpose, purpose.dotted_string) for purpose in usage)


def _validity(begin: datetime, end: datetime) -> str:
    now = issuing.now()
    if now < begin:
        return "not valid yet"
    if now > end:
        return "expired"
    days = (end - now).days
    return f"{days} days left" if days > 1 else f"{int((end - now).total_seconds() // 3600)} h left"


def _renewal(begin: datetime, end: datetime) -> str:
    due = facts.renewal(begin, end)
    return f"{'due since' if due <= issuing.now() else 'due on'} {due:%Y-%m-%d %H:%M:%S} UTC"


def _alternative_names(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "none"
    return ", ".join(f"{_NAME_KINDS.get(type(name), type(name).__name__)}:{name.value}" for name in names)


def _key(certificate: x509.Certificate) -> str:
    try:
        key = certificate.public_key()
    except UnsupportedAlgorithm:
        return f"unsupported ({certificate.public_key_algorithm_oid.dotted_string})"
    return key_types.describe(key)
