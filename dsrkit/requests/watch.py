"""Wakes watchers when something happens to their request: one listening connection per process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from dsrkit import log


class EventHub:
    """Turns notices of the database into wake-ups. A missed one costs a watcher two seconds, never an event."""

    PATIENCE = 2.0

    def __init__(self, pool: asyncpg.Pool, channel: str) -> None:
        self._pool = pool
        self._channel = channel
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ends `listen`. A cancellation alone can get lost while a connection is being opened."""
        self._stopping.set()

    async def listen(self) -> None:
        """Listens until stopped; a lost connection is replaced."""
        while not self._stopping.is_set():
            try:
                async with self._pool.acquire() as connection:
                    await connection.add_listener(self._channel, self._notified)
                    try:
                        while not self._stopping.is_set():
                            await self._pause(self.PATIENCE)
                            await connection.execute("SELECT 1")
                    finally:
                        if not connection.is_closed():
                            await connection.remove_listener(self._channel, self._notified)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                log.get_logger().warning("watch.interrupted", error=error)
                await self._pause(self.PATIENCE / 2)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _notified(self, *arguments: object) -> None:
        for event in self._waiting.get(str(arguments[-1]), ()):
            event.set()

    @asynccontextmanager
    async def watching(self, request: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever something happens to the request."""
        event = asyncio.Event()
        self._waiting.setdefault(request, set()).add(event)
        try:
            yield event
        finally:
            self._waiting[request].discard(event)
            if not self._waiting[request]:
                del self._waiting[request]

    async def wait(self, event: asyncio.Event) -> None:
        """Until woken, or for two seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), self.PATIENCE)
        event.clear()
