"""The certificate files that a client proves itself with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobworker_cli.errors import CredentialsError

if TYPE_CHECKING:
    import os

_HINT = "`jobworker-pki init` makes certificates; --certs DIR says where they are"
_HINT_FOR_CLIENT = "`jobworker-pki issue --role ROLE --name {name}` makes one; --name NAME says whose to use"


@dataclass(frozen=True, slots=True)
class Credentials:
    """PEM files: the CA that the server's certificate must come from, and the client's own certificate and key."""

    ca: Path
    cert: Path
    key: Path

    @classmethod
    def from_directory(cls, directory: str | os.PathLike[str], name: str = "full") -> Credentials:
        """The files of the client ``name`` as ``jobworker-pki`` lays them out."""
        certs = Path(directory)
        return cls(certs / "ca.pem", certs / f"{name}.pem", certs / f"{name}.key")

    def read(self) -> tuple[bytes, bytes, bytes]:
        """The contents of CA, certificate and key.

        Raises:
            CredentialsError: a file is missing or can't be read.
        """
        ca = _read("ca", self.ca, _HINT)
        hint = _HINT_FOR_CLIENT.format(name=self.cert.stem)  # There is an authority to make it.
        return ca, _read("cert", self.cert, hint), _read("key", self.key, hint)


def _read(role: str, path: Path, hint: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CredentialsError(role, path, "does not exist", hint) from None
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CredentialsError(role, path, f"can't be read: {problem}") from None
