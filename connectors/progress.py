"""Signs of life while a backend is at work: nothing comes of a long statement, or walk, before it ends."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import TypeVar

M = TypeVar("M")

EVERY = timedelta(seconds=5)
"""Half of what the contract asks for."""


async def with_signs_of_life(
    messages: AsyncGenerator[M, None], sign: M, every: timedelta = EVERY
) -> AsyncGenerator[M, None]:
    """The messages, and `sign` whenever none came for `every`. Closes the messages when it is closed itself."""
    try:
        while True:
            following = asyncio.ensure_future(anext(messages, None))
            try:
                while not (await asyncio.wait({following}, timeout=every.total_seconds()))[0]:
                    yield sign
            finally:
                if not following.done():
                    following.cancel()
                    await asyncio.wait({following})
            message = following.result()
            if message is None:
                return
            yield message
    finally:
        await messages.aclose()
