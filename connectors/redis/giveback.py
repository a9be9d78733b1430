"""Return: every record of every collection. Small keys many at a time, large ones a page of elements at a time.

Each key is shown as of one instant. One that has expired, or was removed, since SCAN named it isn't there any more.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any

import orjson
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant
from redis.exceptions import WatchError

from connectors.copying import Shape, stream
from connectors.redis import content, documents, lastuse, who
from connectors.redis.connection import Ask
from connectors.redis.content import HASH, LIST, SET, STREAM, ZSET, Part
from connectors.redis.everything import Everything, open_once
from connectors.redis.export import fields, identities
from connectors.redis.options import LAST_USE, Collection
from dsrkit.errors import DsrError

READ_SMALL = files("connectors.redis").joinpath("read_small.lua").read_text()
_SMALL = 1 << 16
"""Bytes of a key that is read together with others."""
_FEW = 1_024
"""Elements of such a key: the server weighs them all, which takes it microseconds a key."""
_TOGETHER = 100
_GONE = -2
"""PEXPIRETIME of a key that isn't there."""


@dataclass(frozen=True)
class Returner:
    """Returns one source."""

    everything: Everything

    async def run(self) -> AsyncGenerator[pb.ExportResponse, None]:
        """The contract's Return."""
        server, collections = self.everything.server, self.everything.options.collections
        await server.require_primary()
        shapes = {name: Shape(_fields(collection), collection.primary_key) for name, collection in collections.items()}
        everything = Grant(instructions=[CollectionInstruction(collection=name) for name in collections])
        async with aclosing(stream(shapes, everything, await server.now(), self._lines)) as messages:
            async for message in messages:
                yield message

    async def _lines(self, name: str, included: Sequence[str]) -> AsyncGenerator[bytes, None]:
        collection = self.everything.options.collections[name]
        async with aclosing(self.everything.once(name)) as pages:
            async for page in pages:
                for start in range(0, len(page), _TOGETHER):
                    some = page[start : start + _TOGETHER]
                    words = ("EVAL", READ_SMALL, len(some), *some, _SMALL, _FEW)
                    for key, answer in zip(some, await self.everything.server.command(*words), strict=True):
                        kind, expires, held = answer[0].decode(), int(answer[1]), answer[2]
                        if kind != "none" and held is not None:
                            yield self._small(collection, key, kind, content.parts_of(kind, held), expires)
                        elif kind != "none":
                            async with aclosing(self._large(collection, key)) as pieces:
                                async for piece in pieces:
                                    yield piece

    def _small(self, collection: Collection, key: bytes, kind: str, parts: Sequence[Part], expires: int) -> bytes:
        """The lines of one key."""
        if collection.each != "key":
            return b"".join(self._entries(collection, key, kind, parts, expires))
        facts = _about(collection, key, kind, who.key_document(collection, kind, parts), expires, parts[-1:])
        return _line({**facts, "value": content.value(kind, parts)})

    async def _large(self, collection: Collection, key: bytes) -> AsyncGenerator[bytes, None]:
        """Lines of one key, in pieces. SOURCE_BUSY if it changes meanwhile, for what was sent can't be taken back."""
        try:
            async with self.everything.server.watching([key]) as watching:
                kind = await content.kind_of(watching.command, key)
                expires = int(await watching.command("PEXPIRETIME", key))
                if expires != _GONE:
                    shown = self._entries_of if collection.each != "key" else self._key
                    async with aclosing(shown(collection, key, kind, expires, watching.command)) as pieces:
                        async for piece in pieces:
                            yield piece
                    await watching.exec("TYPE", key)
        except WatchError:
            raise self._changed() from None

    async def _entries_of(
        self, collection: Collection, key: bytes, kind: str, expires: int, ask: Ask
    ) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._pages(ask, key, kind)) as pages:
            async for page in pages:
                yield b"".join(self._entries(collection, key, kind, page, expires))

    async def _key(
        self, collection: Collection, key: bytes, kind: str, expires: int, ask: Ask
    ) -> AsyncGenerator[bytes, None]:
        """One line: what there is to say, then the value, element by element. A string is one element."""
        if kind not in (HASH, SET, ZSET, LIST, STREAM):
            parts = [part async for part in content.parts(ask, key, kind)]
            document = who.key_document(collection, kind, parts)
            facts = _about(collection, key, kind, document, expires, ())
            yield _line({**facts, "value": content.value(kind, parts)})
            return
        document, newest = {}, list[Part]()
        firsts = documents.first_names(collection.looked_at)
        if kind == HASH and firsts:
            document = documents.of_hash(firsts, await ask("HMGET", key, *firsts), collection.looked_at)
        elif kind == STREAM:
            newest = content.parts_of(kind, await ask("XREVRANGE", key, "+", "-", "COUNT", 1))
        opening, closing = (b"{", b"}") if kind == HASH else (b"[", b"]")
        facts = _about(collection, key, kind, document, expires, newest)
        between = orjson.dumps(facts)[:-1] + b',"value":' + opening
        async with aclosing(self._pages(ask, key, kind)) as pages:
            async for page in pages:
                inner = orjson.dumps(content.value(kind, page))[1:-1]
                if inner:
                    yield between + inner
                    between = b","
        yield (b"" if between == b"," else between) + closing + b"}\n"

    async def _pages(self, ask: Ask, key: bytes, kind: str) -> AsyncGenerator[list[Part], None]:
        """All elements, each once."""
        if kind not in (HASH, SET, ZSET):
            async for page in content.pages(ask, key, kind):
                yield page
            return
        with open_once(self.everything.state_dir) as once:
            async for page in content.pages(ask, key, kind):
                known = {part[0]: part for part in page}
                first = await self.everything.threads.run(partial(once.first, list(known)))
                yield [known[name] for name in first]

    def _entries(
        self, collection: Collection, key: bytes, kind: str, parts: Iterable[Part], expires: int
    ) -> list[bytes]:
        """A line for each entry. SOURCE_REJECTED for a key that can't hold any: it would be left out in silence."""
        if kind not in content.KINDS[collection.each]:
            why = "a shared key is of another type than `each` says; correct the declaration"
            text = f"The source can't be returned: {why}."
            raise DsrError("SOURCE_REJECTED", text, source=self.everything.source, why=why)
        lines = []
        for part in parts:
            part = part[1:] if kind == LIST else part
            document: documents.Document = {}
            if collection.looked_at:
                document = who.entry_document(collection, kind, part)
            names = [*who.in_entry(collection, part[0]), *who.in_document(collection, document)]
            facts = {"key": content.name(key), **_named(collection, names), "entry": content.name(part[0])}
            facts |= _used(collection, document, kind, part) | {"expire_time": content.expiry(expires)}
            lines.append(_line({**facts, "value": content.of_entry(kind, part)}))
        return lines

    def _changed(self) -> DsrError:
        return DsrError("SOURCE_BUSY", "A key changed while it was returned. Retry.", source=self.everything.source)


def _fields(collection: Collection) -> list[pb.Field]:
    """Those of a copy; of a shared key also when it expires."""
    declared = fields(collection)
    if any(field.name == "expire_time" for field in declared):
        return declared
    *others, value = declared
    return [*others, pb.Field(name="expire_time", type="datetime", native_type="timestamp", nullable=True), value]


def _about(
    collection: Collection,
    key: bytes,
    kind: str,
    document: documents.Document,
    expires: int,
    newest: Sequence[Part],
) -> dict[str, Any]:
    """All but its value."""
    names = _named(collection, [*who.in_key(collection, key), *who.in_document(collection, document)])
    used = _used(collection, document, kind, next(iter(newest), None))
    return {"key": content.name(key), **names, "type": kind, "expire_time": content.expiry(expires), **used}


def _used(collection: Collection, document: documents.Document, kind: str, part: Part | None) -> dict[str, Any]:
    if collection.last_use is None:
        return {}
    return {LAST_USE: lastuse.shown(lastuse.stated(collection, document, kind, part))}


def _named(collection: Collection, names: who.Names) -> dict[str, Any]:
    return dict.fromkeys(collection.names) | identities(sorted(set(names)))


def _line(facts: Mapping[str, Any]) -> bytes:
    return orjson.dumps(facts) + b"\n"
