"""Certificates and revocation lists that nobody should make: refused by name, and never with a fault.

What a CA of the server has signed is tried with changed bytes and with odd contents; what it has not is tried as it is.
"""

from __future__ import annotations

from base64 import encodebytes
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import assume, given
from hypothesis import strategies as st

from fuzzing import TRICKY_TEXT, bounded
from jobworker.v1.worker_service_pb2 import ListJobsRequest
from jobworker_server import crl
from jobworker_server.errors import CertificateError, UnauthenticatedError
from jobworker_server.identity import Identification, Identity, IdentitySettings
from jobworker_server.identity.role_extension import ROLE_OID
from jobworker_server.shown import over_tls
from jobworker_server.trust import Trust
from server_testing import TIMEOUT, Authority, Client, Pair, ServerProcess, role_extension, utf8_string

KEY = ec.generate_private_key(ec.SECP256R1())
EVERYTHING = IdentitySettings(role_sources=("extension", "organization"))
BY_KEY = IdentitySettings(role_sources=("organization", "extension"), owner="publicKey")


def recognized(der: bytes, authority: Authority, settings: IdentitySettings) -> Identity | str:
    """Who holds a certificate, or the reason for which it is refused: there is no third way."""
    pem = b"-----BEGIN CERTIFICATE-----\n" + encodebytes(der) + b"-----END CERTIFICATE-----\n"
    try:
        shown = over_tls({"ssl_tls_version": [b"TLSv1.3"], "x509_pem_cert": [pem]})
        shown.require_valid(datetime.now(UTC))
        Trust([authority.ca.certificate]).require_trusted(shown, datetime.now(UTC))
        return Identification(settings).identify(shown.certificate)
    except UnauthenticatedError as error:
        return error.reason


def odd(
    authority: Authority, names: list[x509.NameAttribute[str]], extensions: list[x509.UnrecognizedExtension]
) -> bytes | None:
    """A certificate with such a subject and such extensions, in DER; None where there can be none."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(authority.ca.certificate.subject)
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
    )
    try:
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(authority.ca.key, hashes.SHA256()).public_bytes(Encoding.DER)
    except ValueError:
        return None


texts = st.sampled_from([text for text in TRICKY_TEXT if 0 < len(text) <= 64]) | st.text(min_size=1, max_size=64)
attributes = st.builds(
    lambda kind, text: x509.NameAttribute(kind, text, _validate=False),
    st.sampled_from([NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME]),
    texts,
)
KNOWN_OIDS = [ROLE_OID, *(x509.ObjectIdentifier(f"2.5.29.{number}") for number in (14, 15, 17, 18, 19, 30, 31, 32, 37))]
contents = (
    st.binary(max_size=100) | texts.map(lambda text: utf8_string(text[:30])) | st.just(b"\x0c\x82\xff\xff" + b"x" * 9)
)
extensions = st.builds(x509.UnrecognizedExtension, st.sampled_from(KNOWN_OIDS), contents)


@pytest.mark.filterwarnings("ignore:Attribute's length")
@bounded
@given(names=st.lists(attributes, max_size=3), added=st.lists(extensions, max_size=3))
def test_odd_certificates_of_the_right_ca(
    authority: Authority, names: list[x509.NameAttribute[str]], added: list[x509.UnrecognizedExtension]
) -> None:
    der = odd(authority, names, added)
    assume(der is not None)
    assert der
    for settings in (EVERYTHING, BY_KEY):
        found = recognized(der, authority, settings)
        if isinstance(found, Identity):
            for text in (found.name, found.role, found.owner):
                assert text.isprintable()
                assert 0 < len(text) <= 256
            assert len([name for name in names if name.oid == NameOID.COMMON_NAME]) == 1


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> bytes:
    return authority.client("ann", "full").certificate.public_bytes(Encoding.DER)


@pytest.fixture(scope="module")
def revocations(authority: Authority) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.ca.certificate.subject)
        .last_update(datetime.now(UTC) - timedelta(hours=1))
        .next_update(datetime.now(UTC) + timedelta(hours=1))
    )
    return builder.sign(authority.ca.key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@bounded
@given(data=st.data())
def test_changed_bytes(authority: Authority, certificate: bytes, data: st.DataObject) -> None:
    """A signature does not hold for other bytes: whatever is read of them, nobody is who they say."""
    der = bytearray(certificate)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(der) - 1))
        value = data.draw(st.integers(0, 255))
        assume(der[position] != value)
        der[position] = value
    cut = data.draw(st.integers(1, len(der)))
    for form in (bytes(der), bytes(der[:cut])):
        assert isinstance(recognized(form, authority, EVERYTHING), str)


@bounded
@given(der=st.binary(max_size=300))
def test_bytes_that_are_no_certificate(authority: Authority, der: bytes) -> None:
    assert recognized(der, authority, EVERYTHING) == "BAD_CERTIFICATE"


@bounded
@given(data=st.data())
def test_revocation_lists(authority: Authority, revocations: bytes, data: st.DataObject) -> None:
    """Read or refused, and one that is changed is not taken for the CA's."""
    changed = bytearray(revocations)
    position = data.draw(st.integers(0, len(changed) - 1))
    changed[position] ^= data.draw(st.integers(1, 255))
    forms = [
        bytes(changed),
        revocations[: data.draw(st.integers(0, len(revocations)))],
        data.draw(st.binary(max_size=100)),
    ]
    for form in forms:
        pem = b"-----BEGIN X509 CRL-----\n" + encodebytes(form) + b"-----END X509 CRL-----\n"
        try:
            lists = crl.load(Path("crl.pem"), pem, [authority.ca.certificate])
        except CertificateError as error:
            assert "crl.pem" in str(error)  # noqa: PT017  # most are refused, and some are good by chance
        else:
            assert x509.load_der_x509_crl(revocations).tbs_certlist_bytes in form, "what is signed is what it was"
            assert lists


ODD: dict[str, tuple[list[str], list[x509.UnrecognizedExtension]]] = {
    "no name": ([], [role_extension(utf8_string("full"))]),
    "two names": (["ann", "bob"], [role_extension(utf8_string("full"))]),
    "control characters": (["ann\x1b]0;x\x07"], [role_extension(utf8_string("full"))]),
    "from right to left": (["\N{RIGHT-TO-LEFT OVERRIDE}nna"], [role_extension(utf8_string("full"))]),
    "invisible": (["ann\N{ZERO WIDTH SPACE}"], [role_extension(utf8_string("full"))]),
    "NUL in the name": (["ann\0.example.org"], [role_extension(utf8_string("full"))]),
    "line feed in the role": (["ann"], [role_extension(utf8_string("full\nINFO job started"))]),
    "no role": (["ann"], []),
    "empty role": (["ann"], [role_extension(utf8_string(""))]),
    "role of the wrong type": (["ann"], [role_extension(b"\x16\x04full")]),
    "role and more": (["ann"], [role_extension(utf8_string("full") + b"\x05\x00")]),
    "over-long role": (["ann"], [role_extension(b"\x0c\x82\x0f\xff" + b"x" * 0xFFF)]),
    "role of many": (["ann"], [role_extension(utf8_string("user,full"))]),
    "role in capitals": (["ann"], [role_extension(utf8_string("FULL"))]),
    "role with a homoglyph": (["ann"], [role_extension(utf8_string("fu\N{CYRILLIC SMALL LETTER PALOCHKA}l"))]),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_certificate_of_the_right_ca_over_a_real_connection(
    server: ServerProcess, authority: Authority, kind: str
) -> None:
    names, added = ODD[kind]
    client = Client(server.address, _issued(authority, names, added), authority)
    try:
        with pytest.raises(grpc.RpcError) as caught:
            client.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
        code = caught.value.code()
        assert code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE)
    finally:
        client.close()
    assert server.process.poll() is None
    assert [line for line in server.log.splitlines() if " ERROR " in line] == []
    assert not any(character in server.log for character in "\x1b\x07\0\N{RIGHT-TO-LEFT OVERRIDE}")


def _issued(authority: Authority, names: list[str], added: list[x509.UnrecognizedExtension]) -> Pair:
    """As :meth:`Authority.issue` does, with names that cryptography would not take."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False) for name in names]
    der = odd(authority, attributes, added)
    assert der
    return Pair(x509.load_der_x509_certificate(der), KEY)
