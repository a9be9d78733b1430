"""Lets code that reads and writes files in a thread work on objects that arrive and leave through the event loop."""

import asyncio
import io
import os
import threading
from collections.abc import Awaitable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar, cast

from connectors.objects.store import Replacement, Store, Version

T = TypeVar("T")

_SMALL = 1 << 16
"""Parquet reads below this many bytes are served from a larger one: footers are read in pieces."""
_AHEAD = 1 << 18


class Cancelled(Exception):
    """Nobody waits for the work in the thread any more."""


class Bridge:
    """Between one piece of work in a thread and the loop that it was started from."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.cancelled = threading.Event()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine. Called in the thread."""
        if self.cancelled.is_set():
            work.close()
            raise Cancelled
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class Stream(io.RawIOBase):
    """A version's bytes in order. Can go back to the beginning as long as it has read no further than a few bytes."""

    def __init__(self, bridge: Bridge, store: Store, version: Version) -> None:
        super().__init__()
        self._bridge = bridge
        self._chunks = store.read(version).__aiter__()
        self._held = b""
        self._at = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; fewer only at the end of a chunk, none at the end of the object."""
        if self._at >= len(self._held):
            self._held, self._at = self._bridge.wait(_next(self._chunks)), 0
        stop = len(self._held) if size < 0 else self._at + size
        data = self._held[self._at : stop]
        self._at += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        """Fills as much of the buffer as one `read` gives."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if (offset, whence) != (0, 0) or self._at > len(self._held):
            raise io.UnsupportedOperation("seek")
        self._at = 0
        return 0

    def finish(self) -> None:
        """Lets go of the connection."""
        if not self._bridge.cancelled.is_set():
            self._bridge.wait(cast(Any, self._chunks).aclose())


async def _next(chunks: Any) -> bytes:
    async for chunk in chunks:
        if chunk:
            return bytes(chunk)
    return b""


class Ranges(io.RawIOBase):
    """A version's bytes wherever they are asked for."""

    def __init__(self, bridge: Bridge, store: Store, version: Version) -> None:
        super().__init__()
        self._bridge = bridge
        self._store = store
        self._version = version
        self._at = 0
        self._held = b""
        self._held_at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._version.size}[whence]
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Exactly `size` bytes unless the object ends."""
        stop = self._version.size if size < 0 else min(self._at + size, self._version.size)
        if stop <= self._at:
            return b""
        data = self._fetch(self._at, stop)
        self._at += len(data)
        return data

    def _fetch(self, start: int, stop: int) -> bytes:
        if not self._held_at <= start <= stop <= self._held_at + len(self._held):
            first, last = start, stop
            if stop - start < _SMALL:
                # What comes before a small read at the end is likely to be asked for next.
                first, last = max(0, start - _AHEAD // 2), min(self._version.size, stop + _AHEAD // 2)
            self._held, self._held_at = self._bridge.wait(self._range(first, last)), first
        return self._held[start - self._held_at : stop - self._held_at]

    async def _range(self, start: int, stop: int) -> bytes:
        data = bytearray()
        async with aclosing(cast(Any, self._store.read(self._version, start, stop))) as chunks:
            async for chunk in chunks:
                data += chunk
        return bytes(data)


class Output:
    """Hands bytes to an object being written, in pieces worth sending."""

    _PIECE = 1 << 20

    def __init__(self, bridge: Bridge, replacement: Replacement) -> None:
        self._bridge = bridge
        self._replacement = replacement
        self._pending = bytearray()

    def write(self, data: bytes) -> None:
        """Called in the thread."""
        if self._replacement.local is not None:
            if self._bridge.cancelled.is_set():
                raise Cancelled
            self._replacement.local(data)
            return
        self._pending += data
        if len(self._pending) >= self._PIECE:
            self.flush()

    def flush(self) -> None:
        """Sends what is left."""
        if self._pending:
            self._bridge.wait(_done(self._replacement.write(bytes(self._pending))))
            self._pending.clear()


async def _done(work: Awaitable[None]) -> None:
    await work
