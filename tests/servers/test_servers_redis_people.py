"""Who is unused, and how many there are, in every type of key of a real Redis."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dsr.connector.v1 import connector_pb2 as pb
from redis.asyncio import Redis

from dsrkit.errors import DsrError
from tests.servers.objects import Objects, person
from tests.servers.programs import RedisServer
from tests.support.counting import count
from tests.support.inactive import CUTOFF, ask

_DATABASE = 4
OLD, NEW = CUTOFF - timedelta(seconds=1), CUTOFF
USES: dict[str, list[datetime | None]] = {
    "old": [OLD],
    "new": [NEW],
    "twice": [OLD - timedelta(days=900), NEW],
    "half": [OLD, None],
}
EMAIL: dict[str, Any] = {"email": {"field": "who", "unique": True}}
Open = Callable[[dict[str, Any]], Objects]


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Any]:
    async with Redis(port=redis_server.port, db=_DATABASE) as opened:
        await opened.flushdb()
        yield opened
        await opened.flushdb()


@pytest.fixture
async def open_source(client: Any, redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Open]:
    sources: list[Objects] = []

    def open_it(collections: dict[str, Any]) -> Objects:
        sources.append(
            Objects("redis", {"url": f"{redis_server.url}/{_DATABASE}", "collections": collections}, tmp_path)
        )
        return sources[-1]

    yield open_it
    for source in sources:
        await source.backend.close()


def records() -> list[tuple[int, str, datetime | None]]:
    return [(n, who, used) for n, (who, used) in enumerate((w, u) for w, uses in USES.items() for u in uses)]


async def _hashes(client: Any) -> dict[str, Any]:
    for number, who, used in records():
        fields = {"who": who, **({"seen": used.isoformat()} if used else {})}
        await client.hset(f"s:{number}", mapping=fields)
    return {"key": "s:*", "identity": EMAIL, "last_use": {"field": "seen"}}


async def _json(client: Any) -> dict[str, Any]:
    for number, who, used in records():
        document = {"who": who, "at": {"seen": used.timestamp() if used else None}}
        await client.set(f"s:{number}", json.dumps(document))
    return {"key": "s:*", "identity": EMAIL, "last_use": {"field": "at.seen", "unit": "seconds"}}


async def _fields(client: Any) -> dict[str, Any]:
    for number, who, used in records():
        await client.hset("s", f"b{number}", json.dumps({"who": who, "seen": used.isoformat() if used else ""}))
    return {"key": "s", "each": "field", "identity": EMAIL, "last_use": {"field": "seen"}}


async def _scores(client: Any) -> dict[str, Any]:
    for number, who, used in records():
        await client.zadd(f"s:{number}", {f"u:{who}": used.timestamp() * 1_000 if used else 0})
    email = {"email": {"prefix": "u:", "unique": True}}
    return {"key": "s:*", "each": "member", "identity": email, "last_use": {"score": True, "unit": "milliseconds"}}


async def _entries(client: Any) -> dict[str, Any]:
    for number, who, used in sorted(records(), key=lambda record: record[2] or datetime.min.replace(tzinfo=UTC)):
        await client.xadd("s", {"who": who}, id=f"{int(used.timestamp() * 1_000) if used else 1}-{number + 1}")
    return {"key": "s", "each": "entry", "identity": EMAIL, "last_use": {"id": True}}


async def _streams(client: Any) -> dict[str, Any]:
    """A stream each; the newest entry tells, and whoever's key is none is unknown."""
    for who, uses in USES.items():
        if None in uses:
            await client.set(f"s:{who}", "no stream")
        for used in sorted(used for used in uses if used and None not in uses):
            await client.xadd(f"s:{who}", {"page": "a"}, id=f"{int(used.timestamp() * 1_000)}-1")
    return {"key": "s:{email}", "identity": {"email": {"unique": True}}, "last_use": {"id": True}}


@pytest.mark.policy(
    "P6", "in Redis whoever's every record was last used before is listed, and never by a server's clock"
)
@pytest.mark.parametrize("fill", [_hashes, _json, _fields, _scores, _entries, _streams])
async def test_who_is_unused(fill: Callable[[Any], Any], client: Any, open_source: Open) -> None:
    opened = open_source({"s": await fill(client)})
    source: Any = opened.backend
    assert await ask(source, "s", "last_use") == (["old"], 1, 1)
    assert await ask(source, "s", "last_use", value="twice", count_only=True) == ([], 0, 0)
    assert await ask(source, "s", "", count_only=True) == ([], 4, 0)
    assert await count(source) == ({"s": ("email", 4, True)}, 4, True)
    copied = await opened.export(person(email="new"))
    assert all(_time(record["last_use"]) == NEW for record in copied["s"])


def _time(value: str) -> datetime:
    return datetime.fromisoformat(value)


async def test_what_cant_be_read_makes_nobody_unused(client: Any, open_source: Open) -> None:
    source: Any = open_source({"s": await _json(client)}).backend
    await client.set("s:broken", '{"who": "old", "at": {"seen":')
    with pytest.raises(DsrError) as refused:
        await ask(source, "s", "last_use")
    assert refused.value.reason == "SOURCE_REJECTED"
    assert await count(source) == ({"s": ("email", 4, False)}, 4, False)


async def test_people_of_several_collections_are_counted_once(client: Any, open_source: Open) -> None:
    """By one type of identity exactly; over two nobody knows who is whom. No key is written."""
    await client.mset({f"user:{number}": "x" for number in range(2_500)})
    await client.sadd("online", *(f"u:{number}" for number in range(2_000, 3_000)))
    collections = {
        "users": {"key": "user:{id}", "identity": {"id": {"unique": True}}},
        "online": {"key": "online", "each": "member", "identity": {"id": {"prefix": "u:", "unique": True}}},
        "carts": {"key": "cart:{id}", "identity": {"id": {}}},
    }
    before = await client.dbsize()
    source: Any = open_source(collections).backend
    counts = {"users": ("id", 2_500, True), "online": ("id", 1_000, True)}
    assert await count(source) == (counts, 3_000, True)
    assert await client.dbsize() == before
    await client.sadd("online", "nobody")
    mails = {"key": "mail:{mail}", "identity": {"mail": {"type": "email", "match": "case_fold", "unique": True}}}
    await client.mset({"mail:Ann@example.com": "x", "mail:ann@example.com": "x"})
    more: Any = open_source({**collections, "mails": mails}).backend
    counts |= {"online": ("id", 1_000, False), "mails": ("email", 1, True)}
    assert await count(more) == (counts, 3_001, False)


async def test_one_person_is_looked_at_without_a_scan(client: Any, open_source: Open) -> None:
    """A sweep asks again right before it erases somebody: what that costs doesn't depend on the others."""
    for who, uses in USES.items():
        await client.hset(f"user:{who}", "seen", uses[0].isoformat() if uses[0] else "")
    users = {"key": "user:{id}", "identity": {"id": {"unique": True}}, "last_use": {"field": "seen"}}
    source: Any = open_source({"users": users}).backend
    await client.config_resetstat()
    for who, number in (("old", 1), ("new", 0), ("gone", 0), ("old:x", 0), ("*", 0)):
        found = await ask(source, "users", "last_use", identity_type="id", value=who, count_only=True)
        assert found == ([], number, 0)
    assert "cmdstat_scan" not in await client.info("commandstats")


@pytest.mark.parametrize(
    ("collections", "capabilities"),
    [
        ({"users": {"key": "user:{id}", "identity": {"id": {}}}}, set()),
        ({"users": {"key": "user:{id}", "identity": {"id": {"unique": True}}}}, {"COUNT"}),
        (
            {"users": {"key": "user:{id}", "identity": {"id": {"unique": True}}, "last_use": {"field": "seen"}}},
            {"COUNT", "INACTIVE"},
        ),
    ],
)
async def test_what_is_declared_is_what_can_be_done(
    collections: dict[str, Any], capabilities: set[str], open_source: Open
) -> None:
    described = await open_source(collections).backend.describe()
    told = {pb.Capability.Name(capability).removeprefix("CAPABILITY_") for capability in described.capabilities}
    assert told == {"EXPORT", "ERASE", "RETURN", "DESTROY", *capabilities}
