"""At most one attempt of a task runs, and no reader can hold up the next."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from connectors.attempts import Attempts, Relay
from dsrkit.errors import DsrError


class Work:
    """A backend's stream: sends until told to stop, and notes how it ended."""

    def __init__(self, messages: int = 1_000_000, error: Exception | None = None) -> None:
        self.messages = messages
        self.error = error
        self.sent = 0
        self.ended = asyncio.Event()

    async def stream(self) -> AsyncIterator[int]:
        try:
            while self.sent < self.messages:
                self.sent += 1
                yield self.sent
                await asyncio.sleep(0)
            if self.error:
                raise self.error
        finally:
            self.ended.set()


async def read(relay: Relay[int]) -> list[int]:
    return [message async for message in relay.messages()]


async def test_messages_and_errors_arrive_in_order() -> None:
    assert await read(Relay(Work(10).stream())) == list(range(1, 11))
    messages = Relay(Work(3, ValueError("broken")).stream()).messages()
    assert [await anext(messages) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(ValueError, match="broken"):
        await anext(messages)


async def test_a_backend_is_only_a_little_ahead_of_its_reader() -> None:
    work = Work()
    relay = Relay(work.stream())
    for _ in range(100):
        await asyncio.sleep(0)
    assert work.sent <= 6
    relay.stop()
    await relay.ended()
    assert work.ended.is_set()


async def test_a_newer_attempt_ends_an_older_one_even_if_nobody_reads_it() -> None:
    attempts, older, newer = Attempts(), Work(), Work(2)
    first = await attempts.start("s", "t", 1, older.stream)
    await asyncio.sleep(0)  # one step for it to begin
    second = await attempts.start("s", "t", 2, newer.stream)
    assert older.ended.is_set()
    assert await read(second) == [1, 2]
    with pytest.raises(DsrError) as raised:
        await read(first)
    assert raised.value.reason == "ATTEMPT_SUPERSEDED"


async def test_an_attempt_superseded_before_it_began_is_told_too() -> None:
    attempts = Attempts()
    first = await attempts.start("s", "t", 1, Work().stream)
    await attempts.start("s", "t", 2, Work(1).stream)
    with pytest.raises(DsrError) as raised:
        await asyncio.wait_for(read(first), 1)
    assert raised.value.reason == "ATTEMPT_SUPERSEDED"


async def test_an_older_attempt_is_refused_while_a_newer_one_runs() -> None:
    attempts, work = Attempts(), Work()
    relay = await attempts.start("s", "t", 2, work.stream)
    with pytest.raises(DsrError) as raised:
        await attempts.start("s", "t", 1, Work().stream)
    assert raised.value.reason == "ATTEMPT_SUPERSEDED"
    assert not relay.task.done()
    relay.stop()
    await relay.ended()


async def test_the_same_attempt_again_takes_over() -> None:
    attempts, first = Attempts(), Work()
    lost = await attempts.start("s", "t", 1, first.stream)
    again = await attempts.start("s", "t", 1, Work(1).stream)
    assert lost.task.cancelled()
    assert await read(again) == [1]


async def test_other_tasks_and_other_sources_are_not_concerned() -> None:
    attempts = Attempts()
    relays = [await attempts.start(source, task, 1, Work().stream) for source in "ab" for task in "xy"]
    assert not any(relay.task.done() for relay in relays)
    for relay in relays:
        relay.stop()
        await relay.ended()


async def test_of_many_at_once_the_newest_wins_and_one_runs_at_a_time() -> None:
    attempts, running, most = Attempts(), 0, 0

    async def stream() -> AsyncIterator[int]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            yield 1
            await asyncio.sleep(0.01)  # time for the others to arrive
            yield 2
        finally:
            await asyncio.sleep(0)
            running -= 1

    async def one(attempt: int) -> str:
        try:
            relay = await attempts.start("s", "t", attempt, stream)
            await read(relay)
        except DsrError as error:
            return error.reason
        return "done"

    results = await asyncio.gather(*(one(attempt) for attempt in (3, 1, 5, 2, 4, 5)))
    assert most == 1
    assert results.count("done") == 1
    assert results[results.index("done")] == "done"
    assert {results[0], results[1], results[3], results[4]} == {"ATTEMPT_SUPERSEDED"}


async def test_a_reader_that_goes_away_ends_the_work() -> None:
    work = Work()
    relay = Relay(work.stream())
    messages = relay.messages()
    async for _ in messages:
        break
    await messages.aclose()  # type: ignore[attr-defined]
    await asyncio.wait_for(work.ended.wait(), 1)
