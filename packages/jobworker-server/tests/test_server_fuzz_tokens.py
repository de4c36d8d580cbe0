"""Tokens that nobody should make: refused as bad ones, whatever they claim and however they are signed."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import TRICKY_TEXT, bounded
from jobworker_server.errors import UnauthenticatedError
from jobworker_server.identity import Identification, IdentitySettings, TokenSettings
from server_testing import Authority, Pair

KEY = ec.generate_private_key(ec.SECP256R1())
texts = st.sampled_from([text for text in TRICKY_TEXT if len(text) < 1000]) | st.text(max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
CLAIMS = ["role", "aud", "exp", "nbf", "iat", "cnf", "sub", "iss", "jti"]


def _part(value: object) -> bytes:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


@pytest.fixture(scope="module")
def by_token(tmp_path_factory: pytest.TempPathFactory) -> Identification:
    path = tmp_path_factory.mktemp("tokens") / "token.pub"
    path.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return Identification(IdentitySettings(role_sources=("token",), tokens=TokenSettings(path)))


@bounded
@given(
    header=json_values | st.dictionaries(st.sampled_from(["alg", "typ", "kid", "jwk", "crit", "b64"]), json_values),
    claims=json_values | st.dictionaries(st.sampled_from(CLAIMS), json_values),
    signed=st.booleans(),
    algorithm=st.sampled_from(["ES256", "none", "HS256", "ES384", "es256", None]),
)
def test_tokens_of_any_claims(
    authority: Authority, by_token: Identification, header: object, claims: object, signed: bool, algorithm: str | None
) -> None:
    """Even those that are signed as they should be: none of these is bound to the certificate."""
    if isinstance(header, dict) and algorithm is not None:
        header = {**header, "alg": algorithm}
    text = b".".join([_part(header), _part(claims)])
    signature = _signature(text) if signed else b""
    token = (text + b"." + urlsafe_b64encode(signature).rstrip(b"=")).decode()
    refused(authority, by_token, f"Bearer {token}")


def _signature(text: bytes) -> bytes:
    r, s = decode_dss_signature(KEY.sign(text, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@bounded
@given(
    value=st.text(max_size=200)
    | st.sampled_from(["Bearer " + "[" * 4000, "Bearer a.b.c", "bearer", "Basic x", "Bearer ..", " "])
)
def test_headers_that_are_no_token(authority: Authority, by_token: Identification, value: str) -> None:
    refused(authority, by_token, value)


def refused(authority: Authority, by_token: Identification, value: str) -> None:
    certificate = _CERTIFICATES.setdefault(id(authority), authority.issue(["ann"])).certificate
    with pytest.raises(UnauthenticatedError) as caught:
        by_token.identify(certificate, [("authorization", value)])
    assert caught.value.reason in ("BAD_TOKEN", "TOKEN_EXPIRED")


_CERTIFICATES: dict[int, Pair] = {}
