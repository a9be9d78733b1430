"""A search that lasts: whoever waits for its result hears that it goes on."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

from dsr.connector.v1 import connector_pb2 as pb

T = TypeVar("T")
_SIGN_OF_LIFE = 5.0
"""Seconds of searching between two `progress`."""


async def with_progress(
    search: Coroutine[Any, Any, T], seen: Callable[[], int]
) -> AsyncGenerator[pb.Progress | T, None]:
    """Signs of life with how much was seen, then the result. A reader that goes away ends the search."""
    work = asyncio.create_task(search)
    try:
        while not (await asyncio.wait({work}, timeout=_SIGN_OF_LIFE))[0]:
            yield pb.Progress(records=seen())
        yield work.result()
    finally:
        work.cancel()
        await asyncio.wait({work})
