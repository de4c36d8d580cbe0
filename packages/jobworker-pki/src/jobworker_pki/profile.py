"""What a client's certificate says of the client: its name, and its role in one of several places."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.x509.oid import NameOID

from jobworker_pki import facts, names, role
from jobworker_pki.errors import InvalidValueError


class RoleIn(StrEnum):
    """Where a role is written; the server has to be told to look there."""

    EXTENSION = "extension"
    ORGANIZATION = "organization"
    TOKEN = "token"  # noqa: S105 - says where, not what


@dataclass(frozen=True)
class Profile:
    """A client: ``name`` is the common name; ``spiffe``, where given, a URI that servers take for the name."""

    name: str
    role: str | None
    role_in: RoleIn = RoleIn.EXTENSION
    spiffe: str | None = None

    def check(self) -> None:
        """Raise InvalidValueError unless a certificate can say this."""
        if self.role_in is RoleIn.TOKEN and self.role is not None:
            raise InvalidValueError(
                "role", "stands in the token, not in the certificate: jobworker-pki token --role ROLE"
            )
        if self.role_in is not RoleIn.TOKEN:
            if self.role is None:
                raise InvalidValueError("role", "is missing; say what the client may do, such as readonly")
            role.check(self.role)
        names.check_client_name(self.name)
        if self.spiffe is not None:
            names.check_spiffe(self.spiffe)

    def subject(self) -> x509.Name:
        """Return the distinguished name."""
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, self.name)]
        if self.role_in is RoleIn.ORGANIZATION and self.role is not None:
            attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, self.role))
        return x509.Name(attributes)

    def extensions(self) -> list[x509.ExtensionType]:
        """Return the extensions that are this client's own."""
        made: list[x509.ExtensionType] = []
        if self.role_in is RoleIn.EXTENSION and self.role is not None:
            made.append(role.extension(self.role))
        if self.spiffe is not None:
            made.append(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(self.spiffe)]))
        return made


def place_of_role(certificate: x509.Certificate) -> RoleIn:
    """Return where ``certificate`` has its role; a certificate without one leaves that to tokens."""
    if any(extension.oid == role.OID for extension in certificate.extensions):
        return RoleIn.EXTENSION
    return RoleIn.ORGANIZATION if facts.organizations(certificate) else RoleIn.TOKEN
