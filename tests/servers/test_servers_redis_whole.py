"""Return and Destroy of one partner's keys in a database that others share, on a real Redis that is read directly."""

import asyncio
import hashlib
import json
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant
from redis.asyncio import Redis

from connectors.redis import everything, giveback
from connectors.redis.connection import Server
from dsrkit.errors import DsrError
from tests.servers.objects import SOURCE, Objects
from tests.servers.programs import RedisServer
from tests.servers.redis_whole import COLLECTIONS, COUNTS, OURS, destroy, fill, names, options, said

_DATABASE = 3
_ALL = {"outcome": "DESTROYED", "destroyed": COUNTS, "left": 0}


@pytest.fixture
async def url(redis_server: RedisServer) -> str:
    return f"{redis_server.url}/{_DATABASE}"


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Any]:
    async with Redis(port=redis_server.port, db=_DATABASE) as opened:
        await opened.flushdb()
        await fill(opened)
        yield opened
        await opened.flushdb()


@pytest.fixture
async def source(client: Any, url: str, tmp_path: Path) -> AsyncIterator[Objects]:
    opened = Objects("redis", options(url), tmp_path)
    yield opened
    await opened.backend.close()


async def returned(source: Objects) -> dict[str, list[Any]]:
    """Records by collection, after a check of everything the stream says of itself."""
    backend: Any = source.backend
    found: dict[str, list[Any]] = {}
    data, header, totals = b"", pb.CollectionHeader(), pb.ExportTotals()
    grant = Grant(source=SOURCE, operation=Grant.OPERATION_RETURN, task="return", attempt=1)
    async for message in backend.give_back(pb.ReturnRequest(), grant):
        match message.WhichOneof("part"):
            case "header":
                data, header = b"", message.header
            case "data":
                assert 0 < len(message.data) <= 1 << 20
                data += message.data
            case "trailer":
                assert message.trailer.sha256 == hashlib.sha256(data).digest()
                records = [json.loads(line) for line in data.split(b"\n")[:-1]]
                assert message.trailer.records == len(records)
                assert all(list(record) == [field.name for field in header.fields] for record in records)
                found[header.collection] = records
            case "totals":
                totals = message.totals
    assert (totals.collections, totals.records) == (len(found), sum(map(len, found.values())))
    return found


def plain(records: list[Any]) -> list[Any]:
    """In one order, times left out: a stream's ids are of the moment."""
    return sorted(records, key=lambda record: (record["key"], str(record.get("entry")), str(record["value"])))


async def test_everything_of_ours_is_returned_and_nothing_of_others(source: Objects, client: Any) -> None:
    found = await returned(source)
    assert {name: len(records) for name, records in found.items()} == COUNTS
    assert all(record["key"].startswith(f"{OURS}:") for records in found.values() for record in records)
    assert plain(found["profiles"])[7] == {
        "key": f"{OURS}:user:5",
        "id": "5",
        "type": "hash",
        "expire_time": None,
        "value": {"name": "Ann 5", "raw": {"base64": "/w=="}},
    }
    assert {record["id"] for record in found["sessions"]} == {str(number) for number in range(12)}
    expires = await client.expiretime(f"{OURS}:session:s5")
    assert all(abs(datetime.fromisoformat(r["expire_time"]).timestamp() - expires) < 5 for r in found["sessions"])
    assert all(abs(datetime.fromisoformat(r["expire_time"]).timestamp() - expires) < 5 for r in found["online"])
    assert {record["entry"] for record in found["online"]} == {f"u:{number}" for number in range(12)}
    assert sorted(r["entry"] for r in found["queues"] if r["key"].endswith("0")) == sorted(["0", "3", "6", "9"] * 2)
    assert {(r["entry"], r["value"]) for r in found["scores"]} == {(str(n), n) for n in range(12)}
    assert {(r["id"], r["value"]["what"]) for r in found["events"]} == {(str(n), "visit") for n in range(12)}
    assert {r["id"] for r in found["baskets"]} == {str(number) for number in range(12)}
    assert {r["key"].rsplit(":", 1)[1]: r["value"] for r in found["settings"]} == {
        "theme": "dark",
        "list": ["b", "a", "b"],
        "set": ["one"],
        "zset": [{"member": "one", "score": 1.5}],
        "hash": {"k": "v"},
        "stream": [{"id": "5-1", "fields": {"k": "v"}}],
    }


async def test_large_keys_are_returned_as_small_ones_are(source: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    small = await returned(source)
    monkeypatch.setattr(giveback, "_SMALL", 0)
    large = await returned(source)
    assert {name: plain(records) for name, records in large.items()} == {n: plain(r) for n, r in small.items()}


async def test_what_scan_brings_twice_is_returned_and_counted_once(
    source: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Server.keys

    async def twice(server: Server, glob: str) -> AsyncIterator[list[bytes]]:
        async for page in keys(server, glob):
            yield [*page, *page]
            yield page

    monkeypatch.setattr(Server, "keys", twice)
    assert {name: len(records) for name, records in (await returned(source)).items()} == COUNTS
    counted = await destroy(source, count_only=True)
    assert {c.collection: c.left for c in counted.collections} == COUNTS
    assert said(await destroy(source)) == _ALL


@pytest.mark.policy("P14", "one partner's keys go from a shared Redis, and not one whose prefix is nearly the same")
async def test_everything_of_ours_is_destroyed_and_nothing_of_others(source: Objects, client: Any) -> None:
    before = await names(client)
    counted = await destroy(source, 1, count_only=True)
    assert said(counted) == {"outcome": "COUNTED", "destroyed": dict.fromkeys(COUNTS, 0), "left": sum(COUNTS.values())}
    assert await names(client) == before
    done = await destroy(source, 2)
    assert (said(done), [f.code for f in done.findings]) == (_ALL, ["UNDECLARED_COLLECTION"])
    assert await names(client) == {"ours": [], "others": before["others"]}
    assert said(await destroy(source, 3)) == _ALL
    assert not any((await returned(source)).values())
    with pytest.raises(DsrError) as refused:
        await destroy(source, 2)
    assert refused.value.reason == "ATTEMPT_SUPERSEDED"


@pytest.mark.policy("P14", "more keys than were returned, or a permission that is missing, keep a Redis from going")
async def test_what_was_not_returned_is_not_destroyed(
    source: Objects, client: Any, redis_server: RedisServer, tmp_path: Path
) -> None:
    await client.rpush(f"{OURS}:queue:1", "late")
    before = await client.dbsize()
    assert said(await destroy(source))["outcome"] == "CAP_EXCEEDED"
    unnamed = await destroy(source, 2, caps={name: cap for name, cap in COUNTS.items() if name != "settings"})
    assert (said(unnamed)["outcome"], unnamed.findings[-1].code) == ("BLOCKED", "UNNAMED_COLLECTION")
    await client.lrem(f"{OURS}:queue:1", 0, "late")
    await client.set(f"{OURS}:queue:odd", "no list")
    wrong = await destroy(source, 3)
    assert (said(wrong)["outcome"], wrong.findings[0].code) == ("BLOCKED", "WRONG_TYPE")
    with pytest.raises(DsrError) as rejected:
        await returned(source)
    assert rejected.value.reason == "SOURCE_REJECTED"
    await client.delete(f"{OURS}:queue:odd")
    rights = ("~*", "+@read", "+@connection", "+@transaction", "+time", "+eval", "+srem")
    await client.execute_command("ACL", "SETUSER", "weak", "on", ">secret", *rights)
    weak = Objects("redis", options(f"redis://weak:secret@127.0.0.1:{redis_server.port}/{_DATABASE}"), tmp_path / "w")
    refused = await destroy(weak, 4)
    assert (said(refused)["outcome"], {f.code for f in refused.findings}) == (
        "BLOCKED",
        {"NOT_PERMITTED", "UNDECLARED_COLLECTION"},
    )
    await weak.backend.close()
    assert await client.dbsize() == before


async def test_what_expires_in_between_is_gone_and_was_not_destroyed(
    source: Objects, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the return; and while it is under way, between SCAN and reading."""
    command, expiring = Server.command, [f"{OURS}:visit:1:1"]

    async def expire(server: Server, *words: Any) -> Any:
        if words[0] == "EVAL" and expiring and expiring[0].encode() in words:
            await client.pexpireat(expiring.pop(), 1)
        return await command(server, *words)

    monkeypatch.setattr(Server, "command", expire)
    found = await returned(source)
    assert not expiring
    assert {name: len(records) for name, records in found.items()} == {**COUNTS, "visits": 23}
    await client.pexpireat(f"{OURS}:session:s3", 1)
    done = await destroy(source, caps={**COUNTS, "visits": 23})
    assert said(done) == {**_ALL, "destroyed": {**COUNTS, "visits": 23, "sessions": 11}}


async def test_a_writer_in_between_stops_it_before_the_page_with_too_many(
    source: Objects, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(everything, "KEYS", 5)
    command, written = Server.command, 0

    async def writing(server: Server, *words: Any) -> Any:
        nonlocal written
        if words[0] == "EVAL":
            written += 1
            await client.set(f"{OURS}:visit:new:{written}", "x")
        return await command(server, *words)

    monkeypatch.setattr(Server, "command", writing)
    with pytest.raises(DsrError) as busy:
        await destroy(source)
    assert busy.value.reason == "SOURCE_BUSY"
    monkeypatch.setattr(Server, "command", command)
    counted = {c.collection: (c.destroyed, c.left) for c in (await destroy(source, count_only=True)).collections}
    assert counted["profiles"] == (12, 0)
    destroyed, left = counted["visits"]
    assert destroyed <= COUNTS["visits"] < destroyed + left
    assert counted["settings"] == (0, COUNTS["settings"])
    before = await names(client)
    assert said(await destroy(source, 2))["outcome"] == "CAP_EXCEEDED"
    assert await names(client) == before


async def test_a_key_that_grows_between_the_look_and_the_removal_stays(
    source: Objects, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server compares in the same step; a second look then finds one too many."""
    command, grown = Server.command, False

    async def growing(server: Server, *words: Any) -> Any:
        nonlocal grown
        if words[0] == "EVAL" and f"{OURS}:queue:1".encode() in words and not grown:
            grown = True
            await client.rpush(f"{OURS}:queue:1", "late")
        return await command(server, *words)

    monkeypatch.setattr(Server, "command", growing)
    with pytest.raises(DsrError) as busy:
        await destroy(source)
    assert (busy.value.reason, grown) == ("SOURCE_BUSY", True)
    assert await client.lrange(f"{OURS}:queue:1", -1, -1) == [b"late"]
    assert said(await destroy(source, 2))["outcome"] == "CAP_EXCEEDED"
    await client.lrem(f"{OURS}:queue:1", 0, "late")
    assert said(await destroy(source, 3)) == _ALL


async def test_a_large_key_that_changes_while_it_is_returned_is_no_copy(
    source: Objects, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(giveback, "_SMALL", 0)
    entries = giveback.Returner._entries

    def changing(returner: Any, collection: Any, key: bytes, *rest: Any) -> Any:
        if key.endswith(b":scores"):
            changes.append(asyncio.ensure_future(client.zadd(key.decode(), {f"new{len(changes)}": 1})))
        return entries(returner, collection, key, *rest)

    changes: list[Any] = []
    large = {f"{'x' * 60}{number}": number for number in range(3_000)}
    await client.zadd(f"{OURS}:scores", large)
    monkeypatch.setattr(giveback.Returner, "_entries", changing)
    with pytest.raises(DsrError) as busy:
        await returned(source)
    assert (busy.value.reason, len(changes) > 1) == ("SOURCE_BUSY", True)
    await asyncio.gather(*changes)


async def test_large_keys_pass_through_memory_a_page_at_a_time(source: Objects, client: Any) -> None:
    """Twenty megabytes in one key, a record of its own."""
    async with client.pipeline(transaction=False) as pipeline:
        for number in range(1_000):
            pipeline.hset(f"{OURS}:settings:large", str(number), "x" * 20_000)
        await pipeline.execute()
    backend: Any = source.backend
    grant = Grant(source=SOURCE, operation=Grant.OPERATION_RETURN, task="return", attempt=1)
    sent = 0
    tracemalloc.start()
    async for message in backend.give_back(pb.ReturnRequest(), grant):
        sent += len(message.data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sent > 20_000_000
    assert peak < 10_000_000


@pytest.mark.parametrize("others", [1_000, 1_500])
async def test_one_large_element_among_small_ones_makes_a_key_large(client: Any, others: int) -> None:
    """Twenty megabytes that a sample of a key's elements doesn't see."""
    large: dict[str, list[str]] = {kind: [f"{OURS}:settings:{kind}", f"{OURS}:settings:huge-{kind}"] for kind in _PUT}
    for kind, put in _PUT.items():
        async with client.pipeline(transaction=False) as pipeline:
            for key, huge in zip(large[kind], (30, 20_000_000), strict=True):
                for number in range(others):
                    put(pipeline, key, number, "x" * 30)
                put(pipeline, key, others, "y" * huge)
            await pipeline.execute()
    for kind, keys in large.items():
        for key in keys:
            ((found, _, held),) = await client.eval(giveback.READ_SMALL, 1, key, 1 << 18, giveback._FEW)
            assert found.decode() == kind
            assert (held is not None) == (others < giveback._FEW and "huge" not in key), key
    sizes = {key: await client.memory_usage(key) for _, key in large.values()}
    assert sizes[f"{OURS}:settings:huge-hash"] < 1 << 20, "a sample would have seen it"


_PUT: dict[str, Callable[[Any, str, int, str], Any]] = {
    "hash": lambda pipeline, key, number, text: pipeline.hset(key, str(number), text),
    "set": lambda pipeline, key, number, text: pipeline.sadd(key, f"{number} {text}"),
    "zset": lambda pipeline, key, number, text: pipeline.zadd(key, {f"{number} {text}": number}),
    "list": lambda pipeline, key, number, text: pipeline.rpush(key, f"{number} {text}"),
    "stream": lambda pipeline, key, number, text: pipeline.xadd(key, {"n": number, "text": text}),
}


@pytest.mark.policy("P14", "killed at any step a Redis's destruction resumes, and says what all attempts destroyed")
@pytest.mark.parametrize("steps", [("5", "30"), pytest.param((), marks=pytest.mark.long)], ids=["some", "every"])
def test_after_a_kill_at_any_step_the_next_attempt_goes_on(
    url: str, client: Any, tmp_path: Path, steps: tuple[str, ...]
) -> None:
    command = [sys.executable, "-m", "tests.servers.redis_whole", url, str(tmp_path / "state"), *steps]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(lines) == len(steps) or len(lines) > 40
    for line in lines:
        first, *others = line["answers"]
        assert others == [_ALL, _ALL], line["step"]
        assert first in (None, _ALL)
        assert line["left"]["ours"] == 0
    assert len({line["between"] for line in lines}) > 1, "kills before, between and behind removals"


async def test_probing_removes_nothing(client: Any, url: str, tmp_path: Path) -> None:
    """The example of a pattern without names is the key itself."""
    owned = {"config": {"key": "config", "identity": {"id": {"field": "owner"}}}}
    await client.set("config", json.dumps({"owner": "7"}))
    source = Objects("redis", options(url, collections={**COLLECTIONS, **owned}), tmp_path)
    before = await names(client)
    permissions = {p.operation: p.allowed for p in (await source.backend.probe()).permissions}
    assert permissions["config: delete"]
    assert await names(client) == before
    await source.backend.close()
