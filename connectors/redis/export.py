"""Copies keys and entries as JSON Lines, one key at a time."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from connectors.redis import content
from connectors.redis.connection import Ask, Server
from connectors.redis.found import Digests, Found, Record
from connectors.redis.options import Collection, Options
from dsrkit.errors import DsrError, invalid

_BLOCK = 1 << 20
"""Bytes of one data message at most: the contract's 1 MiB."""
_TYPES = {"expire_time": ("datetime", "timestamp"), "value": ("any", "redis")}


def fields(collection: Collection) -> list[pb.Field]:
    """The fields of a record of the collection."""
    result = []
    for name in collection.fields:
        kind, native = _TYPES.get(name, ("string", "text"))
        nullable = name in ("expire_time", "value") or (name in collection.identity and len(collection.names) > 1)
        result.append(pb.Field(name=name, type=kind, native_type=native, nullable=nullable))
    return result


def check_instructions(options: Options, grant: Grant) -> None:
    """FIELD_INVALID for a collection or field that the source doesn't have: what it was to do would be left undone."""
    for index, instruction in enumerate(grant.instructions):
        path = f"grant.instructions[{index}]"
        collection = options.collections.get(instruction.collection)
        if collection is None:
            raise invalid(f"{path}.collection", "the source has no such collection; bring the data map up to date")
        for name in ("redact_fields", "include_fields"):
            if not set(getattr(instruction, name)) <= set(collection.fields):
                raise invalid(f"{path}.{name}", "the collection has no such field; bring the data map up to date")


@dataclass(frozen=True)
class Exporter:
    """Copies out of one source."""

    options: Options
    server: Server
    digests: Digests
    source: str

    async def stream(self, grant: Grant, found: Found, start: datetime) -> AsyncGenerator[pb.ExportResponse, None]:
        """Every collection that the grant names, as found, then the totals."""
        totals = pb.ExportTotals()
        totals.snapshot_time.FromDatetime(start)
        for instruction in grant.instructions:
            collection = self.options.collections[instruction.collection]
            included = _included(collection, instruction)
            yield pb.ExportResponse(header=_header(collection, instruction, included))
            trailer, digest = pb.CollectionTrailer(), hashlib.sha256()
            records = found.records.get(instruction.collection, {}).values()
            async with aclosing(_blocks(self._lines(collection, list(records), included, trailer))) as blocks:
                async for block in blocks:
                    digest.update(block)
                    trailer.bytes += len(block)
                    yield pb.ExportResponse(data=block)
            trailer.sha256 = digest.digest()
            yield pb.ExportResponse(trailer=trailer)
            totals.collections += 1
            totals.records += trailer.records
            totals.bytes += trailer.bytes
        yield pb.ExportResponse(totals=totals)

    async def _lines(
        self, collection: Collection, records: Sequence[Record], included: Sequence[str], trailer: pb.CollectionTrailer
    ) -> AsyncIterator[bytes]:
        for record in records:
            facts = await (self._key(record) if record.place[1] is None else self._entry(record))
            line = orjson.dumps({name: facts.get(name) for name in included}) + b"\n"
            for _ in range(record.times):
                trailer.records += 1
                yield line

    async def _key(self, record: Record) -> Mapping[str, Any]:
        """A whole key, which must still be what was found and doesn't change while it is read."""
        key = record.place[0]
        kind, parts, expires = await self.server.steady(key, partial(_read, key))
        if self.digests.content(record.place, kind, map(self.digests.part, parts)) != record.digest:
            raise self._changed()
        value = content.value(kind, parts)
        return {**_identities(record), "key": content.name(key), "type": kind, "expire_time": expires, "value": value}

    async def _entry(self, record: Record) -> Mapping[str, Any]:
        key, entry = record.place
        part = await content.entry(self.server.command, key, record.kind, entry or b"")
        if part is None or self.digests.content(record.place, record.kind, [self.digests.part(part)]) != record.digest:
            raise self._changed()
        value: Any = None
        if record.kind == content.STREAM:
            value = content.fields(part[1:])
        elif record.kind in (content.HASH, content.ZSET):
            value = content.shown(part[1]) if record.kind == content.HASH else content.score(part[1])
        return {**_identities(record), "key": content.name(key), "entry": content.name(part[0]), "value": value}

    def _changed(self) -> DsrError:
        return DsrError("SOURCE_BUSY", "A key changed while it was copied. Retry.", source=self.source)


async def _read(key: bytes, ask: Ask) -> tuple[str, list[content.Part], datetime | None]:
    kind = await content.kind_of(ask, key)
    parts = list({part: None async for part in content.parts(ask, key, kind)})
    expires = int(await ask("PTTL", key))
    return kind, parts, datetime.fromtimestamp(int(await ask("PEXPIRETIME", key)) / 1000, UTC) if expires > 0 else None


def _identities(record: Record) -> dict[str, Any]:
    """Identity values by name; a list where there are several."""
    values: dict[str, list[str]] = {}
    for name, value in record.values:
        values.setdefault(name, []).append(value)
    return {name: several[0] if len(several) == 1 else several for name, several in values.items()}


def _header(collection: Collection, instruction: CollectionInstruction, included: Sequence[str]) -> pb.CollectionHeader:
    return pb.CollectionHeader(
        fields=[field for field in fields(collection) if field.name in included],
        collection=instruction.collection,
        primary_key=collection.primary_key if set(collection.primary_key) <= set(included) else [],
        withheld_fields=[name for name in collection.fields if name in instruction.redact_fields],
    )


def _included(collection: Collection, instruction: CollectionInstruction) -> Sequence[str]:
    wanted = set(instruction.include_fields) or set(collection.fields)
    return [name for name in collection.fields if name in wanted and name not in instruction.redact_fields]


async def _blocks(lines: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The lines, cut and joined into blocks of one message each."""
    pending = bytearray()
    async for line in lines:
        pending += line
        while len(pending) >= _BLOCK:
            yield bytes(pending[:_BLOCK])
            del pending[:_BLOCK]
    if pending:
        yield bytes(pending)
