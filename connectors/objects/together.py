"""Many requests at once, and no more than the store should bear."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


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


async def in_order(
    limit: int, items: AsyncIterator[T], work: Callable[[T], Coroutine[Any, Any, R]]
) -> AsyncGenerator[R, None]:
    """What the work makes of each item, in the items' order; up to `limit` are worked at ahead of the reader."""
    ahead: deque[asyncio.Task[R]] = deque()
    try:
        async for item in items:
            ahead.append(asyncio.create_task(work(item)))
            if len(ahead) >= limit:
                yield await ahead.popleft()
        while ahead:
            yield await ahead.popleft()
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
