"""The messages of an Export around a backend's lines: headers, blocks of at most 1 MiB, counts and checksums."""

import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from dsrkit.errors import invalid

_BLOCK = 1 << 20
"""Bytes of one data message at most: the contract's 1 MiB."""


@dataclass(frozen=True)
class Shape:
    """What the records of a collection look like."""

    fields: Sequence[pb.Field]
    primary_key: Sequence[str] = ()

    @property
    def names(self) -> list[str]:
        """The fields' names, in order."""
        return [field.name for field in self.fields]


Lines = Callable[[str, Sequence[str]], AsyncGenerator[bytes, None]]
"""A collection's records as JSON Lines with only these fields, in any pieces."""


def check_instructions(shapes: Mapping[str, Shape], grant: Grant) -> None:
    """FIELD_INVALID for a collection or field that the source doesn't have: what it was to do would be left undone."""
    for index, instruction in enumerate(grant.instructions):
        path = f"grant.instructions[{index}]"
        if instruction.collection not in shapes:
            raise invalid(f"{path}.collection", "the source has no such collection; bring the data map up to date")
        for name in ("redact_fields", "include_fields"):
            if not set(getattr(instruction, name)) <= set(shapes[instruction.collection].names):
                raise invalid(f"{path}.{name}", "the collection has no such field; bring the data map up to date")


async def stream(
    shapes: Mapping[str, Shape], grant: Grant, start: datetime, lines: Lines
) -> AsyncGenerator[pb.ExportResponse, None]:
    """Every collection that the grant names, then the totals. `start`: the instant that the copy shows."""
    totals = pb.ExportTotals()
    totals.snapshot_time.FromDatetime(start)
    for instruction in grant.instructions:
        shape = shapes[instruction.collection]
        included = included_fields(shape.names, instruction)
        header = pb.CollectionHeader(
            collection=instruction.collection,
            fields=[field for field in shape.fields if field.name in included],
            primary_key=shape.primary_key if set(shape.primary_key) <= set(included) else [],
            withheld_fields=[name for name in shape.names if name in instruction.redact_fields],
        )
        async with aclosing(copied(header, lines(instruction.collection, included), totals)) as messages:
            async for message in messages:
                yield message
    yield pb.ExportResponse(totals=totals)


async def copied(
    header: pb.CollectionHeader, lines: AsyncGenerator[bytes, None], totals: pb.ExportTotals
) -> AsyncGenerator[pb.ExportResponse, None]:
    """One collection from its header to its trailer, added to `totals`. A line's end ends a record."""
    yield pb.ExportResponse(header=header)
    trailer, digest = pb.CollectionTrailer(), hashlib.sha256()
    async with aclosing(blocks_of(lines)) as blocks:
        async for block in blocks:
            digest.update(block)
            trailer.records += block.count(b"\n")
            trailer.bytes += len(block)
            yield pb.ExportResponse(data=block)
    trailer.sha256 = digest.digest()
    yield pb.ExportResponse(trailer=trailer)
    totals.collections += 1
    totals.records += trailer.records
    totals.bytes += trailer.bytes


def included_fields(names: Sequence[str], instruction: CollectionInstruction) -> Sequence[str]:
    """Those of a collection's fields that an instruction lets out, in their order."""
    wanted = set(instruction.include_fields) or set(names)
    return [name for name in names if name in wanted and name not in instruction.redact_fields]


async def blocks_of(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The pieces, cut and joined into blocks of one message each."""
    pending = bytearray()
    async with aclosing(pieces):
        async for piece in pieces:
            pending += piece
            while len(pending) >= _BLOCK:
                yield bytes(pending[:_BLOCK])
                del pending[:_BLOCK]
    if pending:
        yield bytes(pending)
