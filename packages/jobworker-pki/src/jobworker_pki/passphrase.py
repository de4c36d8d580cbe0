"""Where a key's passphrase comes from: a file, a descriptor or the terminal, never an argument or the environment."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass, field
from pathlib import Path

from jobworker_pki.errors import PassphraseError

MIN_CHARACTERS = 12
_MAX_BYTES = 4096


@dataclass
class Passphrase:
    """The one passphrase of a command, read when it is first needed, and only once."""

    source: Path | int | None = None
    """A file or an open descriptor; the terminal where it is None."""
    _known: bytes | None = field(default=None, repr=False)

    @property
    def given(self) -> bool:
        """Whether the user said where it is."""
        return self.source is not None

    def of(self, path: Path) -> bytes:
        """Return the passphrase of the key in ``path``. Raises PassphraseError."""
        if self._known is None:
            self._known = _read(self.source) if self.source is not None else _prompt(f"Passphrase of {path}: ", path)
        return self._known

    def new_for(self, path: Path) -> bytes:
        """Return a passphrase for a new key, which has to be long and on the terminal typed twice.

        Raises PassphraseError.
        """
        if self._known is None:
            self._known = _read(self.source) if self.source is not None else _prompt_twice(path)
        if len(self._known.decode(errors="replace")) < MIN_CHARACTERS:
            raise PassphraseError(f"a passphrase for {path} needs {MIN_CHARACTERS} characters or more")
        return self._known


def _read(source: Path | int) -> bytes:
    name = f"descriptor {source}" if isinstance(source, int) else str(source)
    try:
        with open(source, "rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise PassphraseError(f"the passphrase can't be read from {name}: {error.strerror}") from error
    passphrase, _, rest = content.partition(b"\n")
    if not passphrase or rest.strip() or len(content) > _MAX_BYTES:
        raise PassphraseError(f"{name} does not hold a passphrase: it has to be one line")
    return passphrase.removesuffix(b"\r")


def _prompt_twice(path: Path) -> bytes:
    first = _prompt(f"New passphrase for {path}: ", path)
    if first != _prompt("Once more: ", path):
        raise PassphraseError("the two passphrases differ; nothing was changed")
    return first


def _prompt(text: str, path: Path) -> bytes:
    try:
        # Without a terminal of its own getpass would read the standard input, and echo it.
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        raise PassphraseError(
            f"{path} needs a passphrase and there is no terminal to ask for it; "
            "give --passphrase-file FILE or --passphrase-fd N"
        ) from None
    try:
        return getpass.getpass(text).encode()
    except EOFError:
        raise PassphraseError("no passphrase was given; nothing was changed") from None
