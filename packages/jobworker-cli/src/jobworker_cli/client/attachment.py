"""A running job, joined: what is written to it is its input, and its output comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import grpc

from jobworker.v1 import worker_service_pb2 as api
from jobworker_cli.client import convert, rpc_errors
from jobworker_cli.client.request_queue import RequestQueue
from jobworker_cli.errors import ClientError, InputClosedError, NoAnswerError, OutputInterruptedError, ServerError

if TYPE_CHECKING:
    from types import TracebackType

    from jobworker_cli.client.outage import Outage
    from jobworker_cli.models import Chunk, Job, TerminalSize

_MOST_IN_A_REQUEST = 64 << 10
_LEAVE_SECONDS = 2.0


class Attachment:
    """A job that was joined, made by :meth:`jobworker_cli.client.Client.attach`.

    ::

        job = client.start(["bc"], stdin=True)
        with client.attach(job.id) as attachment:
            attachment.write(b"6 * 7\\n")
            attachment.close_input()
            for chunk in attachment.output():
                print(chunk.data)  # b"42\\n"

    Leaving the block leaves the job running. One thread may write while another reads the output.
    """

    def __init__(
        self,
        attach: Callable[[Iterator[api.AttachRequest]], Any],
        start: api.AttachStart,
        explain: Callable[[grpc.RpcError], ClientError],
        outage: Outage,
    ) -> None:
        self._attach = attach
        self._start = start
        self._explain = explain
        self._outage = outage
        self._lost: grpc.RpcError | None = None
        self._reading = threading.Lock()  # gRPC lets one thread wait for the next response
        try:
            self.job = self._open()
            """As it was when it was joined; after the end of its output, as it ended."""
        except grpc.RpcError as error:
            raise explain(error) from None
        if start.HasField("tail_lines"):
            start.offset = self.job.output_bytes
            start.ClearField("tail_lines")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(at_once=error is not None)

    def write(self, data: bytes) -> None:
        """Send input; waits while the job takes none, once some hundred KB are on their way.

        Raises:
            InputClosedError: the job takes no more, or the call has ended. That is known from the output: read it
                meanwhile.
        """
        for begin in range(0, len(data), _MOST_IN_A_REQUEST):
            self._put(api.AttachRequest(input=data[begin : begin + _MOST_IN_A_REQUEST]))

    def close_input(self) -> None:
        """End the job's standard input, for everybody, after what was written before.

        For a job with a terminal the call ends with InvalidRequestError: write Ctrl-D to it, ``b"\\x04"``.

        Raises:
            InputClosedError: it has ended already.
        """
        self._put(api.AttachRequest(end_of_input=True))

    def resize(self, size: TerminalSize) -> None:
        """Set the size of the job's terminal. The first time, programs that fill the screen draw it anew in any case.

        Raises:
            InputClosedError: the job takes no more input.
        """
        self._put(api.AttachRequest(resize=convert.terminal_value(size)))

    def output(self) -> Iterator[Chunk]:
        """Yield the output as it comes; see ``output_batches``."""
        for batch in self.output_batches():
            yield from batch

    def output_batches(self) -> Iterator[Sequence[Chunk]]:
        """Yield the output as it comes from the server, until the job has ended; then ``job`` tells how.

        Raises:
            OutputInterruptedError: the connection was lost; the job runs on, and its ``offset`` is where to go on.
        """
        try:
            while (response := self._next()) is not None:
                if response.HasField("job"):
                    self.job = convert.job(response.job)
                if response.input_closed or self.job.state.ended:
                    self._takes_input = False
                    self._requests.close()  # the server ends the call when it knows that there will be no more
                if response.chunks:
                    batch = [convert.chunk(chunk) for chunk in response.chunks]
                    self._start.offset = batch[-1].end
                    yield batch
        except grpc.RpcError as error:
            if self._call.cancelled():  # by close, in another thread
                return
            # Not explained before it is given up: a server that is just stopping is easily taken for one that refuses.
            found = rpc_errors.from_rpc(error)
            if isinstance(found, NoAnswerError):
                self._lost = error
                raise OutputInterruptedError(f"the connection was lost: {found}", self._start.offset) from None
            raise self._explain(error) from None

    @property
    def input_is_certain(self) -> bool:
        """Whether it is known how much of its input the job got: none was sent since it was joined, or it is over."""
        return not self._has_sent or not self._takes_input

    def rejoin(self) -> None:
        """Join the job again after OutputInterruptedError: the output goes on with the next byte.

        The server is given the time of the client's ``reconnect`` to come back. Of the input that was sent last, some
        may be lost.

        Raises:
            NoAnswerError: it did not come back.
            JobNotFoundError: the job was deleted meanwhile.
        """
        while self._lost is not None:
            seconds = self._outage.pause(self._lost)
            if seconds is None:
                raise self._explain(self._lost) from None
            time.sleep(seconds)
            try:
                self.job = self._open()
            except grpc.RpcError as error:
                self._lost = error

    def close(self, *, at_once: bool = False) -> None:
        """Leave the job as it is, running and its input open.

        What was written is handed to the job before, unless that takes more than 2 seconds, or ``at_once`` is set.
        """
        if at_once:
            self._call.cancel()
            return
        give_up = threading.Timer(_LEAVE_SECONDS, self._call.cancel)
        give_up.start()
        try:
            if self._requests.put(api.AttachRequest(detach=True)):
                while self._next() is not None:
                    pass  # what is on its way comes before the end
        except grpc.RpcError:
            pass  # it has gone another way
        finally:
            give_up.cancel()
            self._call.cancel()

    def _open(self) -> Job:
        self._takes_input = self._start.input
        self._has_sent = False
        self._requests = requests = RequestQueue()
        requests.put(api.AttachRequest(start=self._start))
        self._call = self._attach(requests)
        self._call.add_done_callback(lambda _: requests.close())
        first = self._next()
        if first is None:
            raise ServerError("the server has ended the call without an answer")
        self._outage.over()
        self._lost = None
        return convert.job(first.job)

    def _next(self) -> api.AttachResponse | None:
        """The next response; None: the call has ended well."""
        with self._reading:
            return next(self._call, None)

    def _put(self, request: api.AttachRequest) -> None:
        self._has_sent = self._has_sent or not request.HasField("resize")
        if not self._takes_input or not self._requests.put(request):
            raise InputClosedError(f"job {self.job.id} takes no more input")
