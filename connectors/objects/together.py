"""Many requests at once, and no more than the store should bear."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any


async def at_once(
    limit: int,
    items: "AsyncIterator[Any] | Sequence[Callable[[], Coroutine[Any, Any, None]]]",
    work: Callable[[Any], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Runs the work for each item, up to `limit` at once. The first error ends all of it."""
    free = asyncio.Semaphore(limit)

    async def run(item: Any) -> None:
        try:
            await (work(item) if work else item())
        finally:
            free.release()

    try:
        async with asyncio.TaskGroup() as group:
            if isinstance(items, Sequence):
                for item in items:
                    await free.acquire()
                    group.create_task(run(item))
            else:
                async for item in items:
                    await free.acquire()
                    group.create_task(run(item))
    except ExceptionGroup as errors:
        raise _first(errors) from None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
