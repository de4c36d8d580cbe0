"""What the tests of jobworker-server share: certificates of all kinds, a server process, and a client."""

from __future__ import annotations

import ipaddress
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped]  # googleapis-common-protos has no types
from grpc_status.rpc_status import from_call  # type: ignore[import-untyped]  # grpcio-status has no types

from jobworker.v1 import job_pb2, output_pb2, worker_service_pb2_grpc
from jobworker.v1.worker_service_pb2 import GetOutputRequest, ListJobsRequest, StartRequest, StopRequest, WaitRequest

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
ROLE_OID = x509.ObjectIdentifier("1.2.840.10070.8.1")
TIMEOUT = 30.0


def utf8_string(text: str) -> bytes:
    """A short text as DER."""
    data = text.encode()
    return bytes([0x0C, len(data)]) + data


def role_extension(der: bytes) -> x509.UnrecognizedExtension:
    """The role extension with this content."""
    return x509.UnrecognizedExtension(ROLE_OID, der)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey

    chain: bytes = b""
    """What is sent with the certificate, in PEM."""

    @property
    def cert_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM) + self.chain

    def followed_by(self, *others: Pair) -> Pair:
        """The same, sent with the certificates of the others."""
        return replace(self, chain=b"".join(other.certificate.public_bytes(Encoding.PEM) for other in others))

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def write(self, certificate: Path, key: Path) -> None:
        certificate.write_bytes(self.cert_pem)
        key.write_bytes(self.key_pem)
        key.chmod(0o600)


class Authority:
    """A CA that issues what jobworker-pki would, and what it never would; ``above`` is the one that certified it."""

    def __init__(
        self,
        name: str,
        above: Authority | None = None,
        *,
        valid: timedelta = timedelta(days=1),
        most_below: int | None = None,
        key: PrivateKey | None = None,
    ) -> None:
        key = key or ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = above._name if above else self._name
        issuer_key = above.ca.key if above else key
        builder = self._builder(
            self._name, key.public_key(), issuer_key, valid, issuer=issuer, ca=True, most_below=most_below
        )
        self.ca: Pair = Pair(builder.sign(issuer_key, hashes.SHA256()), key)

    def issue(
        self,
        names: list[str],
        *extensions: x509.ExtensionType,
        valid: timedelta = timedelta(days=1),
        valid_from: timedelta = timedelta(hours=-1),
        organizations: Sequence[str] = (),
        key: PrivateKey | None = None,
    ) -> Pair:
        """A certificate with these common names and extensions, valid until ``valid`` from now."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                *(x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names),
                *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations),
            ]
        )
        builder = self._builder(subject, key.public_key(), self.ca.key, valid, valid_from=valid_from)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return Pair(builder.sign(self.ca.key, hashes.SHA256()), key)

    def client(self, name: str, role: str, *, valid: timedelta = timedelta(days=1)) -> Pair:
        """A client's certificate as it should be."""
        return self.issue([name], role_extension(utf8_string(role)), valid=valid)

    def issue_for(self, key: ed25519.Ed25519PublicKey) -> bytes:
        """A server's certificate, in PEM, of a key that gRPC can't use."""
        builder = self._builder(self._name, key, self.ca.key, timedelta(days=1))
        return builder.sign(self.ca.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def crl(
        self,
        *revoked: Pair,
        valid: timedelta = timedelta(days=1),
        made: timedelta | datetime = timedelta(hours=-1),
        number: int | None = None,
    ) -> bytes:
        """What of it is revoked, in PEM; ``made`` then, or that long from now."""
        now = datetime.now(UTC)
        last_update = made if isinstance(made, datetime) else now + made
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name).last_update(last_update)
        builder = builder.next_update(now + valid)
        if number is not None:
            builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        for pair in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(pair.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(now).build())
        return builder.sign(self.ca.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def write_server_files(self, directory: Path) -> Path:
        """Write ``ca.pem``, ``server.pem`` and ``server.key``, and return the directory."""
        addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
        pair = self.issue(["localhost"], x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses]))
        (directory / "ca.pem").write_bytes(self.ca.cert_pem)
        pair.write(directory / "server.pem", directory / "server.key")
        return directory

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey,
        issuer_key: PrivateKey,
        valid: timedelta,
        *,
        valid_from: timedelta = timedelta(hours=-1),
        ca: bool = False,
        issuer: x509.Name | None = None,
        most_below: int | None = None,
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + min(valid_from, valid - timedelta(hours=1)))
            .not_valid_after(now + valid)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=most_below), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        )


class ServerProcess:
    """``python -m jobworker_server`` on a free port, its standard error gathered in ``log``."""

    def __init__(self, certs: Path, state_dir: Path, listen: str = "localhost:0", *options: str) -> None:
        arguments = ["--listen", listen, "--certs", str(certs), "--state-dir", str(state_dir), *options]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jobworker_server", *arguments], stderr=subprocess.PIPE, text=True
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.append(line)

    @property
    def log(self) -> str:
        return "".join(self._lines)

    @property
    def address(self) -> str:
        match = re.search(r"listening on (\S+)", self.log)
        assert match, self.log
        return match[1]

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """End the server as a service manager would, and return its exit status."""
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
        try:
            status = self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join(TIMEOUT)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return status

    def open_files(self) -> list[str]:
        """What the server's descriptors stand for, which only root may see."""
        directory = f"/proc/{self.process.pid}/fd"
        if not os.access(directory, os.R_OK):
            pytest.skip("only root may look into the server's process")
        found = []
        for descriptor in os.listdir(directory):
            try:
                found.append(os.readlink(f"{directory}/{descriptor}"))
            except FileNotFoundError:
                continue
        return found

    def __enter__(self) -> Self:
        try:
            wait_until(lambda: "listening on" in self.log or self.process.poll() is not None)
            assert self.process.poll() is None, self.log
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class Client:
    """A channel with a certificate of its own, and the calls that tests make again and again."""

    def __init__(self, address: str, pair: Pair, authority: Authority) -> None:
        self.name = pair.certificate.subject.rfc4514_string().partition("CN=")[2]
        credentials = grpc.ssl_channel_credentials(authority.ca.cert_pem, pair.key_pem, pair.cert_pem)
        # Channels of one process would share connections otherwise, and a stuck stream would hold up others.
        self.channel = grpc.secure_channel(address, credentials, [("grpc.use_local_subchannel_pool", 1)])
        self.stub = worker_service_pb2_grpc.WorkerServiceStub(self.channel)

    def start(self, *argv: str, **fields: object) -> job_pb2.Job:
        return self.stub.Start(StartRequest(argv=argv, **fields), timeout=TIMEOUT).job  # type: ignore[arg-type]  # the fields of a request differ in type

    def wait(self, *job_ids: str) -> list[job_pb2.Job]:
        return list(self.stub.Wait(WaitRequest(job_ids=job_ids), timeout=TIMEOUT).jobs)

    def chunks(self, job_id: str, *, follow: bool = True, **fields: object) -> Iterator[output_pb2.OutputChunk]:
        request = GetOutputRequest(job_id=job_id, follow=follow, **fields)  # type: ignore[arg-type]  # as above
        for response in self.stub.GetOutput(request, timeout=TIMEOUT):
            yield from response.chunks

    def output(self, job_id: str, **fields: object) -> bytes:
        return b"".join(chunk.data for chunk in self.chunks(job_id, **fields))  # type: ignore[arg-type]  # as above

    def stop_all(self) -> None:
        states = [job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_STARTING, job_pb2.JOB_STATE_RUNNING]
        for job in self.stub.ListJobs(ListJobsRequest(states=states, all_owners=True), timeout=TIMEOUT).jobs:
            with suppress(grpc.RpcError):  # it has just ended
                self.stub.Stop(StopRequest(job_id=job.id, force=True), timeout=TIMEOUT)

    def close(self) -> None:
        self.channel.close()


@dataclass
class Failure:
    """How a call failed."""

    code: grpc.StatusCode | None = None
    message: str = ""
    reason: str = ""
    metadata: dict[str, str] | None = None
    fields: tuple[str, ...] = ()
    retry_seconds: float | None = None


@contextmanager
def failing() -> Iterator[Failure]:
    """Catches the failure of a call, and tells of it."""
    failure = Failure()
    try:
        yield failure
    except grpc.RpcError as error:
        failure.code, failure.message = error.code(), error.details() or ""
        _add_details(failure, error)
    else:
        raise AssertionError("the call did not fail")


def _add_details(failure: Failure, error: grpc.RpcError) -> None:
    status = from_call(error)
    for detail in status.details if status else ():
        info, request, retry = ErrorInfo(), BadRequest(), RetryInfo()
        if detail.Unpack(info):
            assert info.domain == "jobworker"
            failure.reason, failure.metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(request):
            failure.fields = tuple(violation.field for violation in request.field_violations)
        elif detail.Unpack(retry):
            failure.retry_seconds = retry.retry_delay.ToMilliseconds() / 1000


def wait_until(condition: Callable[[], bool], timeout: float = TIMEOUT) -> None:
    """Return as soon as the condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.01)
