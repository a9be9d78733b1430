"""Signs of life come while nothing else does, and what is abandoned ends."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest

from connectors.progress import with_signs_of_life
from connectors.relational.export import PIECE, pieces

SOON = timedelta(milliseconds=5)


async def test_a_slow_source_shows_life_and_loses_nothing() -> None:
    gate = asyncio.Event()

    async def slow() -> AsyncGenerator[str, None]:
        yield "first"
        await gate.wait()
        yield "second"

    seen = []
    async for message in with_signs_of_life(slow(), "sign", SOON):
        seen.append(message)
        if seen.count("sign") == 3:
            gate.set()
    assert [message for message in seen if message != "sign"] == ["first", "second"]
    assert seen.count("sign") >= 3
    assert seen[0] == "first"


async def test_an_error_arrives_as_it_is() -> None:
    async def failing() -> AsyncGenerator[str, None]:
        yield "first"
        raise ValueError("broken")

    messages = with_signs_of_life(failing(), "sign", SOON)
    assert await anext(messages) == "first"
    with pytest.raises(ValueError, match="broken"):
        await anext(messages)


async def test_closing_ends_the_source_in_the_middle_of_its_work() -> None:
    ended = []

    async def endless() -> AsyncGenerator[str, None]:
        try:
            await asyncio.Event().wait()
            yield "never"
        finally:
            ended.append(True)

    messages = with_signs_of_life(endless(), "sign", SOON)
    assert await anext(messages) == "sign"
    await messages.aclose()
    assert ended == [True]


@pytest.mark.parametrize("sizes", [[], [0], [1], [PIECE], [PIECE + 1], [5] * 1000, [3 * PIECE, 7], [PIECE - 1, 2]])
async def test_pieces_hold_everything_and_are_never_too_large(sizes: list[int]) -> None:
    async def stream() -> AsyncGenerator[bytes, None]:
        for size in sizes:
            yield b"x" * size

    found = [piece async for piece in pieces(stream())]
    assert sum(map(len, found)) == sum(sizes)
    assert all(0 < len(piece) <= PIECE for piece in found)
    assert all(len(piece) == PIECE for piece in found[:-1])
