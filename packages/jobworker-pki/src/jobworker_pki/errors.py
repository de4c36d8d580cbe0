"""Everything that jobworker_pki raises of its own.

::

    PkiError
    ├── InvalidValueError (also a ValueError)
    ├── AlreadyExistsError
    ├── AuthorityError
    ├── DamagedError
    ├── KeyFileError
    ├── LedgerError
    ├── PassphraseError
    ├── RefusedError
    ├── RequestError
    ├── UnreadableCertificateError
    └── WriteError

Messages never hold key material.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class PkiError(Exception):
    """The root of the errors of this package."""


class InvalidValueError(PkiError, ValueError):
    """A value that was given can't be used; ``field`` names it, such as ``name`` or ``role``."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class AlreadyExistsError(PkiError):
    """Files to be written are there already and were not to be replaced; nothing was changed."""

    def __init__(self, paths: Sequence[Path], advice: str = "--force replaces them") -> None:
        names = ", ".join(str(path) for path in paths)
        super().__init__(f"already there: {names}. Nothing was changed; {advice}")
        self.paths = tuple(paths)


class AuthorityError(PkiError):
    """The certificate authority of a directory can't issue: incomplete, unreadable, mismatched or expired."""


class DamagedError(PkiError):
    """A file by which a command that was killed would be finished is damaged."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is damaged, so what a killed command began can't be finished; look at it, then remove it"
        )
        self.path = path


class KeyFileError(PkiError):
    """A file does not hold a private key that can be used."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"the key {path} {problem}")
        self.path = path


class LedgerError(PkiError):
    """The record of what was issued is damaged."""


class PassphraseError(PkiError):
    """There is no passphrase, or it is the wrong one."""


class RefusedError(PkiError):
    """What was asked for can't be done as things are; the message says why and what can."""


class RequestError(PkiError):
    """A request, or the registration data that one is made of, can't be used."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class UnreadableCertificateError(PkiError):
    """A file does not hold a certificate that can be read."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class WriteError(PkiError):
    """The operating system refused to write; what was there before is there still."""

    def __init__(self, directory: Path, error: OSError) -> None:
        path = error.filename if error.filename is not None else directory
        super().__init__(f"can't write in {directory}: {path}: {error.strerror}")
        self.directory = directory
