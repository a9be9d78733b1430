"""Writes streamed answers to a client that may be slow, or gone."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from starlette.types import Receive, Send

T = TypeVar("T")
PIECE = 64 * 1024
"""Bytes written at once, so that the write limit is a least rate of about a kilobyte a second."""


class ClientGone(Exception):
    """The client closed the connection, or reads too slowly."""


class Truncated(Exception):
    """The answer had begun and can't be completed; the connection must break, so that nobody takes it for whole."""


class Sender:
    """One streamed answer."""

    def __init__(self, send: Send, write_timeout: float) -> None:
        self._send = send
        self._timeout = write_timeout
        self.started = False

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Status and headers."""
        self.started = True
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes) -> None:
        """Bytes of the body. ClientGone when they are not taken within the limit."""
        view = memoryview(data)
        for begin in range(0, len(data), PIECE):
            try:
                async with asyncio.timeout(self._timeout):
                    piece = bytes(view[begin : begin + PIECE])
                    await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            except TimeoutError:
                raise ClientGone from None

    async def end(self) -> None:
        """The end of the body."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def unless_gone(receive: Receive, answered: Callable[[], bool], work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; cancels it and raises ClientGone as soon as the client has gone.

    `answered` says whether the answer is complete: then too `receive` reports a disconnect, and it means nothing.
    """
    task, gone = asyncio.create_task(work), asyncio.create_task(_disconnect(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done() and not answered():
            raise ClientGone
        return await task
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
