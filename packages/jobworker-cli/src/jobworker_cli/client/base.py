"""What the synchronous and the asynchronous client have in common: whom they talk to, and what becomes of errors."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

import grpc

from jobworker_cli import config
from jobworker_cli.address import Address
from jobworker_cli.client import rpc_errors
from jobworker_cli.client.outage import Outage
from jobworker_cli.credentials import Credentials
from jobworker_cli.errors import ClientError, ConfigurationError, CredentialsError, InvalidRequestError, NoAnswerError

if TYPE_CHECKING:
    from jobworker_cli.config import Configuration

Tell = Callable[[str], None]


class Settings(TypedDict, total=False):
    """What ``from_config`` takes: the global options of the command line, by their names."""

    config: str | os.PathLike[str]
    """The configuration file; otherwise ``$JOBWORKER_CONFIG``, or ``$XDG_CONFIG_HOME/jobworker/config.yaml``."""
    context: str
    """Which of its contexts."""
    server: str
    """``HOST:PORT``."""
    certs: str | os.PathLike[str]
    """The directory that ``jobworker-pki`` made."""
    name: str
    """Whose certificate in it."""
    ca: str | os.PathLike[str]
    cert: str | os.PathLike[str]
    key: str | os.PathLike[str]
    token_file: str | os.PathLike[str]
    """Where the token is that calls send, for servers that take roles from tokens."""
    timeout: float
    """Seconds, as ``Client`` has it."""
    reconnect: float
    """Seconds, as ``Client`` has it."""


class BaseClient:
    """A client without its calls."""

    def __init__(
        self,
        server: str,
        credentials: Credentials,
        *,
        timeout: float = 10.0,
        reconnect: float = 30.0,
        tell: Tell = lambda _: None,
    ) -> None:
        """Prepare to call ``server`` (``HOST:PORT``).

        Args:
            server: where it listens.
            credentials: what to show to it, and to know it by.
            timeout: the deadline, in seconds, of every call but streams and waits.
            reconnect: seconds that streams and waits give a server that was there, and goes away, to come back.
            tell: is told, in a sentence, when such a connection is lost and when it is there again.

        Raises:
            InvalidRequestError: ``server`` is not an address.
            CredentialsError: a certificate, key or token file can't be read.
            TlsVersionError: grpc was imported before this package.
        """
        try:
            self._address = Address.parse(server)
        except ValueError as error:
            raise InvalidRequestError(f"server: {error}") from None
        self._credentials = credentials
        self._timeout = timeout
        self._reconnect = reconnect
        self._tell = tell
        self._connect()

    def _connect(self) -> None:
        """Make the channel. CredentialsError, TlsVersionError."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, *, tell: Tell = lambda _: None, **settings: Unpack[Settings]) -> Self:
        """A client of the server that the command line would talk to.

        Each value is taken from the first that has it: ``settings``, the environment (``JOBWORKER_SERVER`` and so on),
        the configuration file, the defaults.

        Raises:
            ConfigurationError: one of them holds something that can't be used; the message says which.
        """
        given = {name: os.fspath(value) if isinstance(value, os.PathLike) else str(value)
                 for name, value in settings.items()}  # fmt: skip
        return cls.configured(config.resolve(given, os.environ, option="the argument {}"), tell=tell)

    @classmethod
    def configured(cls, configuration: Configuration, *, tell: Tell = lambda _: None) -> Self:
        """A client of the server of a configuration that was read. ConfigurationError: a file can't be read."""
        credentials = Credentials(
            ca=Path(configuration.ca.value),
            cert=Path(configuration.cert.value),
            key=Path(configuration.key.value),
            token=Path(configuration.token_file.value) if configuration.token_file else None,
        )
        try:
            return cls(
                configuration.server.value,
                credentials,
                timeout=configuration.timeout_seconds,
                reconnect=configuration.reconnect_seconds,
                tell=tell,
            )
        except CredentialsError as error:
            source = getattr(configuration, error.role).source
            raise ConfigurationError(f"{error} (from {source})", error.hint) from None

    def _outage(self) -> Outage:
        return Outage(self._address, self._reconnect, self._tell)

    def _failed(self, error: grpc.RpcError, deadline: float) -> ClientError:
        """What a call with this deadline failed of; may take seconds, to find out."""
        if rpc_errors.code_of(error) is grpc.StatusCode.DEADLINE_EXCEEDED:
            message = f"no answer from {self._address} within {deadline:g} seconds"
            return NoAnswerError(message, "--timeout SECONDS, before the command's name, waits longer")
        return self._explain(error)

    def _explain(self, error: grpc.RpcError) -> ClientError:
        """What is wrong; may take seconds, to find out."""
        if not rpc_errors.is_transport_failure(error):
            return rpc_errors.from_rpc(error)
        from jobworker_cli.client import diagnosis  # not before: calls seldom fail

        found = diagnosis.explain(self._address, self._credentials)
        return found or NoAnswerError(f"the connection to {self._address} was lost", "try again")
