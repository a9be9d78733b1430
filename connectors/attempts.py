"""Runs a backend's stream apart from the call that reads it, so that it can be stopped whatever the reader does.

A reader that doesn't read, or is gone, must hold up neither a newer attempt of the same task nor the host's end.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from dsrkit.errors import DsrError

T = TypeVar("T")

_AHEAD = 4
"""Messages a backend may be ahead of its reader; an Export's are up to 1 MiB each."""


class Relay(Generic[T]):
    """One backend stream, pumped by a task of its own."""

    def __init__(self, stream: AsyncIterator[T]) -> None:
        self._room = asyncio.Semaphore(_AHEAD)
        self._queue: asyncio.Queue[T | None] = asyncio.Queue()
        self._superseded = False
        self.task = asyncio.create_task(self._pump(stream))
        # Not in the task itself: one that is cancelled before its first step runs none of its code.
        self.task.add_done_callback(self._finish)

    async def _pump(self, stream: AsyncIterator[T]) -> None:
        async with aclosing(cast(AsyncGenerator[T, None], stream)):
            async for message in stream:
                await self._room.acquire()
                self._queue.put_nowait(message)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._queue.put_nowait(None)
        if not task.cancelled():
            task.exception()  # retrieved: nobody may be left to ask for it

    def stop(self) -> None:
        """Cancels the backend's work."""
        self.task.cancel()

    async def ended(self) -> None:
        """Returns when the backend's work has ended, however it did."""
        await asyncio.wait({self.task})

    async def supersede(self) -> None:
        """Cancels the backend's work for a newer attempt, and returns when it has ended."""
        self._superseded = True
        self.task.cancel()
        await self.ended()

    async def messages(self) -> AsyncIterator[T]:
        """The stream's messages, and its error if it ends with one. ATTEMPT_SUPERSEDED after `supersede`."""
        try:
            while (message := await self._queue.get()) is not None:
                self._room.release()
                if self._superseded:
                    raise superseded()
                yield message
            try:
                await self.task
            except asyncio.CancelledError:
                if self._superseded:
                    raise superseded() from None
                raise
        finally:
            self.task.cancel()


@dataclass
class Attempts:
    """The attempts that run now; at most one per task."""

    _running: dict[tuple[str, str], tuple[int, Relay[Any]]] = field(default_factory=dict)

    async def start(
        self, source: str, task: str, attempt: int, open_stream: Callable[[], AsyncIterator[T]]
    ) -> Relay[T]:
        """Ends an older attempt of the task, waits for its end, then runs this one.

        ATTEMPT_SUPERSEDED if a newer one runs.
        The same attempt again counts as newer: its first caller has lost the connection, or should have.
        """
        key = (source, task)
        while (current := self._running.get(key)) is not None:
            number, relay = current
            if number > attempt:
                raise superseded()
            await relay.supersede()
            if self._running.get(key) is current:
                del self._running[key]
        relay = Relay(open_stream())
        self._running[key] = (attempt, relay)
        relay.task.add_done_callback(lambda _: self._forget(key, relay))
        return relay

    def _forget(self, key: tuple[str, str], relay: Relay[Any]) -> None:
        current = self._running.get(key)
        if current is not None and current[1] is relay:
            del self._running[key]


def superseded() -> DsrError:
    """The answer to an attempt when a newer one is known."""
    return DsrError("ATTEMPT_SUPERSEDED", "Another attempt of this task is newer. Stop.")
