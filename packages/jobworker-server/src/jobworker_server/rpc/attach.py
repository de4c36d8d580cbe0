"""Attach: joins a job, whose output it streams and for which it takes input."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from contextlib import aclosing, suppress
from typing import Any

from jobworker.v1.worker_service_pb2 import AttachRequest, AttachResponse, AttachStart
from jobworker_lib import InputClosedError, OutputOptions, aio
from jobworker_server import convert
from jobworker_server.call import Call
from jobworker_server.conversation import Conversation
from jobworker_server.errors import InvalidRequestError
from jobworker_server.gate import Duplex
from jobworker_server.incoming import in_turn
from jobworker_server.policy import Operation

_PART_OF_A_CALL = 0.1
"""How much of a call's work a piece of input is."""

_HALF_CLOSE_SECONDS = 1.0
"""How long a client may take to half-close after the last response."""
_PROMISED_HALF_CLOSE_SECONDS = 60.0
"""The same for one that has said that it will when it has read up to there, and may read slowly."""

_Conversation = Conversation[AttachRequest, AttachResponse]


async def _attach(call: Call, conversation: _Conversation) -> None:
    start = await _receive_start(call, conversation)
    if start is None:
        return
    job = await _job(call, start)
    async with await job.attach(watch_only=not start.input, **_part(call, start)) as attachment:
        await conversation.send(AttachResponse(job=call.told(await job.status(usage=False))))
        if start.input:
            call.log("joined", job.id)
            await call.entry.begun()
        others = _hear_writer(call, attachment, conversation) if start.input else _hear_watcher(conversation)
        with suppress(_DetachedError):
            await conversation.during(_send(call, start, attachment, conversation), *others)


class _DetachedError(Exception):
    """The client has asked for the end of the call."""


async def _receive_start(call: Call, conversation: _Conversation) -> AttachStart | None:
    """What the client has to begin with; None where it sends nothing at all."""
    request = await in_turn(call.share, conversation.receive)
    if request is not None and not request.HasField("start"):
        raise InvalidRequestError("start", "begin with it: which job to join")
    return request.start if request else None


async def _job(call: Call, start: AttachStart) -> aio.Job:
    """The job, where the caller may do with it what it wants to."""
    call.entry.job = start.job_id or None
    writing = call.doing(Operation.INPUT) if start.input else call
    job = await call.job(start.job_id)
    return await writing.job(start.job_id) if start.input else job


def _part(call: Call, start: AttachStart) -> OutputOptions:
    beginning: OutputOptions = {"tail": start.tail_lines} if start.HasField("tail_lines") else {"offset": start.offset}
    return {**beginning, "batch_bytes": call.share.sendable_bytes}


async def _send(call: Call, start: AttachStart, attachment: aio.Attachment, conversation: _Conversation) -> None:
    """Send the output to its end, and then how the job ended; done when the client has taken note of it."""
    async with aclosing(attachment.output_batches()) as batches:
        async for batch in batches:
            for chunks in convert.output_chunks(batch):
                await conversation.send(AttachResponse(chunks=chunks))
    await conversation.send(AttachResponse(job=call.told(await attachment.job.status(usage=False))))
    await conversation.received_all(_PROMISED_HALF_CLOSE_SECONDS if start.half_closes else _HALF_CLOSE_SECONDS)


def _hear_writer(
    call: Call, attachment: aio.Attachment, conversation: _Conversation
) -> Sequence[Coroutine[Any, Any, None]]:
    return _take_input(call, attachment, conversation), _tell_of_closed_input(attachment, conversation)


def _hear_watcher(conversation: _Conversation) -> Sequence[Coroutine[Any, Any, None]]:
    return (_refuse_input(conversation),)


async def _take_input(call: Call, attachment: aio.Attachment, conversation: _Conversation) -> None:
    """Hand on what the client sends; no more of it is received than the job takes."""
    while (request := await conversation.receive()) is not None:
        await call.share.turn(_PART_OF_A_CALL if request.HasField("input") else 1.0)
        with suppress(InputClosedError):  # the client is told, but could not know when it sent this
            await _hand_on(attachment, request)


async def _hand_on(attachment: aio.Attachment, request: AttachRequest) -> None:
    match request.WhichOneof("request"):
        case "input":
            await attachment.write(request.input)
        case "end_of_input":
            await attachment.close_input()
        case "resize":
            await attachment.resize(convert.terminal(request.resize))
        case "detach":
            raise _DetachedError
        case _:
            raise InvalidRequestError("request", "after the first request, send input, its end, or a size")


async def _tell_of_closed_input(attachment: aio.Attachment, conversation: _Conversation) -> None:
    await attachment.wait_input_closed()
    await conversation.send(AttachResponse(input_closed=True))


async def _refuse_input(conversation: _Conversation) -> None:
    request = await conversation.receive()
    if request is not None and request.detach:
        raise _DetachedError
    if request is not None:
        raise InvalidRequestError("start.input", "set it to send anything to the job")


RPC = Duplex(Operation.OUTPUT, AttachRequest, _attach)
