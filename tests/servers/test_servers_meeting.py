"""Erasures of different people that meet in one lake object: none brings back whom another took out."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors.s3 import replace as s3_replace
from connectors.swift import replace as swift_replace
from dsrkit.errors import DsrError
from tests.servers import test_servers_s3 as s3
from tests.servers import test_servers_swift as swift_tests
from tests.servers.objects import Objects, deleted, ended, outcome, person

pytestmark = pytest.mark.servers

Place = s3.Bucket | swift_tests.Container
KEY = "events/a.jsonl"
REWRITING: Mapping[type, Any] = {s3.Bucket: s3_replace.Rewriting, swift_tests.Container: swift_replace.Rewriting}


@pytest.fixture(params=["s3", "swift"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A store with versions, of either kind."""
    if request.param == "s3":
        server = request.getfixturevalue("radosgw")
        async with s3.connected(server) as opened:
            yield await s3.make(opened, server, tmp_path, "versioned")
        return
    async for container in swift_tests.make(request.getfixturevalue("swift"), tmp_path, X_Versions_Enabled="true"):
        yield container


def of(*numbers: int) -> bytes:
    return s3.lines(*({"user": {"id": number}} for number in numbers))


async def erase(source: Objects, number: int, located: Any, attempt: int = 1) -> str:
    """The outcome; SOURCE_BUSY is one too: it is tried again later."""
    try:
        erased = await source.erase(
            person(customer_number=str(number)), located=located, task=f"task {number}", attempt=attempt
        )
    except DsrError as error:
        return error.reason
    assert deleted(erased) == {"events": 1}
    return outcome(erased)


@pytest.mark.policy("P11", "erasures that meet in one object bring nobody back")
@pytest.mark.parametrize("hosts", [1, 2])
async def test_two_at_once_take_both_out(place: Place, hosts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has read the object, and is about to write it without its person."""
    await place.put(KEY, of(1, 2, 3))
    sources = [place.source(s3.EVENTS)]
    sources.append(place.source(s3.EVENTS, state="other") if hosts == 2 else sources[0])
    located = [await source.locate(person(customer_number=n)) for source, n in zip(sources, "12", strict=True)]
    rewriting = REWRITING[type(place)]
    commit, both, ready = rewriting.commit, asyncio.Event(), 0

    async def together(self: Any) -> None:
        nonlocal ready
        ready += 1
        if ready == 2:
            both.set()
        try:
            await asyncio.wait_for(both.wait(), 0.5)
        except TimeoutError:
            # The other one waits for its turn.
            assert hosts == 1
        await commit(self)

    monkeypatch.setattr(rewriting, "commit", together)
    work = [erase(source, n, found) for n, source, found in zip((1, 2), sources, located, strict=True)]
    outcomes = await asyncio.gather(*work)
    for source, number, found, said in zip(sources, (1, 2), located, outcomes, strict=True):
        if said == "SOURCE_BUSY":
            assert hosts == 2
            assert await erase(source, number, found, attempt=2) == "RECONSTRUCTED"
        else:
            assert said == "ERASED"
    assert await place.get(KEY) == of(3)
    assert await place.bytes_of_all() == of(3)
    for source in {id(source): source for source in sources}.values():
        await source.backend.close()


async def test_one_that_was_killed_does_not_hide_the_next_persons(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it wrote holds the next person still, and so does what it hadn't removed yet."""
    await place.put(KEY, of(1, 2, 3))
    source = place.source(s3.EVENTS)
    located = [await source.locate(person(customer_number=n)) for n in "12"]
    rewriting = REWRITING[type(place)]
    commit = rewriting.commit

    async def killed(self: Any) -> None:
        await commit(self)
        raise DsrError("SOURCE_UNAVAILABLE", "killed", source="x")

    with monkeypatch.context() as patch:
        patch.setattr(rewriting, "commit", killed)
        assert await erase(source, 1, located[0]) == "SOURCE_UNAVAILABLE"
    assert await erase(source, 2, located[1]) == "ERASED"
    assert of(2) not in await place.bytes_of_all()
    assert await erase(source, 1, located[0], attempt=2) == "RECONSTRUCTED"
    assert await place.bytes_of_all() == of(3)
    await source.backend.close()


async def test_a_destruction_waits_for_what_is_being_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would come back otherwise."""
    await place.put(KEY, of(1, 2, 3))
    source = place.source(s3.EVENTS)
    located = await source.locate(person(customer_number="1"))
    rewriting = REWRITING[type(place)]
    commit, sending, go = rewriting.commit, asyncio.Event(), asyncio.Event()

    async def slow(self: Any) -> None:
        sending.set()
        await go.wait()
        await commit(self)

    monkeypatch.setattr(rewriting, "commit", slow)
    erasure = asyncio.create_task(erase(source, 1, located))
    await asyncio.wait_for(sending.wait(), 20)
    with pytest.raises(DsrError) as error:
        await source.destroy({"events": 5})
    assert error.value.reason == "SOURCE_BUSY"
    go.set()
    assert await erasure == "ERASED"
    await source.returned()
    assert ended(await source.destroy({"events": 5}))[:2] == ("DESTROYED", {"events": (1, 0)})
    await source.backend.close()
