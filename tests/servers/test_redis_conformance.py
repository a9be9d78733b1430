"""The redis connector keeps the contract, through the real host, on a real Redis."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from dsr.conformance.bench import Bench, open_bench
from dsr.conformance.check import Check
from dsr.conformance.grants import GrantKey
from dsr.conformance.material import Material
from dsr.conformance.testing import CHECKS, expect
from redis.asyncio import Redis

from tests.conformance.harness import Keys, open_backends, serve
from tests.servers.programs import RedisServer
from tests.support.contract import Told

SOURCE = "partners/acme/dataSources/cache"
DOWN = "partners/acme/dataSources/down"
COLLECTIONS: dict[str, Any] = {
    "profiles": {
        "key": "user:{customer_number}",
        "identity": {"customer_number": {"unique": True}},
        "last_use": {"field": "seen"},
    },
    "sessions": {
        "key": "session:*",
        "identity": {"customer_number": {"field": "user.id"}, "email": {"field": "user.email", "match": "case_fold"}},
    },
    "online": {"key": "online", "each": "member", "identity": {"customer_number": {"prefix": "user:"}}},
    "carts": {"key": "carts", "each": "field", "identity": {"customer_number": {}}},
    "clicks": {"key": "clicks:*", "each": "entry", "identity": {"customer_number": {"field": "who"}}},
    "settings": {"key": "settings", "no_personal_data": True},
}
PRESENT = {"profiles": 1, "sessions": 2, "online": 1, "carts": 1, "clicks": 2}
MATERIAL: dict[str, Any] = {
    "present": {"identities": {"customer_number": "C-1"}, "records": PRESENT},
    "absent": {"identities": {"customer_number": "C-404"}},
    "disposable": {
        "identities": {"customer_number": "C-12"},
        "records": PRESENT,
        "instructions": {"carts": "RETAIN"},
    },
    "unreachable": DOWN,
    "destroyable": True,
    "people": 33,
    "inactive": {
        "collection": "profiles",
        "field": "last_use",
        "identity_type": "customer_number",
        "before": "2026-01-01T00:00:00Z",
        "unused": "C-91",
        "used": "C-92",
        "unknown": "C-93",
    },
}


async def fill(client: Redis) -> None:
    """Thirty people in every kind of key."""
    await client.set("settings", "dark")
    for person, seen in (("C-91", "2020-01-01"), ("C-92", "2026-11-01T12:00:00Z"), ("C-93", "")):
        await client.hset(f"user:{person}", "seen", seen)
    for number in range(1, 31):
        person = f"C-{number}"
        # One is more than one data message.
        about = "x" * 1_500_000 if number == 1 else "x"
        await client.hset(f"user:{person}", mapping={"name": person, "about": about})
        for device in ("phone", "desk"):
            document = f'{{"user": {{"id": "{person}", "email": "{person}@example.com"}}, "device": "{device}"}}'
            await client.set(f"session:{device}-{number}", document, ex=3_600)
        await client.zadd("online", {f"user:{person}": number})
        await client.hset("carts", person, "tea")
        for page in ("a", "b"):
            await client.xadd(f"clicks:{page}", {"who": person, "what": "buy"})


@pytest.fixture(scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> AsyncIterator[Bench]:
    folder = tmp_path_factory.mktemp("redis")
    async with Redis(port=redis_server.port, db=1) as client:
        await client.flushdb()
        await fill(client)
    keys = Keys.make(folder)
    options = {"url": f"{redis_server.url}/1", "collections": COLLECTIONS}
    down = {**options, "url": "redis://127.0.0.1:1"}
    sources = {SOURCE: {"kind": "redis", "options": options}, DOWN: {"kind": "redis", "options": down}}
    grant_key = GrantKey.load(folder / "grant-key.json")
    async with (
        serve(keys, open_backends(keys, sources)) as target,
        open_bench(target, SOURCE, keys.credential, Material.parse(MATERIAL), grant_key, 20) as opened,
    ):
        yield opened


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.rule)
async def test_redis_keeps_the_contract(check: Check, bench: Bench, told: Told) -> None:
    told("redis", await expect(check, bench))
