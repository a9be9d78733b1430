"""Who may write lake objects anew, and when."""

import asyncio

import pytest

from connectors.objects.turns import Turns
from dsrkit.errors import DsrError


async def test_one_at_a_time_per_object_and_others_beside_it() -> None:
    turns, told, go = Turns("s"), list[str](), asyncio.Event()

    async def work(name: str, key: str, *, wait: bool) -> None:
        async with turns.of(key):
            told.append(f"{name} begins")
            if wait:
                await go.wait()
            told.append(f"{name} ends")

    first = asyncio.create_task(work("first", "a", wait=True))
    second = asyncio.create_task(work("second", "a", wait=False))
    await asyncio.create_task(work("other", "b", wait=False))
    go.set()
    await asyncio.gather(first, second)
    assert told == ["first begins", "other begins", "other ends", "first ends", "second begins", "second ends"]


async def test_no_erasure_while_the_source_is_destroyed_nor_the_other_way_round() -> None:
    turns = Turns("s")
    async with turns.of("a"):
        with pytest.raises(DsrError, match="An erasure") as error, turns.whole():
            pass
        assert error.value.reason == "SOURCE_BUSY"
    with turns.whole():
        for _ in range(2):
            with pytest.raises(DsrError, match="being destroyed") as error:
                async with turns.of("a"):
                    pass
            assert error.value.reason == "SOURCE_BUSY"
        with pytest.raises(DsrError, match="another destruction"), turns.whole():
            pass
    async with turns.of("a"):
        pass
