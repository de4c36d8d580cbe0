"""The role in the organization of the certificate's subject."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from jobworker_server.errors import UnauthenticatedError
from jobworker_server.identity.plain import is_plain


def role(certificate: x509.Certificate) -> str | None:
    """The role; None: the subject has no organization.

    Raises:
        UnauthenticatedError: it has several, or it is no printable text.
    """
    found = [item.value for item in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if not found:
        return None
    role = found[0]
    if len(found) > 1 or not isinstance(role, str) or not is_plain(role):
        raise UnauthenticatedError(
            "BAD_ROLE", "the subject of the client's certificate must have one organization (O), of printable text"
        )
    return role
