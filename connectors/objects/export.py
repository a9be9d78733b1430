"""Copies objects and rows as JSON Lines, without ever holding an object in memory."""

import base64
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Container, Generator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import orjson
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from connectors.copying import copied, included_fields
from connectors.filesystem.threads import Threads
from connectors.lake.record import Hit, Unreadable
from connectors.lake.search import Search
from connectors.objects.bridge import Bridge
from connectors.objects.find import key_versions, wanted
from connectors.objects.found import Digests, Found, Object
from connectors.objects.options import LAKE_FIELDS, OBJECT_FIELDS, Collection, Options
from connectors.objects.scan import opened, records
from connectors.objects.store import Facts, Gone, Store, Version
from dsrkit import jsonlines
from dsrkit.errors import DsrError, invalid

_PIECE = 3 << 18
"""Bytes encoded at once: a multiple of 3, so that the pieces' base64 can be joined."""

_TYPES = {
    "size": ("integer", "int64"),
    "modified_time": ("datetime", "timestamp"),
    "content": ("string", "base64"),
    "record": ("object", "json"),
    "metadata": ("object", "json"),
    "tags": ("object", "json"),
}
_NULLABLE = frozenset({"media_type", "metadata", "tags", "content", "sha256"})
_BESIDE = ("metadata", "tags")


def fields(collection: Collection) -> list[pb.Field]:
    """The fields of a record of the collection."""
    return _described(collection, collection.record_fields)


def whole_fields(collection: Collection) -> list[pb.Field]:
    """The fields of a version where a whole source is returned: objects are objects, those of a lake too."""
    names = () if collection.lake else [name for name in collection.names if name not in _BESIDE]
    before, after = OBJECT_FIELDS[1:-2], OBJECT_FIELDS[-2:]
    return _described(collection, [OBJECT_FIELDS[0], *names, *before, *_BESIDE, *after])


def _described(collection: Collection, names: Sequence[str]) -> list[pb.Field]:
    result = []
    for name in names:
        kind, native = _TYPES.get(name, ("string", "text"))
        if collection.lake and name in collection.fields:
            kind = native = collection.fields[name]
        elif collection.lake and name in collection.identity:
            kind = native = "any"
        nullable = name in _NULLABLE or name in collection.fields or name in collection.tagged
        result.append(pb.Field(name=name, type=kind, native_type=native, nullable=nullable or kind == "any"))
    return result


def check_instructions(options: Options, grant: Grant) -> None:
    """FIELD_INVALID for a collection or field that the source doesn't have: what it was to do would be left undone."""
    for index, instruction in enumerate(grant.instructions):
        path = f"grant.instructions[{index}]"
        collection = options.collections.get(instruction.collection)
        if collection is None:
            raise invalid(f"{path}.collection", "the source has no such collection; bring the data map up to date")
        for name in ("redact_fields", "include_fields"):
            if not set(getattr(instruction, name)) <= set(collection.record_fields):
                raise invalid(f"{path}.{name}", "the collection has no such field; bring the data map up to date")


@dataclass(frozen=True)
class Exporter:
    """Copies out of one store."""

    store: Store
    options: Options
    digests: Digests
    threads: Threads
    source: str

    async def stream(
        self, grant: Grant, subject: pb.Subject, found: Found, start: datetime
    ) -> AsyncGenerator[pb.ExportResponse, None]:
        """Every collection that the grant names, as found, then the totals."""
        totals = pb.ExportTotals()
        totals.snapshot_time.FromDatetime(start)
        for instruction in grant.instructions:
            async with aclosing(self.collection(instruction, subject, found, totals)) as messages:
                async for message in messages:
                    yield message
        yield pb.ExportResponse(totals=totals)

    async def collection(
        self, instruction: CollectionInstruction, subject: pb.Subject, found: Found, totals: pb.ExportTotals
    ) -> AsyncGenerator[pb.ExportResponse, None]:
        """One collection, counted in `totals`."""
        collection = self.options.collections[instruction.collection]
        included = included_fields(collection.record_fields, instruction)
        header = _header(collection, instruction, included)
        lines = self._lines(instruction.collection, collection, subject, found, included)
        async with aclosing(copied(header, lines, totals)) as messages:
            async for message in messages:
                yield message

    async def _lines(
        self,
        name: str,
        collection: Collection,
        subject: pb.Subject,
        found: Found,
        included: Sequence[str],
    ) -> AsyncGenerator[bytes, None]:
        """The collection's lines, in pieces."""
        try:
            if not collection.lake:
                for item in found.objects.get(name, {}).values():
                    async for piece in self._object(item, included):
                        yield piece
                return
            unread = {place for place, why in found.unsearched.get(name, {}).items() if why != "BROKEN_RECORD"}
            for key in found.rows.get(name, {}):
                async with aclosing(self._rows(key, collection, subject, included, unread)) as rows:
                    async for line in rows:
                        yield line
        except (Gone, Unreadable):
            raise DsrError("SOURCE_BUSY", "An object changed while it was copied. Retry.", source=self.source) from None

    async def _object(self, item: Object, included: Sequence[str]) -> AsyncGenerator[bytes, None]:
        version = item.version
        facts = Facts()
        if version.state in ("CURRENT", "NONCURRENT") and not version.obstacle:
            facts = await self.store.facts(version)
        has_content = (version.readable and not version.obstacle) or facts.restored
        content = self.store.read(version) if has_content else None
        async with aclosing(line(told(version, facts, dict(item.values)), included, content)) as pieces:
            async for piece in pieces:
                yield piece

    async def _rows(
        self,
        key: str,
        collection: Collection,
        subject: pb.Subject,
        included: Sequence[str],
        unread: Container[tuple[str, str]],
    ) -> AsyncGenerator[bytes, None]:
        """The person's records in an object: those of the current version, then what only older ones hold. `unread`:
        what the search couldn't read either, as a finding says."""
        if collection.format is None:
            return
        search = Search(collection.format, wanted(collection, [subject]), delimiter=collection.delimiter)
        told: dict[str, int] = {}
        for version in await key_versions(self.store, key):
            if (version.key, version.id) in unread:
                continue
            if version.size == 0 or not (
                version.readable or (version.archived and (await self.store.facts(version)).restored)
            ):
                continue
            bridge = Bridge()
            rows = self._version_rows(bridge, version, collection, search, told, included)
            while line := await self.threads.run(partial(next, rows, b""), bridge.cancelled.set):
                yield line

    def _version_rows(
        self,
        bridge: Bridge,
        version: Version,
        collection: Collection,
        search: Search,
        told: dict[str, int],
        included: Sequence[str],
    ) -> Generator[bytes, None, None]:
        here: dict[str, int] = {}
        with opened(bridge, self.store, version, collection) as source:
            for hit in records(search, source):
                digest = self.digests.row(version.key, hit.data)
                here[digest] = here.get(digest, 0) + 1
                if here[digest] > told.get(digest, 0):
                    told[digest] = here[digest]
                    yield _row(version.key, collection, hit, included)


def told(version: Version, facts: Facts, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of a version beside its content."""
    return {
        **values,
        "path": version.key,
        "version": version.id,
        "state": version.state,
        "size": version.size if facts.size is None else facts.size,
        "modified_time": version.modified,
        "media_type": facts.media_type or None,
    }


async def line(
    facts: Mapping[str, Any], included: Sequence[str], content: AsyncIterator[bytes] | None
) -> AsyncGenerator[bytes, None]:
    """One version as a line, in pieces. `content`: None where it has none, or none that can be read."""
    digest = hashlib.sha256()
    separator = b"{"
    for name in included:
        yield separator + orjson.dumps(name) + b":"
        separator = b","
        if name in ("content", "sha256") and content is None:
            yield b"null"
        elif name == "content" and content is not None:
            yield b'"'
            async for piece in _whole_pieces(content):
                digest.update(piece)
                yield base64.b64encode(piece)
            yield b'"'
        elif name == "sha256" and content is not None:
            if "content" not in included:
                async for piece in content:
                    digest.update(piece)
            yield orjson.dumps(digest.hexdigest())
        else:
            yield orjson.dumps(facts.get(name))
    yield b"{}\n" if separator == b"{" else b"}\n"


def _header(collection: Collection, instruction: CollectionInstruction, included: Sequence[str]) -> pb.CollectionHeader:
    return pb.CollectionHeader(
        collection=instruction.collection,
        fields=[field for field in fields(collection) if field.name in included],
        primary_key=primary_key(collection) if set(primary_key(collection)) <= set(included) else [],
        withheld_fields=[name for name in collection.record_fields if name in instruction.redact_fields],
    )


def primary_key(collection: Collection) -> list[str]:
    """What identifies a record; records of a lake have nothing."""
    return [] if collection.lake else ["path", "version"]


def _row(key: str, collection: Collection, hit: Hit, included: Sequence[str]) -> bytes:
    """One record as a line. Numbers keep the digits they were written with."""
    facts: dict[str, bytes] = {LAKE_FIELDS[0]: orjson.dumps(key)}
    for index, name in enumerate(collection.identity):
        values = [value for rule, value in hit.names if rule == index]
        facts[name] = orjson.dumps(values[0] if len(values) == 1 else (values or None))
    if collection.fields:
        record = json.loads(hit.data, parse_int=jsonlines.Number, parse_float=jsonlines.Number)
        facts |= {name: jsonlines.dumps(record.pop(name, None)).encode() for name in collection.fields}
        facts[LAKE_FIELDS[1]] = jsonlines.dumps(record).encode()
    else:
        facts[LAKE_FIELDS[1]] = hit.data
    return b"{" + b",".join(orjson.dumps(name) + b":" + facts[name] for name in included) + b"}\n"


async def _whole_pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces whose length is a multiple of 3, the last one excepted."""
    pending = bytearray()
    async for chunk in chunks:
        pending += chunk
        while len(pending) >= _PIECE:
            yield bytes(pending[:_PIECE])
            del pending[:_PIECE]
    if pending:
        yield bytes(pending)
