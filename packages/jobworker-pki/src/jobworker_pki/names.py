"""What may stand in a certificate as a client's name or a server's host name."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

from cryptography import x509

from jobworker_pki.errors import InvalidValueError
from jobworker_pki.layout import RESERVED_STEMS

MAX_EMAIL_CHARACTERS = 254
MAX_SPIFFE_BYTES = 2048
MAX_BYTES = 64  # of UTF-8; RFC 5280's upper bound for a common name
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")

_EMAIL = re.compile(r"[^\s@<>,;:\"\\()\[\]]{1,64}@[^\s@<>,;:\"\\()\[\]]+")
_SPIFFE = re.compile(r"spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")


def check_text(field: str, value: str) -> str:
    """Return ``value`` if it is 1 to 64 bytes of printable text without blanks at its ends.

    Raises InvalidValueError for ``field`` otherwise.
    """
    if not value:
        raise InvalidValueError(field, "is empty")
    if not value.isprintable():
        raise InvalidValueError(field, "holds characters that can't be printed")
    if value != value.strip():
        raise InvalidValueError(field, "begins or ends with a blank")
    if len(value.encode()) > MAX_BYTES:
        raise InvalidValueError(field, f"is longer than {MAX_BYTES} bytes")
    return value


def check_client_name(name: str) -> str:
    """Return ``name`` if it can be both a common name and the stem of the file names ``NAME.pem`` and ``NAME.key``.

    Raises InvalidValueError otherwise.
    """
    check_text("name", name)
    if "/" in name or "\\" in name:
        raise InvalidValueError("name", "holds a path separator, and it becomes a file name")
    if name[0] in ".-":
        raise InvalidValueError("name", f"begins with {name[0]!r}, and it becomes a file name")
    # casefold: CA.pem and ca.pem are one file where the file system ignores case.
    if name.casefold() in RESERVED_STEMS:
        raise InvalidValueError("name", f"{name!r} is reserved for the {name.casefold()} certificate; choose another")
    return name


def check_email(address: str) -> str:
    """Return ``address`` if mail can be sent to it, as far as its form tells. Raises InvalidValueError otherwise."""
    if len(address) > MAX_EMAIL_CHARACTERS or not _EMAIL.fullmatch(address) or not address.isprintable():
        raise InvalidValueError("email", "is not an e-mail address such as ann@example.org")
    return address


def check_spiffe(uri: str) -> str:
    """Return ``uri`` if it is a SPIFFE ID of a workload: ``spiffe://trust-domain/path``. Raises InvalidValueError."""
    segments = uri.removeprefix("spiffe://").split("/")[1:]
    if len(uri) > MAX_SPIFFE_BYTES or not _SPIFFE.fullmatch(uri) or {".", ".."} & set(segments):
        raise InvalidValueError("spiffe", "is not a SPIFFE ID such as spiffe://example.org/ann")
    return uri


def server_names(extra: Iterable[str]) -> list[x509.GeneralName]:
    """Return what a server is reached by: the loopback names, this host's name, and ``extra``, each once.

    Raises InvalidValueError for an extra that is neither a DNS name nor an IP address.
    """
    names = [parse_host(text) for text in (*LOCAL_NAMES, *_host_name(), *extra)]
    return list(dict.fromkeys(names))


def parse_host(text: str) -> x509.GeneralName:
    """Return a DNS name or an IP address as a subject alternative name. Raises InvalidValueError."""
    try:
        return x509.IPAddress(_parse_address(text))
    except ValueError:
        return x509.DNSName(_check_dns_name(text))


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise InvalidValueError("san", f"{text!r} has a zone; give the address without it")
    return address


def _check_dns_name(text: str) -> str:
    name = text.lower()
    if not name.isascii():
        raise InvalidValueError("san", f"{text!r} is not ASCII; give an international name in its xn-- form")
    labels = name.removeprefix("*.").split(".")
    well_formed = all(_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit()
    if not well_formed or len(name) > 253:
        raise InvalidValueError("san", f"{text!r} is neither a DNS name nor an IP address (and takes no port)")
    return name


def _host_name() -> list[str]:
    """This host's name, unless it is one that no certificate can hold."""
    try:
        parse_host(name := socket.gethostname())
    except InvalidValueError:
        return []
    return [name]
