"""Addresses: read, resolved and found free."""

from __future__ import annotations

import socket

import pytest

from jobworker_server.errors import ConfigError, ListenError
from jobworker_server.listening import Address, free_addresses


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:50051", "localhost", 50051),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("[::1]:65535", "::1", 65535),
        ("[::]:1", "::", 1),
    ],
)
def test_an_address_is_read_and_written(text: str, host: str, port: int) -> None:
    address = Address.parse(text)
    assert address == Address(host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", "localhost", ":50051", "50051", "::1:50051", "a:65536", "a:-1", "a:b", "a b:1", "[]:1", "a:1 ", "a:\uff11"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="give HOST:PORT"):
        Address.parse(text)


def test_localhost_is_all_its_addresses_on_one_port() -> None:
    addresses = free_addresses(Address("localhost", 0))
    assert {address.port for address in addresses} == {addresses[0].port}
    assert addresses[0].port > 0
    assert "127.0.0.1" in {address.host for address in addresses}


def test_a_taken_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"can't listen on 127.0.0.1:{port}: Address already in use"):
            free_addresses(Address("127.0.0.1", port))


def test_an_address_of_another_host_is_refused() -> None:
    with pytest.raises(ListenError, match="not an address of this host"):
        free_addresses(Address("192.0.2.1", 0))


@pytest.mark.parametrize("host", ["host.invalid", "a" * 70, "a..b"])
def test_a_name_of_no_host_is_refused(host: str) -> None:
    with pytest.raises(ListenError, match="no such host"):
        free_addresses(Address(host, 0))
