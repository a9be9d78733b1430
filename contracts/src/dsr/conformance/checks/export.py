"""Rules of Export."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dsr.conformance.bench import Bench
from dsr.conformance.check import Check, Failed, NotApplicable, require
from dsr.conformance.checks import requests
from dsr.conformance.material import Person
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

_MAX_DATA = 1 << 20


@dataclass
class Part:
    """One collection as it was sent."""

    header: pb.CollectionHeader
    data: bytearray = field(default_factory=bytearray)
    records: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Copy:
    """A whole export, found consistent in itself."""

    parts: dict[str, Part]
    totals: pb.ExportTotals

    @property
    def records(self) -> dict[str, int]:
        """Collection to number of records, those without left out."""
        return {name: len(part.records) for name, part in self.parts.items() if part.records}


async def copy(bench: Bench, person: Person, instructions: Sequence[CollectionInstruction] | None = None) -> Copy:
    """Exports one person and checks that the answer agrees with itself."""
    grant = await requests.export_grant(bench)
    if instructions is not None:
        grant = bench.grant(Grant.OPERATION_EXPORT, list(instructions))
    return read_copy(await bench.answer("Export", requests.export(bench.sign(grant), person)))


def read_copy(messages: Sequence[pb.ExportResponse]) -> Copy:
    """What a stream of Export or Return brings, found consistent in itself."""
    parts: dict[str, Part] = {}
    part: Part | None = None
    totals: pb.ExportTotals | None = None
    for message in messages:
        kind = message.WhichOneof("part")
        require(totals is None, "something follows the totals")
        if kind == "header":
            require(part is None, "a header before the trailer of the collection before")
            require(message.header.collection not in parts, "a collection is sent twice")
            part = parts[message.header.collection] = Part(message.header)
        elif kind == "data":
            require(
                len(message.data) <= _MAX_DATA, f"a data message of {len(message.data):,} bytes; 1 MiB is the limit"
            )
            if part is None:
                raise Failed("data outside of a collection")
            part.data += message.data
        elif kind == "trailer":
            if part is None:
                raise Failed("a trailer without a header")
            _close(part, message.trailer)
            part = None
        elif kind == "totals":
            require(part is None, "totals before the last trailer")
            totals = message.totals
        else:
            raise Failed("a message without content")
    if totals is None:
        raise Failed("the export ends without totals")
    copied = Copy(parts, totals)
    sums = (len(parts), sum(len(p.records) for p in parts.values()), sum(len(p.data) for p in parts.values()))
    told = (totals.collections, totals.records, totals.bytes)
    require(told == sums, f"totals (collections, records, bytes) are {told}, and were {sums}")
    require(totals.snapshot_time.seconds, "snapshot_time is missing")
    return copied


def _close(part: Part, trailer: pb.CollectionTrailer) -> None:
    name = part.header.collection
    require(trailer.bytes == len(part.data), f"{name}: {trailer.bytes:,} bytes announced, {len(part.data):,} sent")
    require(trailer.sha256 == hashlib.sha256(part.data).digest(), f"{name}: the SHA-256 is of other bytes")
    require(not part.data or part.data.endswith(b"\n"), f"{name}: the last line doesn't end")
    declared = {f.name for f in part.header.fields}
    for line in bytes(part.data).split(b"\n")[:-1]:
        try:
            record = json.loads(line)
        except ValueError:
            raise Failed(f"{name}: a line is not JSON in UTF-8") from None
        require(isinstance(record, dict), f"{name}: a line is not a JSON object")
        require(set(record) == declared, f"{name}: a record's fields are not those of the header")
        part.records.append(record)
    require(
        trailer.records == len(part.records), f"{name}: {trailer.records} records announced, {len(part.records)} sent"
    )


class Complete(Check):
    rule = "export.complete"
    condition = "a person with records"
    code = "OK"
    meaning = (
        "Per collection a header, JSON Lines in messages of at most 1 MiB, a trailer with count, size and SHA-256; "
        "at the end the totals. The counts are Locate's."
    )
    caller = "keeps the parts if every number agrees; else throws them away and retries"
    remedy = "Count and hash the very bytes that you send, and reach the same records as Locate."

    async def run(self, bench: Bench) -> None:
        """Against Locate and against Describe."""
        await bench.needs(pb.CAPABILITY_EXPORT)
        copied = await copy(bench, bench.material.present)
        located = requests.records(await requests.locate_one(bench, bench.material.present))
        require(copied.records == located, f"copied {copied.records}, located {located}")
        personal = await bench.personal()
        for name, part in copied.parts.items():
            require(name in personal, f"{name} was not asked for")
            described = [(f.name, f.type) for f in personal[name].fields]
            require(
                [(f.name, f.type) for f in part.header.fields] == described, f"{name}: other fields than Describe's"
            )


class Absent(Check):
    rule = "export.absent"
    condition = "a person without records"
    code = "OK"
    meaning = "Totals of 0 records; collections may be sent empty."
    caller = "says so in the package"
    remedy = "Send the totals also when there is nothing else to send."

    async def run(self, bench: Bench) -> None:
        """An honest empty answer."""
        await bench.needs(pb.CAPABILITY_EXPORT)
        copied = await copy(bench, bench.material.absent)
        require(not copied.records, f"copied {copied.records}")


async def _largest(bench: Bench) -> pb.Collection:
    """The collection of the present person with the most records."""
    await bench.needs(pb.CAPABILITY_EXPORT)
    records = bench.material.present.records
    name = max(records, key=lambda n: records[n])
    collection = (await bench.personal()).get(name)
    if collection is None:
        raise Failed(f"Describe has no collection {name}, which the material names")
    if len(collection.fields) < 2:
        raise NotApplicable("the collection has a single field")
    return collection


class Redacted(Check):
    rule = "export.redacted"
    condition = "`redact_fields`"
    code = "OK"
    meaning = "The fields are in no record and not among the header's fields, but among `withheld_fields`."
    caller = "tells the person what was withheld"
    remedy = "Leave the fields out where the record is read, and name them in the header."

    async def run(self, bench: Bench) -> None:
        """The last field of a collection, withheld."""
        collection = await _largest(bench)
        field_name = collection.fields[-1].name
        instruction = CollectionInstruction(collection=collection.name, redact_fields=[field_name])
        part = (await copy(bench, bench.material.present, [instruction])).parts.get(collection.name)
        if part is None or not part.records:
            raise Failed("the collection was not copied")
        require(field_name not in {f.name for f in part.header.fields}, "the header has the field")
        require(list(part.header.withheld_fields) == [field_name], "withheld_fields must name it, and nothing else")


class Included(Check):
    rule = "export.included"
    condition = "`include_fields`"
    code = "OK"
    meaning = "Only these fields are in header and records."
    caller = "delivers what the right covers"
    remedy = "An empty `include_fields` is all; otherwise only what it names."

    async def run(self, bench: Bench) -> None:
        """The first field of a collection, alone."""
        collection = await _largest(bench)
        field_name = collection.fields[0].name
        instruction = CollectionInstruction(collection=collection.name, include_fields=[field_name])
        part = (await copy(bench, bench.material.present, [instruction])).parts.get(collection.name)
        if part is None or not part.records:
            raise Failed("the collection was not copied")
        require([f.name for f in part.header.fields] == [field_name], "the header has other fields")


class Unnamed(Check):
    rule = "export.unnamed"
    condition = "a collection with records that the grant doesn't name"
    code = "OK"
    meaning = "It is not exported."
    caller = "counts on it"
    remedy = "Start from the grant's instructions, not from your collections."

    async def run(self, bench: Bench) -> None:
        """A grant for one collection only."""
        collection = await _largest(bench)
        copied = await copy(bench, bench.material.present, [requests.instruct(collection.name)])
        require(list(copied.parts) == [collection.name], f"copied {sorted(copied.parts)}")


class UnknownField(Check):
    rule = "export.unknown-field"
    condition = "`redact_fields` or `include_fields` with a field that the collection doesn't have"
    code = "INVALID_ARGUMENT / FIELD_INVALID"
    meaning = "The data map is out of date; a misspelt redaction would redact nothing."
    caller = "stops; the data map is compared with Describe"
    remedy = "Check the fields of every instruction before you begin."

    async def run(self, bench: Bench) -> None:
        """Both lists."""
        collection = await _largest(bench)
        for name in ("redact_fields", "include_fields"):
            instruction = requests.instruct(collection.name)
            getattr(instruction, name).append("conformance_nothing")
            signed = bench.sign(bench.grant(Grant.OPERATION_EXPORT, [instruction]))
            answer = await bench.call("Export", requests.export(signed, bench.material.present))
            requests.refused(answer, self, name)


class NoSubject(Check):
    rule = "export.no-subject"
    condition = "no subject"
    code = "INVALID_ARGUMENT / FIELD_REQUIRED"
    meaning = "Nobody is named."
    caller = "doesn't retry; an engineer looks"
    remedy = "Refuse a missing subject before a query is built from it."

    async def run(self, bench: Bench) -> None:
        """With a good grant."""
        await bench.needs(pb.CAPABILITY_EXPORT)
        signed = bench.sign(await requests.export_grant(bench))
        requests.refused(await bench.call("Export", pb.ExportRequest(grant=signed)), self)


class UndeclaredCursor(Check):
    rule = "export.undeclared-cursor"
    condition = "`cursor`, though EXPORT_RESUME isn't declared"
    code = "UNIMPLEMENTED / METHOD_UNKNOWN"
    meaning = "It can't be resumed; an ignored cursor would send records twice."
    caller = "starts the export again"
    remedy = "Refuse a cursor that you can't honour."

    async def run(self, bench: Bench) -> None:
        """With a good grant."""
        await bench.needs(pb.CAPABILITY_EXPORT)
        if await bench.declares(pb.CAPABILITY_EXPORT_RESUME):
            raise NotApplicable("EXPORT_RESUME is declared")
        request = requests.export(bench.sign(await requests.export_grant(bench)), bench.material.present)
        request.cursor = "conformance"
        requests.refused(await bench.call("Export", request), self)


class Undeclared(Check):
    rule = "export.undeclared"
    condition = "EXPORT isn't declared"
    code = "UNIMPLEMENTED / METHOD_UNKNOWN"
    meaning = "The connector can't do this."
    caller = "doesn't retry; makes a manual task of it"
    remedy = "Answer UNIMPLEMENTED with ErrorInfo, which the framework's own answer for a missing method lacks."

    async def run(self, bench: Bench) -> None:
        """With a good grant."""
        if await bench.declares(pb.CAPABILITY_EXPORT):
            raise NotApplicable("EXPORT is declared")
        request = requests.export(bench.sign(await requests.export_grant(bench)), bench.material.present)
        requests.refused(await bench.call("Export", request), self)


CHECKS: Sequence[Check] = (
    Complete(),
    Absent(),
    Redacted(),
    Included(),
    Unnamed(),
    UnknownField(),
    NoSubject(),
    UndeclaredCursor(),
    Undeclared(),
)
