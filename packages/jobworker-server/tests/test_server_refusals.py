"""Who is refused in a loop costs the others nothing, and fills no log."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from jobworker.v1.worker_service_pb2 import ListJobsRequest
from jobworker_server import refusals
from jobworker_server.errors import QuotaError
from jobworker_server.quotas import Quotas
from jobworker_server.refusals import Refusals
from server_testing import TIMEOUT, Authority, Client, Failure, Pair, ServerProcess, failing, wait_until

CONFIG = "quotas: {refusalsPerSecond: 5}\naudit: {file: audit.log}\n"
BURST = 50
FLOOD = 600


@contextmanager
def serving(certs: Path, tmp_path: Path, authority: Authority) -> Iterator[Callable[[Pair], Client]]:
    """What is given connects; it has the server and the path of its audit."""
    (tmp_path / "server.yaml").write_text(CONFIG)
    options = ("localhost:0", "--config", str(tmp_path / "server.yaml"))
    with ServerProcess(certs, tmp_path / "state", *options) as server, ExitStack() as stack:

        def connect(pair: Pair) -> Client:
            client = Client(server.address, pair, authority)
            stack.callback(client.close)
            return client

        connect.server = server  # type: ignore[attr-defined]  # for who looks at its log
        yield connect


@pytest.fixture
def connect(server_certs: Path, tmp_path: Path, authority: Authority) -> Iterator[Callable[[Pair], Client]]:
    with serving(server_certs, tmp_path, authority) as connect:
        yield connect


def try_to_list(client: Client) -> Failure:
    with failing() as failure:
        client.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
    return failure


def flood(client: Client) -> list[Failure]:
    with ThreadPoolExecutor(50) as pool:
        return [future.result() for future in [pool.submit(try_to_list, client) for _ in range(FLOOD)]]


def test_a_flood_is_turned_away_and_told_in_few_lines(
    connect: Callable[[Pair], Client], authority: Authority, tmp_path: Path
) -> None:
    weak, good = connect(authority.issue(["weak"])), connect(authority.client("good", "full"))
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        flooding = pool.submit(flood, weak)
        served = 0
        while not flooding.done():
            good.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
            served += 1
        failures = flooding.result()
    seconds = time.monotonic() - began
    counts = Counter(failure.reason for failure in failures)
    assert set(counts) == {"NO_ROLE", "RATE_LIMITED"}
    looked_at = counts["NO_ROLE"]
    assert BURST <= looked_at <= BURST + 5 * (seconds + 2)
    assert served
    for failure in failures:
        if failure.reason == "RATE_LIMITED":
            assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert failure.retry_seconds
            assert "too many calls with this certificate were refused" in failure.message
    audit = tmp_path / "audit.log"
    wait_until(lambda: audit.read_text().count('"NO_ROLE"') >= looked_at)
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    reasons = Counter(line["reason"] for line in lines)
    assert reasons["NO_ROLE"] == looked_at
    assert 1 <= reasons["RATE_LIMITED"] <= seconds + 2
    server: ServerProcess = connect.server  # type: ignore[attr-defined]  # set above
    wait_until(lambda: server.log.count("names no role") >= looked_at)
    assert server.log.count("names no role") == looked_at
    wait_until(lambda: try_to_list(weak).reason == "NO_ROLE")
    assert sum(line.get("omitted", 0) for line in lines) <= counts["RATE_LIMITED"]


def test_how_many_were_not_told_is_told_with_the_next(
    connect: Callable[[Pair], Client], authority: Authority, tmp_path: Path
) -> None:
    weak = connect(authority.issue(["weak"]))

    def omitted() -> int:
        lines = (json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines())
        return sum(line.get("omitted", 0) for line in lines)

    flood(weak)
    wait_until(lambda: bool(flood(weak)) and omitted() > 0)


def test_a_loop_is_slowed_down_and_told_the_reason(connect: Callable[[Pair], Client], authority: Authority) -> None:
    weak = connect(authority.issue(["weak"]))
    began = time.monotonic()
    assert {try_to_list(weak).reason for _ in range(BURST + 10)} == {"NO_ROLE"}
    assert time.monotonic() - began > 1.5, "the last ten have waited for their turns"


def test_each_certificate_is_held_for_itself(connect: Callable[[Pair], Client], authority: Authority) -> None:
    """Another certificate of the same name and role is answered as if there was no flood."""
    key = ec.generate_private_key(ec.SECP256R1())
    weak, other = (connect(authority.issue(["weak"], key=key)) for _ in range(2))
    flood(weak)
    assert try_to_list(other).reason == "NO_ROLE"


def test_what_is_known_of_certificates_is_bounded(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_MOST_KNOWN", 100)
    now = 0.0
    known = Refusals(Quotas(refusals_per_second=1), lambda: now)
    key = ec.generate_private_key(ec.SECP256R1())
    pairs = [authority.issue([f"client {number}"], key=key) for number in range(300)]
    for pair in pairs:
        for _ in range(11):
            known.require_few(pair.certificate)
            known.count(pair.certificate)
    assert len(known._known.values()) == 100
    with pytest.raises(QuotaError):
        known.require_few(pairs[-1].certificate)
    known.require_few(pairs[0].certificate)
    now += 2.0
    known.require_few(pairs[-1].certificate)


def test_certificates_that_are_not_refused_are_not_kept(authority: Authority) -> None:
    known = Refusals(Quotas())
    known.require_few(authority.client("ann", "full").certificate)
    assert not known._known.values()


def test_without_a_bound_all_are_looked_at(authority: Authority) -> None:
    known = Refusals(Quotas(refusals_per_second=None))
    certificate = authority.issue(["weak"], valid=timedelta(hours=1)).certificate
    for _ in range(10_000):
        known.require_few(certificate)
        assert known.count(certificate) == 0.0
    assert not known._known.values()


def test_calls_without_a_certificate_are_bounded_together() -> None:
    known = Refusals(Quotas(refusals_per_second=1), lambda: 0.0)
    for _ in range(11):
        known.require_few(None)
        known.count(None)
    with pytest.raises(QuotaError):
        known.require_few(None)
