"""What a certificate may be used for, as its extensions say it; one that says nothing may be used for anything."""

from __future__ import annotations

from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy

from jobworker_server.errors import UnauthenticatedError

_T = TypeVar("_T", bound=x509.ExtensionType)

_FOR_CLIENTS = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)

_EITHER = Criticality.AGNOSTIC


def require_for_clients(certificate: x509.Certificate) -> None:
    """Refuse a certificate that clients may not use, such as a server's.

    Raises:
        UnauthenticatedError: it is that, or can't be read.
    """
    try:
        extensions = certificate.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise UnauthenticatedError("BAD_CERTIFICATE", "the client's certificate can't be read") from None
    usage, purposes = _of(extensions, x509.KeyUsage), _of(extensions, x509.ExtendedKeyUsage)
    signs = usage is None or usage.digital_signature or usage.key_agreement
    if not signs or not _is_for_clients(purposes):
        raise UnauthenticatedError(
            "CERTIFICATE_NOT_TRUSTED", "the client's certificate is not one for clients; connect with one that is"
        )


def _is_for_clients(purposes: x509.ExtendedKeyUsage | None) -> bool:
    return purposes is None or any(purpose in purposes for purpose in _FOR_CLIENTS)


def _of(extensions: x509.Extensions, kind: type[_T]) -> _T | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _require_ca(_policy: Policy, _certificate: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("it is no CA")


def _require_signing(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("it may not sign certificates")


def _require_of_clients(
    _policy: Policy, _certificate: x509.Certificate, purposes: x509.ExtendedKeyUsage | None
) -> None:
    if not _is_for_clients(purposes):
        raise ValueError("it may not issue certificates for clients")


OF_ANYTHING = ExtensionPolicy.permit_all()
"""Extensions are looked at elsewhere: clients' certificates have the role in one, and need no alternative name."""

OF_A_CA = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, _EITHER, _require_ca)
    .may_be_present(x509.KeyUsage, _EITHER, _require_signing)
    .may_be_present(x509.ExtendedKeyUsage, _EITHER, _require_of_clients)
)
"""A CA says that it is one; what it may sign, it need not say. Lengths of paths and names are always looked at."""
