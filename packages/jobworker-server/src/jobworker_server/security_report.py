"""What a server with these settings would trust, and whom it would tell: for ``doctor``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from jobworker_server import credentials, policy
from jobworker_server.config import Settings
from jobworker_server.crl import RevocationList
from jobworker_server.errors import ServerError
from jobworker_server.identity import TokenSettings, tokens


def report(settings: Settings) -> str:
    """A line for each part; NO stands before what keeps the server from starting."""
    lines = [
        _line("the server's certificate", lambda: _key_pair(settings)),
        _line("clients' CAs", lambda: _authorities(settings)),
        _line("policy", lambda: _policy(settings)),
        *_others(settings),
    ]
    return "\n".join(["Security:", *lines])


def _line(what: str, find: Callable[[], str]) -> str:
    try:
        return f"  yes  {what}: {find()}"
    except ServerError as error:
        return f"  NO   {what}: {error}"


def _key_pair(settings: Settings) -> str:
    pair = credentials.load_key_pair(settings.files)
    return f"{settings.files.cert}, valid until {pair.certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"


def _authorities(settings: Settings) -> str:
    found = credentials.load_authorities(settings.files)
    names = ", ".join(certificate.subject.rfc4514_string() for certificate in found.certificates)
    if found.revocations is None:
        return f"{names}; there is no CRL"
    return f"{names}; {', '.join(map(_revocations, found.revocations))}"


def _revocations(revocations: RevocationList) -> str:
    if revocations.expires is None:
        return f"{len(revocations.serials)} revoked"
    state = "expired" if revocations.expires < datetime.now(UTC) else "until"
    revoked = f"{len(revocations.serials)} revoked by {revocations.name}"
    return f"{revoked} ({state} {revocations.expires:%Y-%m-%d %H:%M:%S} UTC)"


def _policy(settings: Settings) -> str:
    found = policy.PolicyInForce(settings.policy).current
    return f"{settings.policy or 'built in'}, with the roles {', '.join(found.roles)}"


def _tokens(given: TokenSettings) -> str:
    return f"{given.key}, {len(tokens.load(given.key, given.audience).keys)} for {given.audience!r}"


def _others(settings: Settings) -> Iterator[str]:
    if given := settings.identity.tokens:
        yield _line("keys of tokens", lambda: _tokens(given))
    audit = settings.audit.file or settings.audit.syslog
    yield f"  yes  audit: {audit}" if audit else "  --   audit: none"
    if settings.proxy:
        group = f", for the group {settings.proxy.group}" if settings.proxy.group else ""
        yield f"  yes  proxy: {settings.proxy.path}{group}"
