"""Trials of the redis connector on a real Redis, which is read directly before and after."""

import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant
from redis.asyncio import Redis

from connectors.filesystem.threads import Threads
from connectors.redis.connection import Server
from connectors.redis.erase import REMOVE_FIELD, Eraser
from connectors.redis.find import Finder, Watch
from connectors.redis.found import Digests
from connectors.redis.options import Options
from dsrkit.errors import DsrError
from tests.servers.objects import RETAIN, SOURCE, Objects, deleted, instruct, outcome, person
from tests.servers.programs import RedisServer, free_port, redis

_NEAR = ("7", "70", "007", "17", "7 ", "*", "?", "[7]", "\\7", "7*", "7^", "a/7")
_DATABASE = 2

COLLECTIONS: dict[str, Any] = {
    "profiles": {"key": "user:{id}", "identity": {"id": {"unique": True}}},
    "carts": {"key": "cart:{id}:items", "identity": {"id": {}}},
    "visits": {"key": "visit:{id}:**:*", "identity": {"id": {}}},
    "sessions": {
        "key": "session:*",
        "identity": {"id": {"field": "user.id", "value": "either"}, "email": {"field": "email", "match": "case_fold"}},
    },
    "online": {"key": "online", "each": "member", "identity": {"id": {"prefix": "u:"}}},
    "newsletter": {"key": "newsletter", "each": "member", "identity": {"email": {"match": "case_fold"}}},
    "queue": {"key": "queue", "each": "member", "identity": {"id": {}}},
    "jobs": {"key": "jobs", "each": "member", "identity": {"id": {"field": "who"}}},
    "scores": {"key": "scores", "each": "member", "identity": {"id": {}}},
    "baskets": {"key": "baskets", "each": "field", "identity": {"id": {"field": "owner"}}},
    "flags": {"key": "flags", "each": "field", "identity": {"id": {}}},
    "events": {"key": "events:*", "each": "entry", "identity": {"id": {"field": "who"}}},
    "lookups": {"key": "next-id", "no_personal_data": True},
}
EVERYTHING = {
    "profiles": 1,
    "carts": 1,
    "visits": 2,
    "sessions": 1,
    "online": 1,
    "queue": 2,
    "jobs": 1,
    "scores": 1,
    "baskets": 1,
    "flags": 1,
    "events": 2,
}


class Shop:
    """A database of its own, filled, and read without the connector."""

    def __init__(self, server: RedisServer, folder: Path) -> None:
        self.client: Any = Redis(port=server.port, db=_DATABASE)
        self.options = {"url": f"{server.url}/{_DATABASE}", "collections": COLLECTIONS}
        self.source = Objects("redis", self.options, folder)

    async def fill(self) -> None:
        await self.client.set("next-id", 71)
        for number, who in enumerate(_NEAR):
            email = f"{who}@example.com"
            await self.client.hset(f"user:{who}", mapping={"name": who, "raw": b"\xff\x00"})
            await self.client.expire(f"user:{who}", 5_000)
            await self.client.rpush(f"cart:{who}:items", "tea", "tea")
            await self.client.set(f"visit:{who}:1", "a")
            await self.client.set(f"visit:{who}:deep:er", "b")
            session = {"user": {"id": int(who) if who in ("7", "70") else who}, "email": email}
            await self.client.set(f"session:{number}", json.dumps(session))
            await self.client.sadd("online", f"u:{who}")
            await self.client.sadd("newsletter", email)
            await self.client.rpush("queue", who, who)
            await self.client.rpush("jobs", json.dumps({"who": who, "n": number}))
            await self.client.zadd("scores", {who: number})
            await self.client.hset("baskets", f"b{number}", json.dumps({"owner": who}))
            await self.client.hset("flags", who, "on")
            for page in ("a", "b"):
                await self.client.xadd(f"events:{page}", {"who": who, "what": "visit"})
        await self.client.expire("online", 7_000)

    async def content(self) -> dict[bytes, Any]:
        """Every key: type, content, whether it expires."""
        result: dict[bytes, Any] = {}
        for key in sorted(await self.client.keys("*")):
            kind = (await self.client.type(key)).decode()
            reads = {
                "string": self.client.get,
                "hash": self.client.hgetall,
                "set": self.client.smembers,
                "list": lambda key: self.client.lrange(key, 0, -1),
                "zset": lambda key: self.client.zrange(key, 0, -1, withscores=True),
                "stream": self.client.xrange,
            }
            read = await cast(Awaitable[Any], reads[kind](key))
            result[key] = (kind, read, await self.client.ttl(key) > 0)
        return result

    async def close(self) -> None:
        await self.source.backend.close()
        await self.client.flushdb()
        await self.client.aclose()


@pytest.fixture
async def shop(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Shop]:
    opened = Shop(redis_server, tmp_path)
    await opened.fill()
    yield opened
    await opened.close()


async def _remains(shop: Shop, before: dict[bytes, Any]) -> dict[str, Any]:
    """What is gone of what was there; nothing else may have changed."""
    after = await shop.content()
    assert after.keys() <= before.keys()
    gone: dict[str, Any] = {key.decode(): None for key in before.keys() - after.keys()}
    for key, (kind, value, expires) in after.items():
        was = before[key][1]
        assert (kind, expires) == (before[key][0], before[key][2]), "type and expiry are kept"
        if value == was:
            continue
        if isinstance(value, list):
            assert [item for item in was if item in value] == value
            gone[key.decode()] = [item for item in was if item not in value]
        elif isinstance(value, dict):
            assert value.items() <= was.items()
            gone[key.decode()] = was.keys() - value.keys()
        else:
            assert value <= was
            gone[key.decode()] = was - value
    return gone


@pytest.mark.parametrize("who", _NEAR)
async def test_of_people_who_are_nearly_alike_one_goes(shop: Shop, who: str) -> None:
    before = await shop.content()
    assert await shop.source.counts(id=who) == EVERYTHING
    erased = await shop.source.erase(person(id=who))
    assert (outcome(erased), deleted(erased)) == ("ERASED", EVERYTHING)
    number = _NEAR.index(who)
    gone = await _remains(shop, before)
    for page in ("a", "b"):
        ((_, fields),) = gone.pop(f"events:{page}")
        assert fields[b"who"] == who.encode()
    assert gone == {
        f"user:{who}": None,
        f"cart:{who}:items": None,
        f"visit:{who}:1": None,
        f"visit:{who}:deep:er": None,
        f"session:{number}": None,
        "online": {f"u:{who}".encode()},
        "queue": [who.encode()] * 2,
        "jobs": [json.dumps({"who": who, "n": number}).encode()],
        "scores": [(who.encode(), float(number))],
        "baskets": {f"b{number}".encode()},
        "flags": {who.encode()},
    }
    assert await shop.source.verify(person(id=who)) == {}
    assert await shop.source.counts(id=who) == {}


async def test_letters_are_alike_only_where_that_is_declared(shop: Shop) -> None:
    """The newsletter folds case, the numbers don't."""
    await shop.client.sadd("newsletter", "Ann@Example.com", "joann@example.com", "ann@example.com.au")
    before = await shop.content()
    erased = await shop.source.erase(person(email="ann@example.COM"))
    assert deleted(erased) == {"newsletter": 1}
    assert await _remains(shop, before) == {"newsletter": {b"Ann@Example.com"}}


async def test_a_key_with_the_identity_is_asked_for_by_name(shop: Shop, tmp_path: Path) -> None:
    """What a search costs depends on the person: no SCAN, however many other keys there are."""
    direct = ("profiles", "carts", "online", "queue", "scores", "flags")
    options = {**shop.options, "collections": {name: COLLECTIONS[name] for name in direct}}
    source = Objects("redis", options, tmp_path)
    await shop.client.config_resetstat()
    assert await source.counts(id="7") == {name: EVERYTHING[name] for name in direct}
    asked = await shop.client.info("commandstats")
    await source.backend.close()
    assert not asked.keys() & {"cmdstat_scan", "cmdstat_keys"}
    assert sum(entry["calls"] for entry in asked.values()) < 40


async def test_a_copy_tells_when_a_key_expires_and_loses_nothing(shop: Shop) -> None:
    await shop.client.zadd("scores", {"7": float("inf")})
    await shop.client.xadd("events:a", {"who": "7", "raw": b"\xff"}, id="9999999999999-0")
    copied = await shop.source.export(person(id="7"))
    assert {name: len(records) for name, records in copied.items() if records} == {**EVERYTHING, "events": 3}
    (profile,) = copied["profiles"]
    assert profile.pop("expire_time") is not None
    assert profile == {"key": "user:7", "id": "7", "type": "hash", "value": {"name": "7", "raw": {"base64": "/wA="}}}
    assert copied["carts"][0]["value"] == ["tea", "tea"]
    assert copied["scores"][0]["value"] == "inf"
    assert copied["queue"] == [{"key": "queue", "id": "7", "entry": "7", "value": None}] * 2
    assert copied["sessions"][0]["email"] == "7@example.com"
    assert {"base64": "/w=="} in [record["value"].get("raw") for record in copied["events"]]


async def test_many_entries_are_found_page_by_page(shop: Shop) -> None:
    """More than one page of each kind; the person's stand first and last."""
    others = [json.dumps({"who": f"x{number}"}) for number in range(3_000)]
    mine = json.dumps({"who": "7"})
    await shop.client.rpush("jobs", mine, *others, mine)
    await shop.client.hset("baskets", mapping={f"x{n}": json.dumps({"owner": f"x{n}"}) for n in range(3_000)})
    async with shop.client.pipeline(transaction=False) as pipeline:
        for number in range(2_500):
            pipeline.xadd("events:c", {"who": "7" if number in (0, 2_499) else "x"})
        await pipeline.execute()
    assert await shop.source.counts(id="7") == {**EVERYTHING, "jobs": 3, "events": 4}
    assert deleted(await shop.source.erase(person(id="7"))) == {**EVERYTHING, "jobs": 3, "events": 4}
    assert await shop.client.llen("jobs") == len(_NEAR) - 1 + 3_000


async def test_what_is_interrupted_is_finished_and_new_things_are_left(shop: Shop) -> None:
    async with shop.client.pipeline(transaction=False) as pipeline:
        for number in range(250):
            pipeline.set(f"visit:7:more:{number}", "x")
        await pipeline.execute()
    (located,) = await shop.source.locate(person(id="7"))
    grant = Grant(
        source=SOURCE, operation=Grant.OPERATION_ERASE, task="t", attempt=1, instructions=[instruct("visits")]
    )
    request = pb.EraseRequest(subjects=[pb.EraseSubject(subject=person(id="7"), expected=located.collections)])
    async with aclosing(cast(Any, shop.source.backend.erase(request, grant))) as messages:
        async for message in messages:
            assert message.HasField("progress")
            break
    left = [key async for key in shop.client.scan_iter("visit:7:*")]
    assert 0 < len(left) < 252
    await shop.client.set(left[0], "changed since")
    await shop.client.set("visit:7:new", "came since")
    grant.attempt = 2
    (erased,) = [m.erased async for m in shop.source.backend.erase(request, grant) if m.HasField("erased")]
    assert (outcome(erased), deleted(erased)) == ("RECONSTRUCTED", {"visits": 251})
    assert {key async for key in shop.client.scan_iter("visit:7:*")} == {left[0], b"visit:7:new"}
    (again,) = [m.erased async for m in shop.source.backend.erase(request, grant) if m.HasField("erased")]
    assert (outcome(again), deleted(again)) == ("REPLAYED", {"visits": 251})
    assert (await shop.source.verify(person(id="7")))["visits"] == (0, 2)


async def test_what_changed_since_the_plan_is_left(shop: Shop) -> None:
    located = await shop.source.locate(person(id="7"))
    await shop.client.hset("user:7", "name", "Ann")
    before = await shop.content()
    assert outcome(await shop.source.erase(person(id="7"), located=located)) == "CHANGED"
    assert await shop.content() == before


async def test_a_field_that_becomes_somebody_elses_is_left(shop: Shop, tmp_path: Path) -> None:
    """Between the last look and the removal: the server itself compares."""
    options = Options.model_validate(shop.options)
    server, digests = Server(options, SOURCE), Digests(b"k" * 32)
    (found,) = await Finder(server, options, digests).run([person(id="7")], Watch())
    ((_, record),) = found.records["baskets"].items()
    other = json.dumps({"owner": "70"})
    await shop.client.hset("baskets", "b0", other)
    assert not await Eraser(server, options, digests, Threads()).remove(record)
    field = (b"b0", json.dumps({"owner": "7"}))
    assert await server.command("EVAL", REMOVE_FIELD, 1, b"baskets", *field) == -1
    assert await shop.client.hget("baskets", "b0") == other.encode()
    await server.close()


async def test_retained_collections_are_counted_and_left(shop: Shop) -> None:
    chosen = [instruct(name, RETAIN if name == "carts" else instruct(name).action) for name in EVERYTHING]
    erased = await shop.source.erase(person(id="7"), instructions=chosen)
    assert {o.collection: o.retained for o in erased.collections if o.retained} == {"carts": 1}
    assert await shop.client.lrange("cart:7:items", 0, -1) == [b"tea", b"tea"]


async def test_anchors_betray_what_has_come_back(shop: Shop) -> None:
    found = await shop.source.anchors(person(id="7"))
    await shop.source.erase(person(id="7"))
    assert await shop.source.verify(person(id="7"), found) == {}
    await shop.client.set("session:0", "{}")  # names nobody, and stands where the person's stood
    await shop.client.sadd("online", "u:7")
    assert await shop.source.verify(person(id="7"), found) == {"sessions": (0, 1), "online": (0, 1)}


async def test_what_stands_in_the_way_is_named(shop: Shop) -> None:
    await shop.client.delete("flags", "newsletter")
    await shop.client.set("flags", "not a hash")
    await shop.client.rpush("jobs", '{"who": ["7", "8"]}')
    await shop.client.set("session:bad", '{"user": {"id": "0\\u00307"')
    assert await shop.source.findings(id="7") == {"SHARED_RECORD": True, "WRONG_TYPE": True}
    assert await shop.source.findings(id="007") == {"BROKEN_RECORD": True, "WRONG_TYPE": True}
    assert await shop.source.findings(id="7:x") == {"IDENTITY_NOT_SEARCHABLE": True, "WRONG_TYPE": True}
    before = await shop.content()
    assert outcome(await shop.source.erase(person(id="7"))) == "BLOCKED"
    assert await shop.content() == before


async def test_keys_that_nobody_declared_are_told(shop: Shop) -> None:
    codes = {finding.code for finding in (await shop.source.backend.describe()).findings}
    assert codes == {"SCAN"}
    await shop.client.set("forgotten", "x")
    codes = {finding.code for finding in (await shop.source.backend.describe()).findings}
    assert codes == {"SCAN", "UNDECLARED_COLLECTION"}


def _source(options: dict[str, Any], folder: Path, **changes: Any) -> Objects:
    return Objects("redis", {**options, **changes}, folder)


async def _refused(source: Objects) -> tuple[str, str]:
    with pytest.raises(DsrError) as error:
        await source.locate(person(id="7"))
    await source.backend.close()
    return error.value.reason, error.value.metadata.get("why", "")


async def test_users_permissions_are_known_before_they_are_needed(
    shop: Shop, redis_server: RedisServer, tmp_path: Path
) -> None:
    """A user of the server who may read everything and remove nothing but profiles."""
    await shop.client.execute_command(
        "ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read", "+@connection", "+@transaction", "+time", "-scan"
    )
    await shop.client.execute_command("ACL", "SETUSER", "reader", "+unlink")
    where = f"127.0.0.1:{redis_server.port}/{_DATABASE}"
    source = _source(shop.options, tmp_path, url=f"redis://reader:secret@{where}")
    permissions = {p.operation: p.allowed for p in (await source.backend.probe()).permissions}
    assert permissions["profiles: read"]
    assert not permissions["profiles: return"]
    assert not permissions["profiles: destroy"], "it may not EVAL"
    assert permissions["profiles: delete"]
    assert permissions["flags: read"]
    assert not permissions["flags: delete"]
    assert not permissions["sessions: read"], "it may not SCAN"
    assert await _refused(source) == ("SOURCE_REJECTED", "PERMISSION")
    wrong = _source(shop.options, tmp_path, url=f"redis://reader:wrong@{where}")
    assert await _refused(wrong) == ("SOURCE_UNAVAILABLE", "LOGIN_REFUSED")


async def test_tls_is_verified(shop: Shop, redis_server: RedisServer, tmp_path: Path) -> None:
    folder = Path(redis_server.process.log).parent
    url = f"rediss://127.0.0.1:{redis_server.tls_port}/{_DATABASE}"
    trusting = _source(shop.options, tmp_path, url=url, ca_file=str(folder / "server-ca.pem"))
    assert (await trusting.backend.probe()).encrypted_in_transit
    assert await trusting.counts(id="7") == EVERYTHING
    await trusting.backend.close()
    assert await _refused(_source(shop.options, tmp_path, url=url)) == ("SOURCE_UNAVAILABLE", "")


@pytest.mark.parametrize(
    ("settings", "why"), [(("--replicaof", "127.0.0.1", "1"), "REPLICA"), (("--cluster-enabled", "yes"), "MODE")]
)
async def test_where_keys_could_be_missed_nothing_is_done(tmp_path: Path, settings: tuple[str, ...], why: str) -> None:
    # A cluster's own port would be 10,000 above, among those that connections get.
    bus = ("--cluster-port", str(free_port())) if why == "MODE" else ()
    with redis(tmp_path, *settings, *bus) as server:
        source = Objects("redis", {"url": server.url, "collections": COLLECTIONS}, tmp_path)
        assert await _refused(source) == ("SOURCE_REJECTED", why)


async def test_a_server_that_is_not_there_is_no_empty_answer(tmp_path: Path) -> None:
    source = Objects("redis", {"url": "redis://127.0.0.1:1", "collections": COLLECTIONS}, tmp_path)
    assert not (await source.backend.probe()).reachable
    assert await _refused(source) == ("SOURCE_UNAVAILABLE", "")
