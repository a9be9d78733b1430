"""Every key of a collection, whoever it is about: a SCAN for each pattern, and never a key that no pattern matches."""

import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from secrets import token_bytes

from connectors.filesystem.threads import Threads
from connectors.objects.census import unlinked
from connectors.redis import content, keys
from connectors.redis.connection import Server
from connectors.redis.content import HASH, LIST, SET, STREAM, ZSET
from connectors.redis.options import Options

_SCHEMA = "CREATE TABLE seen (digest BLOB PRIMARY KEY) WITHOUT ROWID;"
_ADD = "INSERT OR IGNORE INTO seen VALUES (?)"
_LENGTHS = {HASH: "HLEN", SET: "SCARD", ZSET: "ZCARD", LIST: "LLEN", STREAM: "XLEN"}
WRONG_TYPE = -1
KEYS = 1_000
"""Most keys of a page; they are removed in one step of the server."""


class Once:
    """What came before, for SCAN may bring a key or an element twice. Digests on disk, so that memory stays bounded."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._key = token_bytes(32)

    def first(self, items: Sequence[bytes]) -> list[bytes]:
        """Those that come for the first time."""
        return [item for item in items if self._add(blake2b(item, key=self._key, digest_size=16).digest())]

    def _add(self, digest: bytes) -> bool:
        return self._connection.execute(_ADD, (digest,)).rowcount == 1


@contextmanager
def open_once(folder: Path) -> Iterator[Once]:
    """For one reading."""
    with unlinked(folder, _SCHEMA) as connection:
        yield Once(connection)


@dataclass(frozen=True)
class Everything:
    """All keys of one source."""

    server: Server
    options: Options
    threads: Threads
    state_dir: Path
    source: str

    async def pages(self, name: str, variable: str = "", value: str = "") -> AsyncGenerator[list[bytes], None]:
        """A collection's keys, `KEYS` at most at a time; one may come twice. Text in a pattern is never a glob.

        `value`: one person's, where keys say whose they are; a single key then comes whether it is there or not.
        """
        pattern = self.options.collections[name].pattern
        fixed = keys.name(pattern, variable, value) if variable in pattern.variables else keys.fixed(pattern)
        pages = self.server.keys(keys.glob(pattern, variable, value)) if fixed is None else _one(keys.data(fixed))
        async for page in pages:
            mine = [key for key in page if self.options.owner(keys.text(key)) == name]
            for start in range(0, len(mine), KEYS):
                yield mine[start : start + KEYS]

    async def once(self, name: str) -> AsyncGenerator[list[bytes], None]:
        """A collection's keys, each once."""
        with open_once(self.state_dir) as once:
            async with aclosing(self.pages(name)) as pages:
                async for page in pages:
                    if fresh := await self.threads.run(partial(once.first, page)):
                        yield fresh

    async def numbers(self, name: str, page: Sequence[bytes]) -> list[int | None]:
        """How many records each key is, or holds. None: there is no such key. WRONG_TYPE: it can't hold any."""
        each = self.options.collections[name].each
        if each == "key" and int(await self.server.command("EXISTS", *page)) == len(page):
            return [1] * len(page)
        kinds = [answer.decode() for answer in await self.server.commands([("TYPE", key) for key in page])]
        if each == "key":
            return [None if kind == "none" else 1 for kind in kinds]
        result: list[int | None] = [None if kind == "none" else WRONG_TYPE for kind in kinds]
        shared = [index for index, kind in enumerate(kinds) if kind in content.KINDS[each]]
        answers = await self.server.commands([(_LENGTHS[kinds[index]], page[index]) for index in shared])
        for index, answer in zip(shared, answers, strict=True):
            result[index] = int(answer)
        return result


async def _one(key: bytes) -> AsyncIterator[list[bytes]]:
    yield [key]
