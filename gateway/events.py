"""A Watch as server-sent events (WHATWG HTML, 9.2): resumable, with a heart-beat, ending cleanly."""

import asyncio
import re
from typing import Any

import grpc
from google.protobuf.message import Message
from starlette.requests import Request

from dsrkit.errors import DsrError, invalid
from gateway import problems
from gateway.output import to_json
from gateway.routes import Route
from gateway.sending import Sender
from gateway.upstreams import Metadata, Upstreams

HEADERS = {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_TYPE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PATIENCE = 1.0
"""Seconds in which a service that refuses has done so; only then is the answer 200."""


def resume_after(request: Request, message: Message) -> None:
    """Puts `Last-Event-ID` into the request: a browser that reconnects sends it with the address it began with."""
    values = request.headers.getlist("last-event-id")
    if not values:
        return
    if len(values) > 1 or not _NUMBER.fullmatch(values[0]):
        raise invalid("Last-Event-ID", "it must be the number of an event")
    message.after_event = int(values[0])  # type: ignore[attr-defined]


async def send_events(
    route: Route,
    message: Message,
    upstreams: Upstreams,
    metadata: Metadata,
    sender: Sender,
    draining: asyncio.Event,
    heartbeat: float,
) -> int:
    """Streams the events and returns the status sent. AioRpcError when the service refuses before the first one."""
    call = upstreams.stream(route, message, metadata)
    reading: asyncio.Task[Any] = asyncio.create_task(call.read())
    drained = asyncio.create_task(draining.wait())
    try:
        await asyncio.wait((reading, drained), timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if reading.done() and reading.result() is grpc.aio.EOF:
            # Nothing more will ever come; 204 is what tells an EventSource not to ask again.
            await sender.start(204, {})
            await sender.end()
            return 204
        await sender.start(200, HEADERS)
        await sender.write(b": open\n\n")
        while not drained.done():
            done, _ = await asyncio.wait((reading, drained), timeout=heartbeat, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                await sender.write(b": alive\n\n")
            elif reading in done:
                item = reading.result()
                if item is grpc.aio.EOF:
                    break
                await sender.write(_event(item))
                reading = asyncio.create_task(call.read())
        if drained.done():
            ended = DsrError("STREAM_ENDED", "The gateway is draining. Resume after the last event received.")
            await sender.write(_problem(problems.from_dsr(ended)))
    except grpc.aio.AioRpcError as error:
        if not sender.started:
            raise
        await sender.write(_problem(problems.from_rpc(error, route.rpc.input_type, route.body)))
    finally:
        call.cancel()
        drained.cancel()
        reading.cancel()
        await asyncio.gather(reading, drained, return_exceptions=True)
    await sender.end()
    return 200


def _event(item: Any) -> bytes:
    name = item.event.type if _TYPE.fullmatch(item.event.type) else "message"
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (item.event.event, name.encode(), to_json(item))


def _problem(problem: problems.Problem) -> bytes:
    """The last event of a stream that ended before the request did."""
    retry = problem.headers.get("Retry-After")
    lead = b"retry: %d\n" % (int(retry) * 1000) if retry else b""
    return lead + b"event: problem\ndata: " + problem.document() + b"\n\n"
