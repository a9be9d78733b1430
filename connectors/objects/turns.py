"""Lake objects are written anew by one erasure at a time.

Two at once would each read what both are to be taken out of, and each put back what the other took out. A source has
one host, which is one process: waiting within it is enough.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Turns:
    """Of one source."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, key: str) -> AsyncGenerator[None, None]:
        """One object, as soon as nobody else is at it; in the order of asking."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            yield
