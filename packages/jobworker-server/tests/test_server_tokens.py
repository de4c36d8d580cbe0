"""Roles in tokens: what a token must be, and that nothing else is taken for one."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobworker_server.errors import ConfigError, UnauthenticatedError
from jobworker_server.identity import Identification, Identity, IdentitySettings, TokenSettings
from jobworker_server.identity.identification import RoleSource
from server_testing import Authority, Pair, role_extension, utf8_string

KEY = ec.generate_private_key(ec.SECP256R1())
Sign = Callable[..., str]


def public_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "token.pub"
    path.write_bytes(public_pem(KEY))
    return path


@pytest.fixture
def by_token(key_file: Path) -> Identification:
    """Takes roles from tokens alone."""
    return accepting(key_file)


@pytest.fixture
def ann(authority: Authority) -> Pair:
    """A client without a role of its own."""
    return authority.issue(["ann"])


def accepting(key_file: Path, *sources: RoleSource, audience: str = "this server") -> Identification:
    tokens = TokenSettings(key_file, audience)
    return Identification(IdentitySettings(role_sources=sources or ("token",), tokens=tokens))


def thumbprint(pair: Pair) -> str:
    return urlsafe_b64encode(pair.certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()


def seconds(*, after: float) -> int:
    return int(datetime.now(UTC).timestamp() + after)


def claims_for(pair: Pair, **changes: object) -> dict[str, object]:
    """Claims as they should be, but for the changes; None leaves a claim out."""
    claims: dict[str, object] = {
        "role": "user",
        "aud": "this server",
        "exp": seconds(after=600),
        "nbf": seconds(after=-60),
        "iat": seconds(after=-60),
        "cnf": {"x5t#S256": thumbprint(pair)},
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def token(pair: Pair, key: Any = KEY, headers: dict[str, Any] | None = None, **changes: object) -> str:
    return jwt.encode(claims_for(pair, **changes), key, "ES256", headers)


def bearing(text: str) -> list[tuple[str, str]]:
    return [("user-agent", "x"), ("authorization", f"Bearer {text}")]


def refusal(identification: Identification, pair: Pair, metadata: Any) -> tuple[str, str]:
    with pytest.raises(UnauthenticatedError) as caught:
        identification.identify(pair.certificate, metadata)
    return caught.value.reason, str(caught.value)


def test_a_token_gives_its_role_until_it_ends(by_token: Identification, ann: Pair) -> None:
    end = seconds(after=600)
    identity = by_token.identify(ann.certificate, bearing(token(ann, exp=end, sub="ann", aud=["x", "this server"])))
    expected = Identity("ann", "ann", "user", "token", ann.certificate, datetime.fromtimestamp(end, UTC))
    assert identity == expected
    assert identity.valid_until == datetime.fromtimestamp(end, UTC)
    assert identity.expired().reason == "TOKEN_EXPIRED"


@pytest.mark.parametrize("end", [1e18, 10**30, 2**63])
def test_a_token_ends_with_its_certificate(by_token: Identification, ann: Pair, end: float) -> None:
    identity = by_token.identify(ann.certificate, bearing(token(ann, exp=end)))
    assert identity.valid_until == ann.certificate.not_valid_after_utc
    assert identity.expired().reason == "CERTIFICATE_EXPIRED"


def test_who_sends_no_token_is_told_so(by_token: Identification, ann: Pair) -> None:
    assert refusal(by_token, ann, [("user-agent", "x")])[0] == "NO_TOKEN"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_be_in_any_case(by_token: Identification, ann: Pair, scheme: str) -> None:
    assert by_token.identify(ann.certificate, [("authorization", f"{scheme} {token(ann)}")]).role == "user"


def test_headers_that_are_no_token_are_refused(by_token: Identification, ann: Pair) -> None:
    good = token(ann)
    for metadata in (
        [("authorization", good)],
        [("authorization", "Bearer ")],
        [("authorization", "")],
        [("authorization", f"Basic {good}")],
        [("authorization", f"Bearer  {good}")],
        [("authorization", f"Bearer {good} {good}")],
        [("authorization", f"Bearer {good},Bearer {good}")],
        [("authorization", f"Bearer {good}".encode())],
        bearing(good) + bearing(good),
        bearing("x" * 9000),
        bearing("a.b.c"),
        bearing("." * 100),
        bearing("e30.e30."),
        bearing(urlsafe_b64encode(b"[" * 5000).decode() + ".e30.e30"),
    ):
        assert refusal(by_token, ann, metadata)[0] == "BAD_TOKEN", metadata


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"aud": None}, "aud"),
        ({"aud": "another server"}, "not for this server"),
        ({"aud": ["another server"]}, "not for this server"),
        ({"aud": "this serve"}, "not for this server"),
        ({"aud": 1}, ""),
        ({"exp": None}, "exp"),
        ({"exp": "soon"}, ""),
        ({"exp": float("nan")}, ""),
        ({"exp": float("inf")}, ""),
        ({"exp": 10**400}, ""),
        ({"exp": [1]}, ""),
        ({"nbf": seconds(after=86_400)}, "not yet valid"),
        ({"iat": seconds(after=86_400)}, "not yet valid"),
        ({"role": None}, "role"),
        ({"role": ""}, "role"),
        ({"role": ["full"]}, "role"),
        ({"role": "full\n"}, "role"),
        ({"role": "x" * 300}, "role"),
        ({"cnf": None}, "not bound"),
        ({"cnf": {}}, "not bound"),
        ({"cnf": "x"}, "not bound"),
        ({"cnf": {"x5t#S256": None}}, "not bound"),
        ({"cnf": {"x5t#S256": ""}}, "not bound"),
        ({"cnf": {"x5t#S256": ["x"]}}, "not bound"),
        ({"cnf": {"x5t#S256": "\u00e9"}}, "not bound"),
        ({"sub": "bob"}, "another name"),
        ({"sub": ""}, "another name"),
        ({"sub": 1}, ""),
    ],
)
def test_claims_that_are_not_as_they_should_be_are_refused(
    by_token: Identification, ann: Pair, changes: dict[str, Any], problem: str
) -> None:
    reason, message = refusal(by_token, ann, bearing(token(ann, **changes)))
    assert reason == "BAD_TOKEN"
    assert problem in message


def test_an_expired_token_is_told_so_at_once(by_token: Identification, ann: Pair) -> None:
    for end in (0, -(10**20), seconds(after=-1), seconds(after=0)):
        reason, message = refusal(by_token, ann, bearing(token(ann, exp=end)))
        assert (reason, message[:30]) == ("TOKEN_EXPIRED", "the client's token expired on ")


def test_a_clock_may_be_a_little_ahead(by_token: Identification, ann: Pair) -> None:
    ahead = seconds(after=30)
    assert by_token.identify(ann.certificate, bearing(token(ann, nbf=ahead, iat=ahead))).role == "user"


def test_a_token_of_another_s_certificate_is_refused(by_token: Identification, ann: Pair, authority: Authority) -> None:
    eve = authority.issue(["ann"])
    assert "not bound" in refusal(by_token, eve, bearing(token(ann)))[1]
    same_key = authority.issue(["ann"], key=ann.key)
    assert "not bound" in refusal(by_token, same_key, bearing(token(ann)))[1], "the certificate counts, not the key"


def test_a_token_that_another_key_signs_is_refused(by_token: Identification, ann: Pair) -> None:
    for key in (ec.generate_private_key(ec.SECP256R1()), ann.key):
        assert "not signed with a key" in refusal(by_token, ann, bearing(token(ann, key)))[1]


def unsigned(header: dict[str, object], pair: Pair, signature: str = "") -> str:
    parts = (json.dumps(part).encode() for part in (header, claims_for(pair)))
    return ".".join([*(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), signature])


def test_other_algorithms_are_refused_whatever_the_header_says(by_token: Identification, ann: Pair) -> None:
    secret = public_pem(KEY)
    rsa_key = rsa.generate_private_key(65537, 2048)
    wide = ec.generate_private_key(ec.SECP384R1())
    claims = claims_for(ann)
    for text in (
        jwt.encode(claims, "", "none"),
        unsigned({"alg": "none"}, ann),
        unsigned({"alg": "NONE"}, ann),
        unsigned({"alg": "ES256"}, ann),
        unsigned({"alg": "ES256"}, ann, 86 * "A"),
        unsigned({"alg": ["ES256"]}, ann),
        unsigned({}, ann),
        jwt.encode(claims, secret.hex(), "HS256"),
        jwt.encode(claims, rsa_key, "RS256"),
        jwt.encode(claims, wide, "ES384"),
    ):
        assert refusal(by_token, ann, bearing(text))[0] == "BAD_TOKEN", text
    # As an attacker would confuse a verifier that lets the header choose: signed with the public key as the secret.
    confused = jwt.encode(claims, b"x" * 32, "HS256")
    assert refusal(by_token, ann, bearing(confused))[0] == "BAD_TOKEN"


def test_a_header_that_must_be_understood_is_refused(by_token: Identification, ann: Pair) -> None:
    examples: tuple[dict[str, Any], ...] = ({"crit": ["x"], "x": 1}, {"crit": []}, {"b64": False, "crit": ["b64"]})
    for headers in examples:
        assert refusal(by_token, ann, bearing(token(ann, headers=headers)))[0] == "BAD_TOKEN"


def test_a_changed_token_is_refused(by_token: Identification, ann: Pair) -> None:
    header, _, signature = token(ann).split(".")
    payload = urlsafe_b64encode(json.dumps(claims_for(ann, role="full")).encode()).rstrip(b"=").decode()
    assert "not signed" in refusal(by_token, ann, bearing(f"{header}.{payload}.{signature}"))[1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(st.text(max_size=200) | st.lists(st.binary(max_size=60), min_size=3, max_size=3))
def test_text_of_any_kind_is_refused(by_token: Identification, ann: Pair, text: str | list[bytes]) -> None:
    if isinstance(text, list):
        text = ".".join(urlsafe_b64encode(part).decode() for part in text)
    assert refusal(by_token, ann, bearing(text))[0] == "BAD_TOKEN"


def test_a_token_beside_other_sources(key_file: Path, ann: Pair, authority: Authority) -> None:
    boss = authority.issue(["boss"], role_extension(utf8_string("full")))
    token_first, certificate_first = (
        accepting(key_file, "token", "extension"),
        accepting(key_file, "extension", "token"),
    )
    assert token_first.identify(boss.certificate, bearing(token(boss))).role == "user"
    assert token_first.identify(boss.certificate).role == "full"
    assert certificate_first.identify(boss.certificate, bearing("nonsense")).role == "full"
    assert certificate_first.identify(ann.certificate, bearing(token(ann))).role == "user"
    assert refusal(token_first, boss, bearing("nonsense"))[0] == "BAD_TOKEN", "it does not fall through"
    assert refusal(certificate_first, ann, [])[0] == "NO_ROLE"


def test_a_token_says_nothing_where_that_is_not_configured(authority: Authority, ann: Pair) -> None:
    boss = authority.client("boss", "full")
    assert Identification().identify(boss.certificate, bearing(token(boss))).role == "full"
    assert refusal(Identification(), ann, bearing(token(ann)))[0] == "NO_ROLE"


def test_several_keys_can_be_accepted_while_one_takes_the_place_of_another(key_file: Path, ann: Pair) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    key_file.write_bytes(public_pem(other) + b"and the old one:\n" + public_pem(KEY))
    identification = accepting(key_file)
    for key in (KEY, other):
        assert identification.identify(ann.certificate, bearing(token(ann, key))).role == "user"
    (reloadable,) = identification.reloadables
    key_file.write_bytes(public_pem(other))
    assert reloadable.reload() == "there are 1"
    assert refusal(identification, ann, bearing(token(ann, KEY)))[0] == "BAD_TOKEN"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        public_pem(ec.generate_private_key(ec.SECP384R1())),
        public_pem(rsa.generate_private_key(65537, 2048)),
        public_pem(KEY) + public_pem(ec.generate_private_key(ec.SECP384R1())),
    ],
)
def test_a_key_that_is_none_is_refused(key_file: Path, content: bytes) -> None:
    key_file.write_bytes(content)
    with pytest.raises(ConfigError, match="must hold the public key of tokens, ECDSA P-256 in PEM"):
        accepting(key_file)


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=f"the key of tokens {tmp_path}/token.pub does not exist; the first `jobworker-pki token`"
    ):
        accepting(tmp_path / "token.pub")


def test_tokens_end_after_a_moment_that_can_be_told(ann: Pair, by_token: Identification) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=5)
    identity = by_token.identify(ann.certificate, bearing(token(ann, exp=soon.timestamp())))
    assert abs(identity.valid_until - soon) < timedelta(seconds=1)
