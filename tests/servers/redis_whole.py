"""A partner's keys beside others' in one database, for tests that return and destroy them. As a process: kills it.

`python -m tests.servers.redis_whole <url> <folder> [step …]` kills a destruction before each of its changes to the
disk; then it goes on. Prints one JSON object a line.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant
from redis.asyncio import Redis

from connectors.redis import everything
from tests.integration.filesystem.kill_driver import kill_before
from tests.servers.objects import DELETE, SOURCE, Objects

OURS = "a[c]me?"
"""Characters of a glob: where they aren't escaped, others' keys match."""
OTHERS = ("acme?", "acmeX", "a[c]meX", "a[c]me", "a[c]me?2", "xa[c]me?")
COLLECTIONS: dict[str, Any] = {
    "profiles": {"key": f"{OURS}:user:{{id}}", "identity": {"id": {"unique": True}}},
    "sessions": {"key": f"{OURS}:session:*", "identity": {"id": {"field": "user.id"}}},
    "visits": {"key": f"{OURS}:visit:{{id}}:**:*", "identity": {"id": {}}},
    "online": {"key": f"{OURS}:online", "each": "member", "identity": {"id": {"prefix": "u:"}}},
    "queues": {"key": f"{OURS}:queue:*", "each": "member", "identity": {"id": {}}},
    "scores": {"key": f"{OURS}:scores", "each": "member", "identity": {"id": {}}},
    "baskets": {"key": f"{OURS}:baskets", "each": "field", "identity": {"id": {"field": "owner"}}},
    "events": {"key": f"{OURS}:events:*", "each": "entry", "identity": {"id": {"field": "who"}}},
    "settings": {"key": f"{OURS}:settings:*", "no_personal_data": True},
}
COUNTS = {
    "profiles": 12,
    "sessions": 12,
    "visits": 24,
    "online": 12,
    "queues": 24,
    "scores": 12,
    "baskets": 12,
    "events": 12,
    "settings": 6,
}


async def fill(client: Any) -> None:
    """Twelve people of ours and of each of the others, in every type of key."""
    async with client.pipeline(transaction=False) as pipeline:
        for prefix in (OURS, *OTHERS):
            for number in range(12):
                who = f"{number}"
                pipeline.hset(f"{prefix}:user:{who}", mapping={"name": f"Ann {who}", "raw": b"\xff"})
                pipeline.set(f"{prefix}:session:s{who}", json.dumps({"user": {"id": who}}), ex=5_000)
                pipeline.set(f"{prefix}:visit:{who}:1", "a")
                pipeline.set(f"{prefix}:visit:{who}:deep:er", "b")
                pipeline.sadd(f"{prefix}:online", f"u:{who}")
                pipeline.rpush(f"{prefix}:queue:{number % 3}", who, who)
                pipeline.zadd(f"{prefix}:scores", {who: number})
                pipeline.hset(f"{prefix}:baskets", f"b{who}", json.dumps({"owner": who}))
                pipeline.xadd(f"{prefix}:events:{number % 2}", {"who": who, "what": "visit"})
            pipeline.expire(f"{prefix}:online", 5_000)
            pipeline.set(f"{prefix}:settings:theme", "dark")
            pipeline.rpush(f"{prefix}:settings:list", "b", "a", "b")
            pipeline.sadd(f"{prefix}:settings:set", "one")
            pipeline.zadd(f"{prefix}:settings:zset", {"one": 1.5})
            pipeline.hset(f"{prefix}:settings:hash", "k", "v")
            pipeline.xadd(f"{prefix}:settings:stream", {"k": "v"}, id="5-1")
        await pipeline.execute()


async def names(client: Any) -> dict[str, list[bytes]]:
    """All keys, by whose they are: `ours` and `others`."""
    found = sorted(await client.keys("*"))
    ours = [key for key in found if key.startswith(f"{OURS}:".encode())]
    return {"ours": ours, "others": [key for key in found if key not in ours]}


def options(url: str, **changes: Any) -> dict[str, Any]:
    return {"url": url, "collections": COLLECTIONS, **changes}


async def destroy(
    source: Objects, number: int = 1, *, caps: Mapping[str, int] = COUNTS, count_only: bool = False
) -> pb.Destroyed:
    """One attempt."""
    told = [CollectionInstruction(collection=name, action=DELETE, cap=cap) for name, cap in caps.items()]
    grant = Grant(source=SOURCE, operation=Grant.OPERATION_DESTROY, task="end", attempt=number, instructions=told)
    backend: Any = source.backend
    request = pb.DestroyRequest(count_only=count_only)
    results: list[pb.Destroyed] = [m.destroyed async for m in backend.destroy(request, grant)]
    return results[-1]


def said(done: pb.Destroyed) -> dict[str, Any]:
    """The answer in plain values."""
    return {
        "outcome": pb.Destroyed.Outcome.Name(done.outcome).removeprefix("OUTCOME_"),
        "destroyed": {c.collection: c.destroyed for c in done.collections},
        "left": sum(c.left for c in done.collections),
    }


def attempt(url: str, folder: Path, number: int, before: Callable[[], None] = lambda: None) -> dict[str, Any] | None:
    """One attempt in a child of its own; None if it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        before()
        done = asyncio.run(destroy(Objects("redis", options(url), folder), number))
        os.write(writer, json.dumps(said(done)).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answered = pipe.read()
    os.waitpid(child, 0)
    return dict(json.loads(answered)) if answered else None


async def _with(url: str, work: Callable[[Any], Any]) -> Any:
    async with Redis.from_url(url) as client:
        return await work(client)


async def _fresh(client: Any) -> None:
    await client.flushdb()
    await fill(client)


if __name__ == "__main__":
    url, folder = sys.argv[1], Path(sys.argv[2])
    everything.KEYS = 10
    for step in map(int, sys.argv[3:]) if sys.argv[3:] else count():
        shutil.rmtree(folder, ignore_errors=True)
        asyncio.run(_with(url, _fresh))
        first = attempt(url, folder, 1, partial(kill_before, step, ("fsync", "replace")))
        between = len(asyncio.run(_with(url, names))["ours"])
        answers = [first, attempt(url, folder, 2), attempt(url, folder, 3)]
        left = {whose: len(keys) for whose, keys in asyncio.run(_with(url, names)).items()}
        sys.stdout.write(json.dumps({"step": step, "between": between, "answers": answers, "left": left}) + "\n")
        if first is not None:
            break
