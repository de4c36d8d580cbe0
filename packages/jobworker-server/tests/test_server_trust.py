"""Which certificates are trusted, by which CAs and revocation lists."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from jobworker_server import crl
from jobworker_server.errors import CertificateError, UnauthenticatedError
from jobworker_server.shown import Shown
from jobworker_server.trust import Trust
from server_testing import TIMEOUT, Authority, Pair, PrivateKey

HOUR = timedelta(hours=1)


def now() -> datetime:
    return datetime.now(UTC)


def trust_in(*authorities: Authority, crls: Sequence[bytes] = ()) -> Trust:
    certificates = [authority.ca.certificate for authority in authorities]
    lists = crl.load(Path("crl.pem"), b"".join(crls), certificates) if crls else ()
    return Trust(certificates, lists)


def shown(pair: Pair) -> Shown:
    return Shown(pair.certificate, pair.chain)


def refusal_of(trust: Trust, pair: Pair, moment: datetime | None = None) -> str:
    """Why it is not trusted; empty: it is."""
    try:
        trust.require_trusted(shown(pair), moment or now())
    except UnauthenticatedError as error:
        return error.reason
    return ""


@pytest.fixture
def root() -> Authority:
    return Authority("root")


@pytest.fixture
def between(root: Authority) -> Authority:
    return Authority("between", root)


def test_a_certificate_of_a_ca_is_trusted_and_that_of_another_is_not(root: Authority) -> None:
    other = Authority("root")
    assert refusal_of(trust_in(root), root.client("ann", "full")) == ""
    assert refusal_of(trust_in(other), root.client("ann", "full")) == "CERTIFICATE_NOT_TRUSTED"
    assert refusal_of(trust_in(other, root), root.client("ann", "full")) == "", "the old and the new CA of a rotation"


def test_a_certificate_of_an_intermediate_ca_is_trusted_where_that_is_known(
    root: Authority, between: Authority
) -> None:
    ann = between.client("ann", "full")
    assert refusal_of(trust_in(root), ann) == "CERTIFICATE_NOT_TRUSTED"
    assert refusal_of(trust_in(root), ann.followed_by(between.ca)) == ""
    assert refusal_of(trust_in(root), ann.followed_by(root.client("bob", "full"), between.ca, root.ca)) == ""
    assert refusal_of(trust_in(root, between), ann) == ""
    assert refusal_of(trust_in(between), ann) == "", "trusted as it is"


def test_a_chain_that_can_not_be_read_helps_nobody(root: Authority, between: Authority) -> None:
    ann = between.client("ann", "full")
    trust_in(root).require_trusted(Shown(root.client("ann", "full").certificate, b"nonsense"), now())
    with pytest.raises(UnauthenticatedError):
        trust_in(root).require_trusted(Shown(ann.certificate, b"nonsense" + between.ca.cert_pem[:200]), now())


def test_a_client_is_no_ca(root: Authority) -> None:
    ann = root.client("ann", "user")
    forged = Authority("ann")
    forged.ca = Pair(ann.certificate, ann.key)
    assert refusal_of(trust_in(root), forged.client("boss", "full").followed_by(ann)) == "CERTIFICATE_NOT_TRUSTED"


def test_a_ca_has_no_more_below_it_than_it_may(root: Authority) -> None:
    last = Authority("last", root, most_below=0)
    below = Authority("below", last)
    assert refusal_of(trust_in(root), last.client("ann", "full").followed_by(last.ca)) == ""
    chain = below.client("ann", "full").followed_by(below.ca, last.ca)
    assert refusal_of(trust_in(root), chain) == "CERTIFICATE_NOT_TRUSTED"


def test_version_1_is_taken_of_a_ca_itself_alone(tmp_path: Path, root: Authority, between: Authority) -> None:
    """It is what openssl makes where it is told nothing of extensions."""

    def issued_by(issuer: Pair) -> Pair:
        issuer.write(tmp_path / "ca.pem", tmp_path / "ca.key")
        _run(tmp_path, "req -newkey rsa:2048 -nodes -keyout ann.key -out ann.csr -subj /CN=ann")
        _run(tmp_path, "x509 -req -in ann.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out ann.pem -days 1")
        ann = x509.load_pem_x509_certificate((tmp_path / "ann.pem").read_bytes())
        assert ann.version is x509.Version.v1
        return Pair(ann, issuer.key).followed_by(issuer)

    assert refusal_of(trust_in(root), issued_by(root.ca)) == ""
    assert refusal_of(trust_in(root, between), issued_by(between.ca)) == ""
    assert refusal_of(trust_in(root), issued_by(between.ca)) == "CERTIFICATE_NOT_TRUSTED"
    assert refusal_of(trust_in(root), issued_by(root.client("bob", "user"))) == "CERTIFICATE_NOT_TRUSTED"
    assert refusal_of(trust_in(Authority("root")), issued_by(root.ca)) == "CERTIFICATE_NOT_TRUSTED"


@pytest.mark.parametrize(
    ("purpose", "reason"),
    [
        (ExtendedKeyUsageOID.CLIENT_AUTH, ""),
        (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, ""),
        (ExtendedKeyUsageOID.SERVER_AUTH, "CERTIFICATE_NOT_TRUSTED"),
    ],
)
def test_a_certificate_for_servers_is_none_for_clients(
    root: Authority, purpose: x509.ObjectIdentifier, reason: str
) -> None:
    assert refusal_of(trust_in(root), root.issue(["ann"], x509.ExtendedKeyUsage([purpose]))) == reason


@pytest.mark.parametrize(
    ("key", "weakness"),
    [
        (rsa.generate_private_key(65537, 1024), "RSA of 1024 bits"),  # noqa: S505 - what is tried
        (rsa.generate_private_key(65537, 2048), ""),
        (ec.generate_private_key(ec.SECP224R1()), "ECDSA on the curve secp224r1"),
        (ec.generate_private_key(ec.SECP256K1()), "ECDSA on the curve secp256k1"),
        (ec.generate_private_key(ec.SECP384R1()), ""),
        (ec.generate_private_key(ec.SECP521R1()), ""),
    ],
    ids=["rsa-1024", "rsa-2048", "p-224", "secp256k1", "p-384", "p-521"],
)
def test_who_has_a_key_that_can_be_worked_out_is_not_trusted(root: Authority, key: PrivateKey, weakness: str) -> None:
    ann = root.issue(["ann"], key=key)
    if not weakness:
        trust_in(root).require_trusted(shown(ann), now())
        return
    with pytest.raises(UnauthenticatedError, match=f"too weak: {weakness}") as caught:
        trust_in(root).require_trusted(shown(ann), now())
    assert caught.value.reason == "CERTIFICATE_NOT_TRUSTED"


def test_a_key_that_a_proxy_takes_though_grpc_does_not_is_trusted(root: Authority) -> None:
    pem = root.issue_for(ed25519.Ed25519PrivateKey.generate().public_key())
    trust_in(root).require_trusted(Shown(x509.load_pem_x509_certificate(pem)), now())


def test_a_ca_of_a_weak_key_is_not_trusted() -> None:
    weak = Authority("weak", key=rsa.generate_private_key(65537, 1024))  # noqa: S505 - what is tried
    assert refusal_of(trust_in(weak), weak.client("ann", "full")) == "CERTIFICATE_NOT_TRUSTED"


def test_a_ca_that_has_expired_is_trusted_no_more(root: Authority) -> None:
    between = Authority("between", root, valid=2 * HOUR)
    ann = between.client("ann", "full").followed_by(between.ca)
    trust = trust_in(root)
    assert refusal_of(trust, ann) == ""
    assert trust.next_expiry(now()) == between.ca.certificate.not_valid_after_utc
    assert refusal_of(trust, ann, now() + 3 * HOUR) == "CERTIFICATE_NOT_TRUSTED"


def test_what_is_revoked_is_refused(root: Authority) -> None:
    ann, bob = root.client("ann", "full"), root.client("bob", "full")
    trust = trust_in(root, crls=[root.crl(ann)])
    assert refusal_of(trust, ann) == "CERTIFICATE_REVOKED"
    assert refusal_of(trust, ann) == "CERTIFICATE_REVOKED", "and is remembered"
    assert refusal_of(trust, bob) == ""


def test_a_serial_number_is_revoked_of_its_own_ca_alone(root: Authority) -> None:
    other = Authority("root")
    ann = root.client("ann", "full")
    assert refusal_of(trust_in(other, root, crls=[root.crl(), other.crl(ann)]), ann) == ""
    assert refusal_of(trust_in(other, root, crls=[other.crl(), root.crl(ann)]), ann) == "CERTIFICATE_REVOKED"


def test_an_intermediate_ca_that_is_revoked_takes_its_clients_along(root: Authority, between: Authority) -> None:
    ann = between.client("ann", "full").followed_by(between.ca)
    revoked = [root.crl(between.ca)]
    assert refusal_of(trust_in(root, crls=revoked), ann) == "CERTIFICATE_REVOKED"
    assert refusal_of(trust_in(root, between, crls=revoked), ann) == "CERTIFICATE_REVOKED", "trusted as it is, or not"


def test_the_list_of_an_intermediate_ca_holds(root: Authority, between: Authority) -> None:
    ann = between.client("ann", "full").followed_by(between.ca)
    assert refusal_of(trust_in(root, between, crls=[root.crl(), between.crl(ann)]), ann) == "CERTIFICATE_REVOKED"


def test_an_expired_list_refuses_all_of_its_ca_and_nobody_elses(root: Authority) -> None:
    other = Authority("other")
    ann, bob = root.client("ann", "full"), other.client("bob", "full")
    trust = trust_in(root, other, crls=[root.crl(valid=HOUR), other.crl()])
    assert refusal_of(trust, ann) == ""
    assert now() < trust.next_expiry(now()) <= now() + HOUR
    assert refusal_of(trust, ann, now() + 2 * HOUR) == "CERTIFICATE_NOT_TRUSTED"
    assert refusal_of(trust, bob, now() + 2 * HOUR) == ""


def test_the_newest_list_of_a_ca_holds(root: Authority) -> None:
    ann, bob = root.client("ann", "full"), root.client("bob", "full")
    old, new = root.crl(ann, made=-2 * HOUR), root.crl(bob)
    for crls in ([old, new], [new, old]):
        trust = trust_in(root, crls=crls)
        assert (refusal_of(trust, ann), refusal_of(trust, bob)) == ("", "CERTIFICATE_REVOKED")


def test_who_is_refused_again_and_again_is_not_remembered_for_each(root: Authority) -> None:
    ann = root.client("ann", "full")
    trust = trust_in(root, crls=[root.crl(ann)])
    errors = []
    for _ in range(2):
        with pytest.raises(UnauthenticatedError) as caught:
            trust.require_trusted(shown(ann), now())
        errors.append(caught.value)
    assert errors[0] is not errors[1], "an error that is raised again grows by a traceback each time"
    assert str(errors[0]) == str(errors[1])


def test_what_was_found_is_of_use_after_a_list_has_changed_but_not_after_a_ca_has(root: Authority) -> None:
    ann, certificates = root.client("ann", "full"), [root.ca.certificate]
    first = trust_in(root)
    first.require_trusted(shown(ann), now())
    revoked = Trust(certificates, crl.load(Path("crl.pem"), root.crl(ann), certificates), before=first)
    assert refusal_of(revoked, ann) == "CERTIFICATE_REVOKED"
    assert revoked._paths is first._paths
    assert refusal_of(Trust(certificates, before=revoked), ann) == ""
    assert refusal_of(Trust([Authority("root").ca.certificate], before=first), ann) == "CERTIFICATE_NOT_TRUSTED"


def test_what_was_trusted_is_remembered_but_not_without_bound(root: Authority) -> None:
    trust = trust_in(root)
    pair = root.client("ann", "full")
    for number in range(2000):
        trust.require_trusted(Shown(pair.certificate, b"%d" % number), now())
    assert len(trust._known.values()) == 1024


def problem_of(pem: bytes, *authorities: Authority) -> str:
    with pytest.raises(CertificateError) as caught:
        crl.load(Path("crl.pem"), pem, [authority.ca.certificate for authority in authorities])
    return str(caught.value)


def test_the_list_of_another_ca_is_refused(root: Authority) -> None:
    assert "is no CA of this server" in problem_of(Authority("foreign").crl(), root)
    assert "has not signed it" in problem_of(Authority("root").crl(), root), "though of the same name"
    assert "no CA of this server" in problem_of(root.crl(), Authority("between", root))


def test_a_list_that_is_not_whole_is_refused(root: Authority) -> None:
    whole = root.crl()
    for pem in (b"", whole[:-20], root.ca.cert_pem, whole + whole[:100]):
        assert "not the whole of it" in problem_of(pem, root)
    garbage = whole.splitlines()
    garbage[1:-1] = [b"AAAA"]
    assert "can't be read" in problem_of(b"\n".join(garbage), root)


@pytest.mark.parametrize("critical", [True, False])
@pytest.mark.parametrize(
    "extension",
    [
        x509.IssuingDistributionPoint(
            full_name=None,
            relative_name=None,
            only_contains_user_certs=False,
            only_contains_ca_certs=True,
            only_some_reasons=None,
            indirect_crl=False,
            only_contains_attribute_certs=False,
        ),
        x509.DeltaCRLIndicator(1),
    ],
    ids=["of CAs", "delta"],
)
def test_a_list_of_some_certificates_only_is_refused(
    root: Authority, extension: x509.ExtensionType, critical: bool
) -> None:
    builder = x509.CertificateRevocationListBuilder().issuer_name(root.ca.certificate.subject)
    partial = builder.last_update(now()).next_update(now() + HOUR).add_extension(extension, critical)
    pem = partial.sign(root.ca.key, hashes.SHA256()).public_bytes(Encoding.PEM)
    assert "not a whole list" in problem_of(pem, root)


def test_a_list_of_an_intermediate_ca_holds_where_clients_show_that(root: Authority, between: Authority) -> None:
    ann, bob = between.client("ann", "full"), between.client("bob", "full")
    trust = trust_in(root, crls=[root.crl(), between.crl(ann), Authority("between").crl(bob)])
    assert refusal_of(trust, ann.followed_by(between.ca)) == "CERTIFICATE_REVOKED"
    assert refusal_of(trust, bob.followed_by(between.ca)) == "", "the other list is only one of the same name"


OPENSSL_CA = """\
[ca]
default_ca = own
[own]
database = index.txt
crlnumber = crlnumber
default_md = sha256
default_crl_days = 7
policy = any
new_certs_dir = .
serial = serial
default_days = 2
[any]
commonName = supplied
"""


@pytest.fixture
def openssl(tmp_path: Path) -> Path:
    """A CA of openssl's own, with the certificates ``ann`` and ``bob``, of which ``ann`` is revoked."""
    (tmp_path / "ca.cnf").write_text(OPENSSL_CA)
    (tmp_path / "index.txt").touch()
    (tmp_path / "crlnumber").write_text("01\n")
    (tmp_path / "serial").write_text("01\n")
    _run(tmp_path, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=by-hand -days 3")
    for name in ("ann", "bob"):
        _run(tmp_path, f"req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}")
        _run(tmp_path, f"ca -config ca.cnf -batch -cert ca.pem -keyfile ca.key -in {name}.csr -out {name}.pem")
    _run(tmp_path, "ca -config ca.cnf -cert ca.pem -keyfile ca.key -revoke ann.pem -crl_reason keyCompromise")
    _run(tmp_path, "ca -config ca.cnf -cert ca.pem -keyfile ca.key -gencrl -out crl.pem")
    return tmp_path


def _run(directory: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=directory, check=True, capture_output=True, timeout=TIMEOUT)


def test_certificates_and_lists_of_openssl_are_taken(openssl: Path) -> None:
    def load(name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((openssl / f"{name}.pem").read_bytes())

    trust = Trust([load("ca")], crl.load(openssl / "crl.pem", (openssl / "crl.pem").read_bytes(), [load("ca")]))
    trust.require_trusted(Shown(load("bob")), now())
    with pytest.raises(UnauthenticatedError, match=r"serial number 1\b") as caught:
        trust.require_trusted(Shown(load("ann")), now())
    assert caught.value.reason == "CERTIFICATE_REVOKED"
