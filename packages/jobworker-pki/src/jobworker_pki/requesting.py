"""The user's side: making a key and a request, and putting the certificate that comes back in its place."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography import x509

from jobworker_pki import authority_files, facts, issuing, keys, layout, names, registration, requests
from jobworker_pki.errors import AlreadyExistsError, InvalidValueError, RefusedError
from jobworker_pki.files import PRIVATE, PUBLIC, NewFile, locked, publish
from jobworker_pki.key_types import new_key
from jobworker_pki.passphrase import Passphrase
from jobworker_pki.reading import read_certificates
from jobworker_pki.registration import Registration

NEW_KEY_SUFFIX = ".key.new"


def request(directory: Path, file: Path, *, replace: bool) -> Registration:
    """Make ``NAME.key`` and ``NAME.csr`` from the registration data in ``file``.

    Raises RequestError, AlreadyExistsError, WriteError.
    """
    wanted, key_type = registration.read(file)
    key = new_key(key_type)
    csr = requests.to_pem(requests.build(wanted, key))
    files = [
        NewFile(f"{wanted.name}.key", keys.to_pem(key), PRIVATE),
        NewFile(f"{wanted.name}{requests.SUFFIX}", csr, PUBLIC),
    ]
    with locked(directory):
        certificate = directory / f"{wanted.name}.pem"
        if os.path.lexists(certificate) and not replace:
            raise AlreadyExistsError([certificate], "jobworker-pki renew renews it; --force begins anew")
        publish(directory, files, replace=replace)
    return wanted


def new_authorities(directory: Path, bundle: Path) -> list[x509.Certificate]:
    """Return the CAs in ``bundle`` that are not trusted in ``directory``: whether they may be is for the user to say.

    Raises UnreadableCertificateError, AuthorityError.
    """
    present = _present(directory)
    return [one for one in read_certificates(bundle) if one not in present]


def install(directory: Path, file: Path, bundle: Path | None, trusted: list[x509.Certificate]) -> x509.Certificate:
    """Put the certificate in ``file`` where its key is, and the CAs of ``bundle`` into ``ca.pem``.

    ``trusted`` are the new ones of them that the user agreed to. What was there is kept as ``NAME.pem.old``, and
    ``NAME.key.old`` where the key is a new one. The request is removed. Returns the certificate.

    Raises UnreadableCertificateError, RefusedError where no key goes with it or the CA is not known, WriteError.
    """
    certificates = read_certificates(file)
    name = _name(file, certificates[0])
    with locked(directory):
        authorities, files = _authorities(directory, bundle, trusted)
        _require_trusted(file, certificates, authorities)
        new_key_file = directory / f"{name}{NEW_KEY_SUFFIX}"
        remove = [f"{name}{requests.SUFFIX}"]
        if _fits(new_key_file, certificates[0]):
            files += [*kept(directory, f"{name}.key", PRIVATE), _moved(new_key_file, f"{name}.key")]
            remove.append(new_key_file.name)
        elif not _fits(directory / f"{name}.key", certificates[0]):
            raise RefusedError(f"no key in {directory} goes with {file}; it was issued for another one")
        pem = issuing.to_pem(certificates)
        target = directory / f"{name}.pem"
        if not target.exists() or target.read_bytes() != pem:
            files += [*kept(directory, target.name, PUBLIC), NewFile(target.name, pem, PUBLIC, replace=True)]
        publish(directory, files, replace=False, remove=[one for one in remove if (directory / one).exists()])
    return certificates[0]


def kept(directory: Path, name: str, mode: int) -> list[NewFile]:
    """Return the file ``name`` as ``name.old``, for what is about to take its place."""
    path = directory / name
    return [NewFile(f"{name}.old", path.read_bytes(), mode, replace=True)] if path.is_file() else []


def _moved(path: Path, name: str) -> NewFile:
    return NewFile(name, path.read_bytes(), PRIVATE, replace=True)


def _name(file: Path, certificate: x509.Certificate) -> str:
    found = facts.common_names(certificate)
    if len(found) != 1:
        raise RefusedError(f"{file} does not have one common name, so it is no answer to a request")
    try:
        return names.check_client_name(found[0])
    except InvalidValueError as error:
        raise RefusedError(f"{file} can't be installed: its name {error.problem}") from error


def _present(directory: Path) -> list[x509.Certificate]:
    return authority_files.load_trusted(directory) if (directory / f"{layout.CA}.pem").exists() else []


def _authorities(
    directory: Path, bundle: Path | None, trusted: list[x509.Certificate]
) -> tuple[list[x509.Certificate], list[NewFile]]:
    present, path = _present(directory), directory / f"{layout.CA}.pem"
    if bundle is None:
        if not present:
            raise RefusedError(f"{path} is missing; give the file that came with the certificate: --ca FILE")
        return present, []
    given = read_certificates(bundle)
    if any(one not in present and one not in trusted for one in given):
        raise RefusedError(f"{bundle} or {path} changed while you decided; nothing was done, so look again")
    return given, [NewFile(path.name, issuing.to_pem(given), PUBLIC, replace=True)]


def _require_trusted(file: Path, certificates: list[x509.Certificate], authorities: list[x509.Certificate]) -> None:
    lower = certificates[0]
    for upper in certificates[1:]:
        if not authority_files.is_issued_by(lower, upper):
            raise RefusedError(f"the certificates in {file} don't belong together")
        lower = upper
    if not any(authority_files.is_issued_by(lower, authority) for authority in authorities):
        raise RefusedError(f"{file} is not of the CA that is trusted here; it belongs to another installation")


def _fits(path: Path, certificate: x509.Certificate) -> bool:
    return path.exists() and keys.load(path, Passphrase()).public_key() == certificate.public_key()
