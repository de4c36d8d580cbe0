"""The keys that leave a job, and what waits to be sent."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from jobworker.v1 import worker_service_pb2 as api
from jobworker_cli.client.request_queue import RequestQueue
from jobworker_cli.detach_keys import DetachKeys

TYPED = st.lists(st.lists(st.sampled_from([b"a", b"\x10", b"\x11", b"\x03"]), max_size=4).map(b"".join), max_size=8)


@given(TYPED)
def test_all_that_is_typed_before_the_keys_is_handed_on_however_it_comes(pieces: list[bytes]) -> None:
    keys = DetachKeys()
    handed_on, left = b"", False
    for piece in pieces:
        data, left = keys.typed(piece)
        handed_on += data
        if left:
            break
    before, found, _ = b"".join(pieces).partition(b"\x10\x11")
    assert left == bool(found)
    assert handed_on + keys.give_up() == before


def test_the_first_key_alone_is_held_back_until_it_is_given_up() -> None:
    keys = DetachKeys()
    assert keys.typed(b"a\x10") == (b"a", False)
    assert keys.give_up() == b"\x10"
    assert keys.give_up() == b""
    assert keys.typed(b"\x11") == (b"\x11", False)


def test_a_queue_lets_its_writer_wait_and_keeps_the_order() -> None:
    queue = RequestQueue()
    large = api.AttachRequest(input=bytes(200 << 10))
    assert queue.put(large)
    assert queue.put(large)
    writer = threading.Thread(target=queue.put, args=(api.AttachRequest(input=b"last"),))
    writer.start()
    writer.join(0.05)
    assert writer.is_alive()
    assert next(queue) == large
    writer.join()
    assert [next(queue), next(queue)] == [large, api.AttachRequest(input=b"last")]


def test_a_queue_that_is_closed_takes_and_gives_nothing() -> None:
    queue = RequestQueue()
    queue.put(api.AttachRequest(input=b"lost"))
    queue.close()
    assert not queue.put(api.AttachRequest(input=b"late"))
    assert list(queue) == []
