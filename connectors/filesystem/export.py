"""Turns files into JSON Lines, one file a line, without ever holding a file in memory."""

import base64
import hashlib
import mimetypes
import os
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Sequence, ValuesView
from contextlib import aclosing, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import orjson
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from connectors.copying import included_fields
from connectors.filesystem import tree
from connectors.filesystem.found import Found, Record
from connectors.filesystem.options import Collection, Options
from connectors.filesystem.threads import Threads
from connectors.objects.export import Exporter
from dsrkit.errors import DsrError, invalid

_BLOCK = 1 << 20
"""Bytes of one data message at most: the contract's 1 MiB."""
_READ = _BLOCK // 4 * 3
"""Bytes read at once: a multiple of 3, so that the pieces' base64 can be joined."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_FIELD_TYPES = {
    "size": ("integer", "int64"),
    "modified_time": ("datetime", "timestamp"),
    "content": ("string", "base64"),
}


def fields(collection: Collection) -> list[pb.Field]:
    """The fields of a record of the collection."""
    return described(collection.fields)


def described(names: Sequence[str]) -> list[pb.Field]:
    """Fields by their names."""
    known = ((name, *_FIELD_TYPES.get(name, ("string", "text"))) for name in names)
    return [
        pb.Field(name=name, type=kind, native_type=native, nullable=name == "modified_time")
        for name, kind, native in known
    ]


def check_instructions(options: Options, grant: Grant) -> None:
    """FIELD_INVALID for a collection or field that the source doesn't have: what it was to do would be left undone."""
    for index, instruction in enumerate(grant.instructions):
        path = f"grant.instructions[{index}]"
        collection = options.collections.get(instruction.collection)
        if collection is None:
            raise invalid(f"{path}.collection", "the source has no such collection; bring the data map up to date")
        known = set(collection.fields if isinstance(collection, Collection) else collection.record_fields)
        for name in ("redact_fields", "include_fields"):
            if not set(getattr(instruction, name)) <= known:
                raise invalid(f"{path}.{name}", "the collection has no such field; bring the data map up to date")


async def stream(
    options: Options,
    source: str,
    grant: Grant,
    subject: pb.Subject,
    found: Found,
    start: datetime,
    threads: Threads,
    lakes: Exporter | None,
) -> AsyncGenerator[pb.ExportResponse, None]:
    """Every collection the grant names, as found, then the totals."""
    totals = pb.ExportTotals()
    totals.snapshot_time.FromDatetime(start)
    for instruction in grant.instructions:
        collection = options.collections[instruction.collection]
        if not isinstance(collection, Collection):
            if lakes is not None:
                async with aclosing(lakes.collection(instruction, subject, found.lake, totals)) as messages:
                    async for message in messages:
                        yield message
            continue
        included = included_fields(collection.fields, instruction)
        yield pb.ExportResponse(
            header=pb.CollectionHeader(
                collection=instruction.collection,
                fields=[field for field in fields(collection) if field.name in included],
                primary_key=[name for name in ("path",) if name in included],
                withheld_fields=[name for name in collection.fields if name in instruction.redact_fields],
            )
        )
        records = found.records.get(instruction.collection, {}).values()
        async with aclosing(content(threads, options.root, source, records, included, totals)) as messages:
            async for message in messages:
                yield message
    yield pb.ExportResponse(totals=totals)


async def content(
    threads: Threads,
    root: Path,
    source: str,
    records: ValuesView[Record],
    included: Sequence[str],
    totals: pb.ExportTotals,
) -> AsyncGenerator[pb.ExportResponse, None]:
    """A collection's data and trailer, added to `totals`."""
    trailer, digest = pb.CollectionTrailer(records=len(records)), hashlib.sha256()
    with closing(blocks(root, source, records, included)) as pieces:
        while block := await threads.run(partial(next_block, pieces, digest)):
            trailer.bytes += len(block)
            yield pb.ExportResponse(data=block)
    trailer.sha256 = digest.digest()
    yield pb.ExportResponse(trailer=trailer)
    totals.collections += 1
    totals.records += trailer.records
    totals.bytes += trailer.bytes


def next_block(pieces: Iterator[bytes], digest: "hashlib._Hash") -> bytes:
    """The next block, hashed here and not on the event loop; empty at the end."""
    block = next(pieces, b"")
    digest.update(block)
    return block


def blocks(root: Path, source: str, records: Iterable[Record], included: Sequence[str]) -> Generator[bytes, None, None]:
    """The lines of all records, cut into blocks."""
    pending = bytearray()
    media_types = mimetypes.MimeTypes()
    with tree.translated(source), tree.root(root) as base:
        for record in records:
            for piece in _line(base, source, record, included, media_types):
                pending += piece
                while len(pending) >= _BLOCK:
                    with memoryview(pending) as view:
                        block = bytes(view[:_BLOCK])
                    del pending[:_BLOCK]
                    yield block
    if pending:
        yield bytes(pending)


def _line(
    base: int, source: str, record: Record, included: Sequence[str], media_types: mimetypes.MimeTypes
) -> Iterator[bytes]:
    digest = hashlib.sha256()
    facts = {
        "path": _shown(record.path),
        "size": record.size,
        "modified_time": _time(record.mtime_ns),
        "media_type": media_types.guess_type(record.path)[0] or "application/octet-stream",
        **{name: _shown(value) for name, value in record.values},
    }
    separator = b"{"
    for name in included:
        yield separator + orjson.dumps(name) + b":"
        separator = b","
        if name == "content":
            yield b'"'
            for piece in _read(base, source, record):
                digest.update(piece)
                yield base64.b64encode(piece)
            yield b'"'
        elif name == "sha256":
            if "content" not in included:
                for piece in _read(base, source, record):
                    digest.update(piece)
            yield orjson.dumps(digest.hexdigest())
        else:
            yield orjson.dumps(facts[name])
    yield b"{}\n" if separator == b"{" else b"}\n"


def _read(base: int, source: str, record: Record) -> Iterator[bytes]:
    """The file's bytes. SOURCE_BUSY if it isn't, or doesn't stay, the file that was found."""
    try:
        descriptor = tree.open_file(base, record.path)
    except (FileNotFoundError, NotADirectoryError):
        raise _changed(source) from None
    try:
        left = record.size
        while left:
            piece = _read_full(descriptor, min(_READ, left))
            if not piece:
                break
            left -= len(piece)
            yield piece
        if left or not record.is_still(os.fstat(descriptor)):
            raise _changed(source)
    finally:
        os.close(descriptor)


def _read_full(descriptor: int, size: int) -> bytes:
    """Exactly `size` bytes unless the file ends: a short read would put padding into the middle of the base64."""
    piece = os.read(descriptor, size)
    while len(piece) < size and (more := os.read(descriptor, size - len(piece))):
        piece += more
    return piece


def _shown(name: str) -> str:
    """A name as text. Bytes that are not UTF-8 are shown as `\\xNN`."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _time(nanoseconds: int) -> datetime | None:
    """The instant, to the microsecond; None where a file claims a year that the calendar doesn't have."""
    try:
        return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return None


def _changed(source: str) -> DsrError:
    return DsrError("SOURCE_BUSY", "A file changed while it was copied. Retry.", source=source)
