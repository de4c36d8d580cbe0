"""A running job, joined by an asyncio program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, Self

import grpc
import grpc.aio

from jobworker.v1 import worker_service_pb2 as api
from jobworker_cli.client import convert, rpc_errors
from jobworker_cli.errors import ClientError, InputClosedError, NoAnswerError, OutputInterruptedError, ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from jobworker_cli.client.outage import Outage
    from jobworker_cli.models import Chunk, Job, TerminalSize

_MOST_IN_A_REQUEST = 64 << 10
_LEAVE_SECONDS = 2.0


class Attachment:
    """As :class:`jobworker_cli.client.Attachment`, awaited. One task may write while another reads the output."""

    def __init__(
        self,
        attach: Callable[[], Any],
        start: api.AttachStart,
        explain: Callable[[grpc.RpcError], ClientError],
        outage: Outage,
    ) -> None:
        self._attach = attach
        self._start = start
        self._explain = explain
        self._outage = outage
        self._lost: grpc.RpcError | None = None
        self._call: Any = None
        self._takes_input = self._has_sent = self._has_left = False
        self._reading = asyncio.Lock()
        self._writing = asyncio.Lock()
        self.job: Job
        """As it was when it was joined; after the end of its output, as it ended."""

    @classmethod
    async def open(
        cls,
        attach: Callable[[], Any],
        start: api.AttachStart,
        explain: Callable[[grpc.RpcError], ClientError],
        outage: Outage,
    ) -> Self:
        """Join the job."""
        attachment = cls(attach, start, explain, outage)
        try:
            await attachment._open()
        except grpc.RpcError as error:
            raise await asyncio.to_thread(explain, error) from None
        if start.HasField("tail_lines"):
            start.offset = attachment.job.output_bytes
            start.ClearField("tail_lines")
        return attachment

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(at_once=error is not None)

    async def write(self, data: bytes) -> None:
        """Send input; waits while the job takes none, once some of it is on its way. InputClosedError."""
        for begin in range(0, len(data), _MOST_IN_A_REQUEST):
            await self._put(api.AttachRequest(input=data[begin : begin + _MOST_IN_A_REQUEST]))

    async def close_input(self) -> None:
        """End the job's standard input, for everybody, after what was written before. InputClosedError."""
        await self._put(api.AttachRequest(end_of_input=True))

    async def resize(self, size: TerminalSize) -> None:
        """Set the size of the job's terminal. InputClosedError."""
        await self._put(api.AttachRequest(resize=convert.terminal_value(size)))

    async def output(self) -> AsyncGenerator[Chunk]:
        """Yield the output as it comes; see ``output_batches``."""
        async for batch in self.output_batches():
            for chunk in batch:
                yield chunk

    async def output_batches(self) -> AsyncGenerator[Sequence[Chunk]]:
        """Yield the output as it comes from the server, until the job has ended; then ``job`` tells how.

        Raises:
            OutputInterruptedError: the connection was lost; the job runs on, and its ``offset`` is where to go on.
        """
        try:
            while (response := await self._next()) is not None:
                if response.HasField("job"):
                    self.job = convert.job(response.job)
                if response.input_closed or self.job.state.ended:
                    self._takes_input = False
                    await self._send_no_more()
                if response.chunks:
                    batch = [convert.chunk(chunk) for chunk in response.chunks]
                    self._start.offset = batch[-1].end
                    yield batch
        except grpc.RpcError as error:
            found = rpc_errors.from_rpc(error)
            if isinstance(found, NoAnswerError):
                self._lost = error
                raise OutputInterruptedError(f"the connection was lost: {found}", self._start.offset) from None
            raise await asyncio.to_thread(self._explain, error) from None
        except asyncio.CancelledError:
            if not self._was_left():
                raise

    @property
    def input_is_certain(self) -> bool:
        """Whether it is known how much of its input the job got: none was sent since it was joined, or it is over."""
        return not self._has_sent or not self._takes_input

    async def rejoin(self) -> None:
        """Join the job again after OutputInterruptedError: the output goes on with the next byte.

        Raises:
            NoAnswerError: the server did not come back.
            JobNotFoundError: the job was deleted meanwhile.
        """
        while self._lost is not None:
            seconds = self._outage.pause(self._lost)
            if seconds is None:
                raise await asyncio.to_thread(self._explain, self._lost) from None
            await asyncio.sleep(seconds)
            try:
                await self._open()
            except grpc.RpcError as error:
                self._lost = error

    async def close(self, *, at_once: bool = False) -> None:
        """Leave the job as it is, running and its input open.

        What was written is handed to the job before, unless that takes more than 2 seconds, or ``at_once`` is set.
        """
        self._has_left = True
        try:
            if not at_once:
                await asyncio.wait_for(self._leave(), _LEAVE_SECONDS)
        except (grpc.RpcError, TimeoutError, InputClosedError):
            pass  # it has gone another way
        finally:
            self._call.cancel()

    async def _leave(self) -> None:
        async with self._writing:
            await self._send(api.AttachRequest(detach=True))
        while await self._next() is not None:
            pass  # what is on its way comes before the end

    async def _open(self) -> None:
        self._takes_input = self._start.input
        self._has_sent = False
        self._call = self._attach()
        await self._call.write(api.AttachRequest(start=self._start))
        first = await self._next()
        if first is None:
            raise ServerError("the server has ended the call without an answer")
        self._outage.over()
        self._lost = None
        self.job = convert.job(first.job)

    async def _next(self) -> api.AttachResponse | None:
        """The next response; None: the call has ended well."""
        async with self._reading:
            response = await self._call.read()
        return None if response is grpc.aio.EOF else response

    async def _put(self, request: api.AttachRequest) -> None:
        self._has_sent = self._has_sent or not request.HasField("resize")
        async with self._writing:
            if not self._takes_input:
                raise InputClosedError(f"job {self.job.id} takes no more input")
            await self._send(request)

    async def _send(self, request: api.AttachRequest) -> None:
        try:
            await self._call.write(request)
        except (grpc.RpcError, asyncio.InvalidStateError):  # the output tells why
            raise InputClosedError(f"job {self.job.id} takes no more input") from None
        except asyncio.CancelledError:
            if not self._was_left():
                raise
            raise InputClosedError(f"job {self.job.id} was left") from None

    async def _send_no_more(self) -> None:
        """Half-close: the server ends the call when it knows that there will be no more."""
        async with self._writing:  # what waits there is taken and dropped by the server, or fails
            await self._call.done_writing()

    def _was_left(self) -> bool:
        """Whether it is the call that was cancelled, by ``close``, and not the task that waits for it."""
        task = asyncio.current_task()
        return self._has_left and not (task and task.cancelling())
