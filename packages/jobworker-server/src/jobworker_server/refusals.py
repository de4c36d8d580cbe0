"""Bounds what is spent on clients that are refused before it is known who they are, which no quota of a client holds.

They are told apart by their certificates. Who is refused in a loop is answered more slowly; who is refused more often
is turned away without being looked at, and is told in log and audit once a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from jobworker_server.bucket import Bucket
from jobworker_server.errors import QuotaError
from jobworker_server.quotas import LONGEST_WAIT_SECONDS, Quotas
from jobworker_server.remembered import Remembered

_MOST_KNOWN = 10_000
"""Certificates; those that are forgotten may begin anew."""
_BURST_SECONDS = 10.0
_NO_CERTIFICATE = b""


class Refusals:
    """Those of one server, within bounded memory. Certificates that were never refused are not in it."""

    def __init__(self, quotas: Quotas, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = quotas.refusals_per_second
        self._now = now
        self._known: Remembered[bytes, Bucket] = Remembered(_MOST_KNOWN)

    def require_few(self, certificate: x509.Certificate | None) -> None:
        """Turn away a call of a certificate that was refused too often just now, or of none that can be read.

        Raises:
            QuotaError: it was.
        """
        bucket, now = self._known.get(_key(certificate)), self._now()
        if bucket is not None and (wait := bucket.wait(now)) > LONGEST_WAIT_SECONDS:
            raise QuotaError(
                "RATE_LIMITED",
                "too many calls with this certificate were refused, so this one was not looked at; "
                "find out why, and try again in a moment",
                wait,
                omitted=bucket.omitted(now),
            )

    def count(self, certificate: x509.Certificate | None) -> float:
        """A call is refused: how long its answer has to wait, so that a client in a loop is slowed down."""
        key, now = _key(certificate), self._now()
        bucket = self._known.get(key)
        if bucket is None and self._rate is not None:
            bucket = self._known.put(key, Bucket(self._rate, self._rate * _BURST_SECONDS, now))
        return min(bucket.take(now), LONGEST_WAIT_SECONDS) if bucket else 0.0


def _key(certificate: x509.Certificate | None) -> bytes:
    return certificate.fingerprint(hashes.SHA256()) if certificate else _NO_CERTIFICATE
