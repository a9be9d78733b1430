"""Blocking file work in threads of its own, so that one hung disk holds up no other source."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_THREADS = 4


class Threads:
    """The threads of one source."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="filesystem")

    async def run(self, function: Callable[[], T], cancel: Callable[[], None] | None = None) -> T:
        """The function's result. A cancelled caller calls `cancel` and waits for the end: nothing works on unseen."""
        future = asyncio.get_running_loop().run_in_executor(self._executor, function)
        cancelled = False
        while not future.done():
            try:
                await asyncio.wait({future})
            except asyncio.CancelledError:
                cancelled = True
                if cancel is not None:
                    cancel()
        if cancelled:
            future.exception()  # retrieved: nobody else will
            raise asyncio.CancelledError
        return future.result()

    def close(self) -> None:
        """Lets the threads end. Call when no `run` is under way."""
        self._executor.shutdown(wait=False, cancel_futures=True)
