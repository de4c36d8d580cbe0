"""Which revocation lists hold after their file was read again: none gives way to an older one.

Whoever puts an old list back, by mistake or not, would give back what was revoked since. A CA signs the number and the
date of each list, and both of them grow; so what is older by both is no news of it. Where they contradict each other,
as after a CA has begun to count anew, the list is taken: otherwise its revocations would be left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509

from jobworker_server.crl import RevocationList, newest

_log = logging.getLogger(__name__)


def after(
    path: Path, held: Sequence[RevocationList], found: Sequence[RevocationList], authorities: Sequence[x509.Certificate]
) -> list[RevocationList]:
    """The lists that hold after those of a file were ``found``, where others have been ``held``; one for each CA.

    Those that stay in use though the file says otherwise are told in the log. A list of a CA that is none of the
    ``authorities`` any more, and of which the file has none either, is let go.
    """
    kept = [*_kept_of_known(path, held, found, authorities), *_kept_of_others(path, held, found, authorities)]
    signers = {_signer(each, authorities) for each in kept}
    return [*kept, *(each for each in found if _signer(each, authorities) not in signers)]


def _kept_of_known(
    path: Path, held: Sequence[RevocationList], found: Sequence[RevocationList], authorities: Sequence[x509.Certificate]
) -> Iterator[RevocationList]:
    for old in dict.fromkeys(old for ca in authorities if (old := newest(held, ca))):
        new = next((new for ca in authorities if old.is_of(ca) and (new := newest(found, ca))), None)
        if new is None:
            _log.warning(
                "%s holds no CRL of %r any more; the one that is in use stays in use. Put it back, or restart the "
                "server to do without it",
                path,
                old.name,
            )
            yield old
        elif new.is_older_than(old):
            _tell_older(path, old, new)
            yield old


def _kept_of_others(
    path: Path, held: Sequence[RevocationList], found: Sequence[RevocationList], authorities: Sequence[x509.Certificate]
) -> Iterator[RevocationList]:
    """The same for CAs that clients show with their certificates."""
    unknown = [new for new in found if not any(map(new.is_of, authorities))]
    for old in held:
        of_same = [new for new in unknown if new.signer == old.signer]
        if of_same and not any(map(old.is_of, authorities)) and all(new.is_older_than(old) for new in of_same):
            _tell_older(path, old, of_same[0])
            yield old


def _tell_older(path: Path, old: RevocationList, new: RevocationList) -> None:
    _log.warning(
        "%s holds an older CRL of %r, %s, than the one that is in use, %s, which stays in use. Put the newest one "
        "there, or restart the server to go back to the older one",
        path,
        old.name,
        new.edition,
        old.edition,
    )


def _signer(revocations: RevocationList, authorities: Sequence[x509.Certificate]) -> object:
    """Who has signed a list: the CA where it is known, or else what the list itself says."""
    return next((ca for ca in authorities if revocations.is_of(ca)), revocations.signer)
