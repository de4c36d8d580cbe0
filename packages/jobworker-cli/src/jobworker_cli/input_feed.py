"""From the standard input to a job that was joined, by a thread of its own."""

from __future__ import annotations

import os
import select
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from jobworker_cli.detach_keys import PATIENCE_SECONDS, DetachKeys
from jobworker_cli.errors import InputClosedError
from jobworker_cli.local_terminal import local_size

if TYPE_CHECKING:
    from types import TracebackType

    from jobworker_cli.client.attachment import Attachment

_STDIN = 0
_MOST_READ = 64 << 10
_END_OF_FILE_KEY = b"\x04"


class InputFeed:
    """Reads the standard input as fast as the job takes it, while entered."""

    def __init__(self, attachment: Attachment, *, detachable: bool) -> None:
        """``detachable``: the keys that leave the job are looked for."""
        self._attachment = attachment
        self._keys = DetachKeys() if detachable else None
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="input", daemon=True)
        self.detached = False
        """Whether the keys that leave the job were typed."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._attachment.close(at_once=True)  # the thread may wait for the job to take something
        self._wake(b"e")
        self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def resized(self) -> None:
        """The local terminal may have another size now. Safe in a signal's handler."""
        self._wake(b"r")

    def _wake(self, why: bytes) -> None:
        with suppress(OSError):  # full: it is awake already; closed: a late signal
            os.write(self._wake_write, why)

    def _run(self) -> None:
        with suppress(InputClosedError):  # the end of the output tells the rest
            while self._step():
                pass
        if self.detached:
            self._attachment.close()

    def _step(self) -> bool:
        """Wait for something to do, and do it; False: there will be nothing more."""
        patience = PATIENCE_SECONDS if self._keys and self._keys.holds_back else None
        ready, _, _ = select.select([_STDIN, self._wake_read], [], [], patience)
        if not ready and self._keys:
            self._attachment.write(self._keys.give_up())
        if self._wake_read in ready and not self._heed(os.read(self._wake_read, 4096)):
            return False
        return _STDIN not in ready or self._hand_on(self._read())

    def _heed(self, reasons: bytes) -> bool:
        size = local_size()
        if b"r" in reasons and size:
            self._attachment.resize(size)
        return b"e" not in reasons

    def _read(self) -> bytes:
        try:
            return os.read(_STDIN, _MOST_READ)
        except OSError:
            return b""  # its terminal is gone

    def _hand_on(self, data: bytes) -> bool:
        if not data:
            self._end()
            return False
        if self._keys:
            data, self.detached = self._keys.typed(data)
        self._attachment.write(data)
        return not self.detached

    def _end(self) -> None:
        if self._attachment.job.tty:
            self._attachment.write(_END_OF_FILE_KEY)
        else:
            self._attachment.close_input()
