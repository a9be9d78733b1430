"""Downloads: what is served of a bundle or a document, range by range."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import sha256
from typing import Any

from dsr.v1 import request_pb2

from dsrkit.auth import current_caller
from dsrkit.db import partner_transaction
from dsrkit.errors import DsrError
from dsrkit.requests.bundle import PIECE, Bundles
from dsrkit.requests.servicer import Parts, scope, stream_ended

CERTIFICATE = "text/plain; charset=utf-8"
"""The media type of a certificate."""
_LOOK_AGAIN = 8 * PIECE
"""After how many bytes a download looks whether its bundle is still there."""


async def download_bundle(
    parts: Parts, bundles: Bundles, message: Any, response: Callable[..., Any]
) -> AsyncIterator[Any]:
    """Streams a request's bundle, and records that it was fetched.

    BUNDLE_GONE, also in the middle; INSTRUCTION_REFUSED; OUT_OF_RANGE.
    """
    caller = current_caller()
    partner, identifier = scope(message.name, parts.right)
    async with partner_transaction(parts.store.pool, partner) as connection:
        request = await parts.store.get(connection, identifier)
    key = await bundles.key(request)
    # Where it is kept, and where it would go, may have become wrong since it was made.
    await parts.authority.delivery(request)
    async with partner_transaction(parts.store.pool, partner) as connection:
        # Before the first byte: what is handed out is an effect, whatever becomes of this process.
        await parts.store.record_call(connection, caller, request)
    bundle = request.facts["bundle"]
    info = request_pb2.DownloadInfo(
        size_bytes=bundle["size"],
        etag=f'"{bundle["sha256"]}"',
        sha256=bundle["sha256"],
        filename=bundle["filename"],
        media_type=bundle["media_type"],
    )

    def read(offset: int, length: int) -> Iterator[bytes]:
        return bundles.read(request, key, offset, length)

    unseen = 0
    async for piece in serve_bytes(info, message, response, read, parts.draining):
        unseen += PIECE
        if unseen > _LOOK_AGAIN:
            # It may end, or be refused, while it is being read: then the rest of it isn't served.
            unseen = 0
            async with partner_transaction(parts.store.pool, partner) as connection:
                request = await parts.store.get(connection, identifier)
            await bundles.key(request)
            await parts.authority.delivery(request)
        yield piece


async def serve_document(
    data: bytes, filename: str, media_type: str, message: Any, response: Callable[..., Any]
) -> AsyncIterator[Any]:
    """Streams a document that is in memory. OUT_OF_RANGE."""
    digest = sha256(data).hexdigest()
    info = request_pb2.DownloadInfo(
        size_bytes=len(data), sha256=digest, etag=f'"{digest}"', filename=filename, media_type=media_type
    )

    def read(offset: int, length: int) -> Iterator[bytes]:
        return iter([data[offset : offset + length]])

    # It is one piece: there is nothing for a drain to break off.
    async for part in serve_bytes(info, message, response, read, asyncio.Event()):
        yield part


async def serve_bytes(
    info: request_pb2.DownloadInfo,
    message: Any,
    response: Callable[..., Any],
    read: Callable[[int, int], Iterator[bytes]],
    draining: asyncio.Event,
) -> AsyncIterator[Any]:
    """Streams `info`, then the range asked for. OUT_OF_RANGE, STREAM_ENDED."""
    size = info.size_bytes
    if message.offset < 0 or message.length < 0 or message.offset > size:
        raise DsrError("OUT_OF_RANGE", "offset and length must lie within the document.", size=str(size))
    left = size - message.offset
    info.offset, info.length = message.offset, min(message.length or left, left)
    yield response(info=info)
    pieces = read(info.offset, info.length)
    expire_time = current_caller().expire_time
    async for piece in _apart(pieces if info.length else iter(())):
        for start in range(0, len(piece), PIECE):
            yield response(data=piece[start : start + PIECE])
        if draining.is_set() or time.time() > expire_time + 3600:
            raise stream_ended()


async def _apart(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Pieces that are read in threads; closed in the end, also when whoever asked is gone in the middle of one."""
    reading: asyncio.Task[bytes | None] | None = None
    try:
        while True:
            reading = asyncio.create_task(asyncio.to_thread(next, pieces, None))
            piece = await asyncio.shield(reading)
            if not piece:
                return
            yield piece
    finally:
        if reading is not None:
            # A thread can't be stopped, and what it reads from can't be closed before it is done.
            await asyncio.wait({reading})
            if not reading.cancelled():
                reading.exception()  # retrieved: it has been raised above, or nobody is left to hear of it
        await asyncio.to_thread(getattr(pieces, "close", lambda: None))
