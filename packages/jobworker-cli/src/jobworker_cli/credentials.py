"""The files that a client proves itself with: certificates, and a token where the server wants one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobworker_cli.errors import CredentialsError

if TYPE_CHECKING:
    import os

_HINT = (
    "`jobworker-pki init` makes certificates, `jobworker-pki install` puts one that was asked for in its place; "
    "--certs DIR says where they are"
)
_HINT_FOR_CLIENT = "`jobworker-pki issue --role ROLE --name {name}` makes one; --name NAME says whose to use"
_OF_NO_CLIENT = frozenset({"ca", "intermediate", "old-ca", "old-intermediate", "server", "token"})
_MOST_NAMED = 5
_TOKEN = re.compile(rb"[A-Za-z0-9_=-]+(\.[A-Za-z0-9_=-]*){2}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """PEM files: the CA that the server's certificate must come from, and the client's own certificate and key.

    ``token``, where it is given, is a file with the token that each call sends; it is read anew for each.
    """

    ca: Path
    cert: Path
    key: Path
    token: Path | None = None

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
        hint = _HINT_FOR_CLIENT.format(name=self.cert.stem)
        if not self.cert.exists():
            hint += _those_there(self.cert.parent)
        return ca, _read("cert", self.cert, hint), _read("key", self.key, hint)

    def read_token(self) -> str | None:
        """The token that is in its file now; None: there is no such file to be read.

        Raises:
            CredentialsError: it can't be read, or holds no token.
        """
        if self.token is None:
            return None
        found = _read("token_file", self.token, "`jobworker-pki token` makes tokens").strip()
        if not _TOKEN.fullmatch(found):
            raise CredentialsError("token_file", self.token, "does not hold a token, and nothing else")
        return found.decode()


def _those_there(directory: Path) -> str:
    """Whose certificates there are instead, for a hint."""
    keys = sorted(path for path in directory.glob("*.key") if path.with_suffix(".pem").is_file())
    names = [path.stem for path in keys if path.stem not in _OF_NO_CLIENT and path.stem.isprintable()]
    more = ", ..." if len(names) > _MOST_NAMED else ""
    return f", of those there: {', '.join(names[:_MOST_NAMED])}{more}" if names else ""


def _read(role: str, path: Path, hint: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CredentialsError(role, path, "does not exist", hint) from None
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CredentialsError(role, path, f"can't be read: {problem}") from None
