"""Lake objects are written anew by one erasure at a time, and not while all of the source is being destroyed.

Two at once would each read what both are to be taken out of, and each put back what the other took out; one that ends
after a destruction would put an object back. A source has one host, which is one process: waiting within it is enough.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from weakref import WeakValueDictionary

from dsrkit.errors import DsrError


class Turns:
    """Of one source."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._writing = 0
        self._destroying = False

    @asynccontextmanager
    async def of(self, key: str) -> AsyncGenerator[None, None]:
        """One object, as soon as nobody else is at it. SOURCE_BUSY while the source is being destroyed."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            if self._destroying:
                raise DsrError("SOURCE_BUSY", "The source is being destroyed. Retry.", source=self._source)
            self._writing += 1
            try:
                yield
            finally:
                self._writing -= 1

    @contextmanager
    def whole(self) -> Iterator[None]:
        """All of it. SOURCE_BUSY while somebody writes an object anew, or destroys it already."""
        if self._writing or self._destroying:
            raise DsrError(
                "SOURCE_BUSY", "An erasure, or another destruction, is at this source. Retry.", source=self._source
            )
        self._destroying = True
        try:
            yield
        finally:
            self._destroying = False
