"""Copies keys and entries as JSON Lines, one key at a time."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import orjson
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from connectors.copying import Shape, stream
from connectors.redis import content, lastuse
from connectors.redis.connection import Ask, Server
from connectors.redis.found import Digests, Found, Record
from connectors.redis.options import LAST_USE, Collection, Options
from dsrkit.errors import DsrError

_TYPES = {"expire_time": ("datetime", "timestamp"), LAST_USE: ("datetime", "timestamp"), "value": ("any", "redis")}


def fields(collection: Collection) -> list[pb.Field]:
    """The fields of a record of the collection."""
    result = []
    for name in collection.fields:
        kind, native = _TYPES.get(name, ("string", "text"))
        nullable = name in _TYPES or (name in collection.identity and len(collection.names) > 1)
        result.append(pb.Field(name=name, type=kind, native_type=native, nullable=nullable))
    return result


def shapes(options: Options) -> Mapping[str, Shape]:
    """What is copied of each collection."""
    return {name: Shape(fields(c), c.primary_key) for name, c in options.collections.items()}


@dataclass(frozen=True)
class Exporter:
    """Copies out of one source."""

    options: Options
    server: Server
    digests: Digests
    source: str

    async def stream(self, grant: Grant, found: Found, start: datetime) -> AsyncGenerator[pb.ExportResponse, None]:
        """Every collection that the grant names, as found, then the totals."""

        async def lines(name: str, included: Sequence[str]) -> AsyncGenerator[bytes, None]:
            collection = self.options.collections[name]
            for record in found.records.get(name, {}).values():
                read = self._key if record.place[1] is None else self._entry
                facts = await read(collection, record)
                line = orjson.dumps({name: facts.get(name) for name in included}) + b"\n"
                for _ in range(record.times):
                    yield line

        async with aclosing(stream(shapes(self.options), grant, start, lines)) as messages:
            async for message in messages:
                yield message

    async def _key(self, collection: Collection, record: Record) -> Mapping[str, Any]:
        """A whole key, which must still be what was found and doesn't change while it is read."""
        key = record.place[0]
        kind, parts, expires = await self.server.steady(key, partial(_read, key))
        if self.digests.content(record.place, kind, map(self.digests.part, parts)) != record.digest:
            raise self._changed()
        value = content.value(kind, parts)
        return {
            **identities(record.values),
            "key": content.name(key),
            "type": kind,
            "expire_time": expires,
            LAST_USE: lastuse.of_key(collection, kind, parts),
            "value": value,
        }

    async def _entry(self, collection: Collection, record: Record) -> Mapping[str, Any]:
        key, entry = record.place
        part = await content.entry(self.server.command, key, record.kind, entry or b"")
        if part is None or self.digests.content(record.place, record.kind, [self.digests.part(part)]) != record.digest:
            raise self._changed()
        value = content.of_entry(record.kind, part)
        return {
            **identities(record.values),
            "key": content.name(key),
            "entry": content.name(part[0]),
            LAST_USE: lastuse.of_entry(collection, record.kind, part),
            "value": value,
        }

    def _changed(self) -> DsrError:
        return DsrError("SOURCE_BUSY", "A key changed while it was copied. Retry.", source=self.source)


async def _read(key: bytes, ask: Ask) -> tuple[str, list[content.Part], datetime | None]:
    kind = await content.kind_of(ask, key)
    parts = list({part: None async for part in content.parts(ask, key, kind)})
    return kind, parts, content.expiry(int(await ask("PEXPIRETIME", key)))


def identities(told: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Identity values by name; a list where there are several."""
    values: dict[str, list[str]] = {}
    for name, value in told:
        values.setdefault(name, []).append(value)
    return {name: several[0] if len(several) == 1 else several for name, several in values.items()}
