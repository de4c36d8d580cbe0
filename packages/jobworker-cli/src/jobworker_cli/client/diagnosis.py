"""Why a server can't be reached, in words.

gRPC tells little of it, and in texts that change with its versions; so a connection that failed is tried once more with
the standard library's TLS, whose errors are precise.
"""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobworker_cli.client import validity
from jobworker_cli.errors import ClientError, CredentialsError, NoAnswerError, NotAuthenticatedError

if TYPE_CHECKING:
    from jobworker_cli.address import Address
    from jobworker_cli.credentials import Credentials

_TIMEOUT_SECONDS = 5.0


def explain(address: Address, credentials: Credentials) -> ClientError | None:
    """Find out why there is no connection; None where there is nothing wrong any more."""
    try:
        credentials.read_token()
        context = _context(credentials)
        with socket.create_connection(address, timeout=_TIMEOUT_SECONDS) as connection:
            return _shake_hands(context, connection, address, credentials)
    except CredentialsError as error:
        return error
    except TimeoutError:
        return NoAnswerError(f"no answer from {address}", "is the address right, and does a firewall let it through?")
    except ConnectionRefusedError:
        return NoAnswerError(f"no answer from {address}: is jobworker-server running?", "--server HOST:PORT says where")
    except socket.gaierror:
        return NoAnswerError(f"no answer from {address}: there is no host {address.host}")
    except OSError as error:
        return NoAnswerError(f"no answer from {address}: {error.strerror or error}")


def _context(credentials: Credentials) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    try:
        context.load_verify_locations(credentials.ca)
    except (ssl.SSLError, OSError):
        raise CredentialsError("ca", credentials.ca, "holds no certificate that can be read (PEM)") from None
    try:
        # An empty passphrase: an encrypted key is an error, not a question on the terminal.
        context.load_cert_chain(credentials.cert, credentials.key, password="")
    except ssl.SSLError as error:
        if "MISMATCH" in str(error.reason):
            raise CredentialsError("key", credentials.key, f"does not belong to {credentials.cert}") from None
        raise CredentialsError("cert", credentials.cert, f"or its key {credentials.key} can't be read (PEM)") from None
    return context


def _shake_hands(
    context: ssl.SSLContext, connection: socket.socket, address: Address, credentials: Credentials
) -> ClientError | None:
    try:
        with context.wrap_socket(connection, server_hostname=address.host) as tls:
            if _is_accepted(tls):
                return None
    except ssl.SSLCertVerificationError as error:
        problem = error.verify_message.rstrip(".")
        hint = f"the server's certificate must come from the CA in {credentials.ca} and name {address.host}"
        return NoAnswerError(f"the server at {address} can't be trusted: {problem}", hint)
    except ssl.SSLError as error:
        if "PROTOCOL_VERSION" in str(error.reason):
            return NoAnswerError(f"the server at {address} does not speak TLS 1.3")
        return NoAnswerError(f"what listens on {address} does not speak TLS: is it jobworker-server?")
    except ConnectionError:
        return NoAnswerError(f"{address} closes connections without an answer")
    refusal = f"the server at {address} does not accept the certificate {credentials.cert}"
    if untimely := validity.problem(credentials.cert, datetime.now(UTC)):
        return NotAuthenticatedError(f"{refusal}: {untimely}", "`jobworker-pki renew` makes one that is valid")
    return NotAuthenticatedError(
        refusal,
        "it must come from the CA that the server trusts, and be valid: `jobworker-pki show FILE` tells",
    )


def _is_accepted(tls: ssl.SSLSocket) -> bool:
    """Whether the server begins to talk: in TLS 1.3 its verdict on the client's certificate follows the handshake."""
    try:
        return bool(tls.recv(1))
    except TimeoutError:
        return True
    except OSError:
        return False
