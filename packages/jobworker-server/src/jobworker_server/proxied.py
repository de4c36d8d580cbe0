"""The certificate that a proxy tells of: that with which a client has met it, in the metadata ``client-cert``.

The proxy has seen that the client has its key, and is believed in that alone: whether the certificate is good is looked
at here as it is for clients that connect by themselves.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote

from cryptography import x509

from jobworker_server.errors import UnauthenticatedError
from jobworker_server.shown import Shown

_KEY = "client-cert"
_LONGEST = 16 << 10
_PEM = "-----BEGIN CERTIFICATE-----"


def shown(metadata: Iterable[tuple[str, str | bytes]]) -> Shown:
    """What a client has shown to the proxy, by the metadata of a call.

    Raises:
        UnauthenticatedError: there is not exactly one certificate that can be read.
    """
    values = [value for key, value in metadata if key == _KEY]
    if not any(values):
        raise UnauthenticatedError("NO_CERTIFICATE", "the proxy has told of no client certificate; connect with one")
    if len(values) > 1 or not isinstance(values[0], str):
        raise UnauthenticatedError("BAD_CERTIFICATE", "the proxy has told of more than one client certificate")
    if len(values[0]) > _LONGEST:
        raise UnauthenticatedError("BAD_CERTIFICATE", "the client's certificate is too long")
    return Shown(_certificate(values[0]))


@lru_cache(maxsize=1024)
def _certificate(text: str) -> x509.Certificate:
    """The certificate in a value of RFC 9440, ``:base64 of DER:``, or in nginx's ``$ssl_client_escaped_cert``."""
    try:
        if len(text) > 2 and text[0] == text[-1] == ":":
            return x509.load_der_x509_certificate(base64.b64decode(text[1:-1], validate=True))
        pem = unquote(text, errors="strict")
        if pem.count(_PEM) == 1 and pem.startswith(_PEM):
            return x509.load_pem_x509_certificate(pem.encode("ascii"))
    except (ValueError, x509.InvalidVersion):
        pass
    raise UnauthenticatedError("BAD_CERTIFICATE", "the client certificate that the proxy has told of can't be read")
