"""Writes an object anew by one PUT, whose end is held back until it is known that nobody was faster."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from connectors.objects.store import Gone, Overtaken, Version
from connectors.swift import segments

if TYPE_CHECKING:
    from connectors.swift.store import SwiftStore

META = "x-object-meta-"
REWRITES = "dsr-rewrites"
"""Metadata of a version that an erasure wrote: the id of the version whose place it takes."""

_KEPT = ("content-type", "content-encoding", "content-disposition", "cache-control", "x-delete-at")
_AHEAD = 4


class Rewriting:
    """New content on its way."""

    local = None

    def __init__(
        self, store: "SwiftStore", version: Version, over: Version, headers: Mapping[str, str], *, guarded: bool
    ) -> None:
        self._store = store
        self._version = version
        self._over = over
        self._old = headers
        self._guarded = guarded
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
        self._sending: asyncio.Task[None] | None = None

    async def write(self, data: bytes) -> None:
        """Begins the request with the first piece."""
        await self._hand_over(data)

    async def commit(self) -> None:
        """Lets the request end, if the version that was read is the current one."""
        parts: set[segments.Segment] = set()
        try:
            await self._store.check_current(self._over)
            if not self._guarded:
                # Nothing keeps the old content, and nothing else would know its segments.
                parts = await self._store.parts(self._version, self._old)
        except Gone:
            raise Overtaken from None
        sending = await self._hand_over(None)
        await sending
        self._sending = None
        await segments.remove(self._store.http, parts)

    async def abort(self) -> None:
        """Breaks the request off: the store keeps nothing of one that doesn't end."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})
            self._sending = None

    async def _hand_over(self, piece: bytes | None) -> "asyncio.Task[None]":
        """Waits for room, or for the store's refusal, which is raised."""
        if self._sending is None:
            self._sending = asyncio.create_task(self._store.put(self._version.key, self._headers(), self._body()))
        sending = self._sending
        putting = asyncio.create_task(self._pieces.put(piece))
        await asyncio.wait({putting, sending}, return_when=asyncio.FIRST_COMPLETED)
        if not putting.done():
            putting.cancel()
            await sending
        return sending

    def _headers(self) -> dict[str, str]:
        headers = {name: value for name, value in self._old.items() if name in _KEPT or name.startswith(META)}
        headers.pop(META + REWRITES, None)
        if self._guarded:
            headers[META + REWRITES] = self._version.id
        return headers

    async def _body(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            yield piece
