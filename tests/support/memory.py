"""A backend in memory, for tests of the services: honest by default, and able to be down, slow, changed or a liar.

Served by the real connector host over a real socket, under real grants. As a backend it is tested by the conformance
suite like every other (tests/conformance).
"""

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Amendment, CollectionInstruction, Grant
from dsr.v1.subject_pb2 import Identity

from dsrkit.errors import DsrError, invalid

Row = dict[str, Any]


@dataclass
class Table:
    """A collection: its rows, and which fields are identities."""

    identities: dict[str, tuple[str, bool]]
    """Field to (type, unique)."""
    rows: list[Row] = field(default_factory=list)
    people: bool = False
    key: str = "id"
    amendable: frozenset[str] = frozenset()
    flags: dict[str, str] = field(default_factory=dict)
    """Flag to field; set it is "yes", cleared "no"."""


@dataclass
class MemoryBackend:
    """Collections of rows. Set `down`, `gate`, `lies` or `findings` to misbehave."""

    source: str
    tables: dict[str, Table]
    down: bool = False
    gate: asyncio.Event | None = None
    """When set, calls wait for it before they answer: all, or those in `gated`."""
    gated: frozenset[str] = frozenset({"locate", "export", "erase", "verify"})
    calls: list[str] = field(default_factory=list)
    deletes_nothing: bool = False
    anonymises_nothing: bool = False
    amends_nothing: bool = False
    amend_runs: int = 0
    amended: dict[str, tuple[int, pb.Amended]] = field(default_factory=dict)
    miscounts: int = 0
    findings: list[pb.Finding] = field(default_factory=list)
    journal: dict[str, tuple[int, pb.Erased]] = field(default_factory=dict)
    erase_runs: int = 0
    whole: bool = False
    """Whether it returns and destroys all of itself."""

    async def _arrive(self, call: str) -> None:
        self.calls.append(call)
        if self.gate is not None and call in self.gated:
            await self.gate.wait()
        if self.down:
            raise DsrError("SOURCE_UNAVAILABLE", "The backend can't be reached.", source=self.source)

    async def describe(self) -> pb.DescribeResponse:
        """What there is."""
        if self.down:
            raise DsrError("SOURCE_UNAVAILABLE", "The backend can't be reached.", source=self.source)
        collections = [
            pb.Collection(
                name=name,
                fields=[
                    pb.Field(name=f, type="string", nullable=True, amendable=f in table.amendable)
                    for f in self._fields(table)
                ],
                flags=[
                    pb.Flag(name=name, field=f, set_value='"yes"', clear_value='"no"')
                    for name, f in table.flags.items()
                ],
                primary_key=[table.key],
                identity_fields=[
                    pb.IdentityField(field=f, type=kind, match=pb.IdentityField.MATCH_EXACT, unique=unique)
                    for f, (kind, unique) in table.identities.items()
                ],
                people=table.people,
                record_estimate=len(table.rows),
            )
            for name, table in self.tables.items()
        ]
        capabilities = [
            pb.CAPABILITY_EXPORT,
            pb.CAPABILITY_ERASE,
            pb.CAPABILITY_ANONYMISE,
            pb.CAPABILITY_ATOMIC,
            pb.CAPABILITY_INACTIVE,
            pb.CAPABILITY_COUNT,
        ]
        if any(table.amendable or table.flags for table in self.tables.values()):
            capabilities.append(pb.CAPABILITY_AMEND)
        if self.whole:
            capabilities += [pb.CAPABILITY_RETURN, pb.CAPABILITY_DESTROY]
        return pb.DescribeResponse(connector="memory", version="1", capabilities=capabilities, collections=collections)

    def _fields(self, table: Table) -> list[str]:
        return sorted({name for row in table.rows for name in row} | set(table.identities) | {table.key})

    async def probe(self) -> pb.ProbeResponse:
        """Always there, unless it is down."""
        return pb.ProbeResponse(reachable=not self.down, encrypted_in_transit=True)

    def _matches(self, table: Table, name: str, subject: pb.Subject) -> list[Row]:
        wanted = {(i.type, i.value) for i in subject.identities}
        chosen = {c.collection: set(c.people) for c in subject.people}
        found = [
            row for row in table.rows if any((kind, row.get(f)) in wanted for f, (kind, _) in table.identities.items())
        ]
        if table.people and name in chosen:
            found = [row for row in found if json.dumps([row[table.key]]) in chosen[name]]
        return found

    def _fingerprint(self, rows: Iterable[Row]) -> bytes:
        lines = sorted(json.dumps(row, sort_keys=True) for row in rows)
        return hashlib.sha256("\n".join(lines).encode()).digest()

    def _counts(self, subject: pb.Subject) -> list[pb.CollectionCount]:
        counts = []
        for name, table in self.tables.items():
            rows = self._matches(table, name, subject)
            if rows:
                counts.append(
                    pb.CollectionCount(collection=name, records=len(rows), fingerprint=self._fingerprint(rows))
                )
        return counts

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        """Finds by equality."""
        await self._arrive("locate")
        for subject in request.subjects:
            located = pb.Located(
                subject_ref=subject.subject_ref, collections=self._counts(subject), findings=self.findings
            )
            for name, table in self.tables.items():
                rows = self._matches(table, name, subject)
                for row in rows:
                    person = json.dumps([row[table.key]]) if table.people else ""
                    if table.people:
                        located.people.add(collection=name, person=person)
                    for f, (kind, unique) in table.identities.items():
                        if row.get(f):
                            known = Identity(type=kind, value=row[f])
                            located.identities.add(identity=known, collection=name, unique=unique, person=person)
                if rows and request.with_anchors:
                    values = [json.dumps([row[table.key]]) for row in rows]
                    anchors = pb.Anchors(
                        subject_ref=subject.subject_ref, collection=name, fields=[table.key], values=values
                    )
                    yield pb.LocateResponse(anchors=anchors)
            yield pb.LocateResponse(located=located)

    async def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        """Copies, as instructed."""
        await self._arrive("export")
        for message in self._copy(
            [
                (
                    instruction,
                    self._matches(self.tables[instruction.collection], instruction.collection, request.subject),
                )
                for instruction in grant.instructions
                if instruction.collection in self.tables
            ]
        ):
            yield message

    async def give_back(self, request: pb.ReturnRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        """Copies everything."""
        # Before it waits: what happens meanwhile comes after the snapshot.
        everything = [(CollectionInstruction(collection=n), list(table.rows)) for n, table in self.tables.items()]
        await self._arrive("return")
        for message in self._copy(everything):
            yield message

    async def destroy(self, request: pb.DestroyRequest, grant: Grant) -> AsyncIterator[pb.DestroyResponse]:
        """All of what was returned, and no more."""
        await self._arrive("destroy")
        caps = {i.collection: i.cap for i in grant.instructions}
        outcome = pb.Destroyed.OUTCOME_COUNTED if request.count_only else pb.Destroyed.OUTCOME_DESTROYED
        over = any(len(table.rows) > caps.get(name, 0) for name, table in self.tables.items())
        if over and not request.count_only:
            outcome = pb.Destroyed.OUTCOME_CAP_EXCEEDED
        destroyed = pb.Destroyed(outcome=outcome)
        for name, table in self.tables.items():
            gone = len(table.rows) if outcome == pb.Destroyed.OUTCOME_DESTROYED else 0
            if gone:
                table.rows = []
            destroyed.collections.add(collection=name, destroyed=gone, left=len(table.rows))
        yield pb.DestroyResponse(destroyed=destroyed)

    def _copy(self, wanted: Iterable[tuple[CollectionInstruction, list[Row]]]) -> Iterator[pb.ExportResponse]:
        collections = records = size = 0
        for instruction, rows in wanted:
            table = self.tables[instruction.collection]
            if not rows:
                continue
            named = [f for f in self._fields(table) if f not in instruction.redact_fields]
            shown = [f for f in named if not instruction.include_fields or f in instruction.include_fields]
            withheld = [f for f in self._fields(table) if f not in shown]
            yield pb.ExportResponse(
                header=pb.CollectionHeader(
                    collection=instruction.collection,
                    fields=[pb.Field(name=f, type="string", nullable=True) for f in shown],
                    primary_key=[table.key] if table.key in shown else [],
                    withheld_fields=withheld,
                )
            )
            data = "".join(json.dumps({f: row.get(f) for f in shown}) + "\n" for row in rows).encode()
            yield pb.ExportResponse(data=data)
            yield pb.ExportResponse(
                trailer=pb.CollectionTrailer(
                    records=len(rows) + self.miscounts, bytes=len(data), sha256=hashlib.sha256(data).digest()
                )
            )
            collections, records, size = collections + 1, records + len(rows), size + len(data)
        totals = pb.ExportTotals(collections=collections, records=records, bytes=size)
        totals.snapshot_time.GetCurrentTime()
        yield pb.ExportResponse(totals=totals)

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        """Erases, once per task."""
        await self._arrive("erase")
        for wanted in request.subjects:
            yield pb.EraseResponse(erased=self._erase(wanted, grant))

    def _erase(self, wanted: pb.EraseSubject, grant: Grant) -> pb.Erased:
        subject = wanted.subject
        key = f"{grant.task}/{subject.subject_ref}"
        if key in self.journal:
            attempt, before = self.journal[key]
            if grant.attempt < attempt:
                raise DsrError("ATTEMPT_SUPERSEDED", "A newer attempt was here.")
            replayed = pb.Erased()
            replayed.CopyFrom(before)
            replayed.outcome = pb.Erased.OUTCOME_REPLAYED
            return replayed
        expected = {c.collection: c.fingerprint for c in wanted.expected}
        if expected != {c.collection: c.fingerprint for c in self._counts(subject)}:
            return pb.Erased(subject_ref=subject.subject_ref, outcome=pb.Erased.OUTCOME_CHANGED)
        instructions = {i.collection: i for i in grant.instructions}
        erased = pb.Erased(subject_ref=subject.subject_ref, outcome=pb.Erased.OUTCOME_ERASED)
        for count in wanted.expected:
            if _touches(instructions[count.collection]) and count.records > instructions[count.collection].cap:
                return pb.Erased(subject_ref=subject.subject_ref, outcome=pb.Erased.OUTCOME_CAP_EXCEEDED)
        self.erase_runs += 1
        for count in wanted.expected:
            erased.collections.append(self._treat(count.collection, subject, instructions[count.collection]))
        self.journal[key] = (grant.attempt, erased)
        return erased

    def _treat(self, name: str, subject: pb.Subject, instruction: CollectionInstruction) -> pb.CollectionOutcome:
        table = self.tables[name]
        rows = self._matches(table, name, subject)
        outcome = pb.CollectionOutcome(collection=name)
        if instruction.action == CollectionInstruction.ACTION_RETAIN:
            outcome.retained = len(rows)
        elif instruction.action == CollectionInstruction.ACTION_ANONYMISE:
            for row in [] if self.anonymises_nothing else rows:
                for rule in instruction.anonymise:
                    row[rule.field] = json.loads(rule.constant) if rule.HasField("constant") else None
            outcome.anonymised = len(rows)
        else:
            if not self.deletes_nothing:
                table.rows = [row for row in table.rows if row not in rows]
            outcome.deleted = len(rows) + self.miscounts
        return outcome

    async def verify(self, request: pb.VerifyRequest) -> AsyncIterator[pb.VerifyResponse]:
        """Looks for the anchors."""
        await self._arrive("verify")
        kept = {
            i.collection
            for i in request.instructions
            if i.action in (CollectionInstruction.ACTION_RETAIN, CollectionInstruction.ACTION_ANONYMISE)
        }
        for wanted in request.subjects:
            verified = pb.Verified(subject_ref=wanted.subject.subject_ref)
            for anchors in wanted.anchors:
                table = self.tables[anchors.collection]
                values = set(anchors.values)
                left = sum(json.dumps([row[table.key]]) in values for row in table.rows)
                if self.deletes_nothing:
                    left = 0
                if left and anchors.collection in kept:
                    verified.remnants.add(collection=anchors.collection, explained=left)
                elif left:
                    verified.remnants.add(collection=anchors.collection, unexplained=left, fields=anchors.fields)
            yield pb.VerifyResponse(verified=verified)

    async def amend(self, request: pb.AmendRequest, grant: Grant) -> AsyncIterator[pb.AmendResponse]:
        """Amends, once per task."""
        await self._arrive("amend")
        amended = self._amend(request, grant)
        amended.subject_ref = request.subject.subject_ref
        yield pb.AmendResponse(amended=amended)

    def _amend(self, request: pb.AmendRequest, grant: Grant) -> pb.Amended:
        changes = [(a, self._changes(a)) for a in grant.amendments]
        attempt, before = self.amended.get(grant.task, (0, pb.Amended()))
        if grant.attempt < attempt:
            raise DsrError("ATTEMPT_SUPERSEDED", "A newer attempt was here.")
        if attempt and not request.preview:
            self.amended[grant.task] = (grant.attempt, before)
            return pb.Amended(outcome=pb.Amended.OUTCOME_REPLAYED, collections=before.collections)
        expected = {c.collection: c.fingerprint for c in request.expected}
        if expected != {c.collection: c.fingerprint for c in self._counts(request.subject)}:
            return pb.Amended(outcome=pb.Amended.OUTCOME_CHANGED)
        outcome = pb.Amended.OUTCOME_PREVIEWED if request.preview else pb.Amended.OUTCOME_AMENDED
        result, todo = pb.Amended(outcome=outcome), []
        for amendment, values in changes:
            rows = self._matches(self.tables[amendment.collection], amendment.collection, request.subject)
            wrong = [(row, due) for row in rows if (due := _due(row, values))]
            if len(wrong) > amendment.cap and not request.preview:
                return pb.Amended(outcome=pb.Amended.OUTCOME_CAP_EXCEEDED)
            todo += wrong
            counts = {"amended": len(wrong), "unchanged": len(rows) - len(wrong)}
            result.collections.add(collection=amendment.collection, **counts)
        if not request.preview:
            self.amend_runs += 1
            self.amended[grant.task] = (grant.attempt, result)
            for row, due in [] if self.amends_nothing else todo:
                row.update(due)
        return result

    def _changes(self, amendment: Amendment) -> list[tuple[str, str | None, str | None]]:
        """Field, value, and the value that is wrong."""
        table = self.tables.get(amendment.collection)
        if table is None:
            raise invalid("grant.amendments", "the source has no such collection")
        flags = [(name, "yes") for name in amendment.set_flags] + [(name, "no") for name in amendment.clear_flags]
        for name in [f.field for f in amendment.fields if f.field not in table.amendable] + [
            name for name, _ in flags if name not in table.flags
        ]:
            raise DsrError("FIELD_NOT_AMENDABLE", "Not here.", collection=amendment.collection, field=name)
        for f in amendment.fields:
            if len(f.value) > 40:
                raise DsrError("VALUE_UNFIT", "At most 40 characters.", collection=amendment.collection, field=f.field)
        found = [(f.field, f.value, f.current_value if f.HasField("current_value") else None) for f in amendment.fields]
        return [*found, *((table.flags[name], value, None) for name, value in flags)]

    async def list_inactive(
        self, request: pb.ListInactiveRequest, grant: Grant
    ) -> AsyncIterator[pb.ListInactiveResponse]:
        """By the latest of a person's times, all of which must be known."""
        await self._arrive("list_inactive")
        wanted, table = grant.inactivity, self.tables[grant.inactivity.collection]
        names = [f for f, (kind, unique) in table.identities.items() if kind == wanted.identity_type and unique]
        if len(names) != 1:
            raise DsrError("SOURCE_REJECTED", "No unique identity of that type.", source=self.source, why="IDENTITY")
        times: dict[str, list[datetime | None]] = defaultdict(list)
        for row in table.rows:
            if row.get(names[0]) and request.value in ("", row[names[0]]):
                text = row.get(wanted.field)
                times[row[names[0]]].append(datetime.fromisoformat(text) if text else None)
        before = wanted.before.ToDatetime(UTC)
        unknown = [who for who, seen in times.items() if None in seen and wanted.field]
        found = [
            who
            for who, seen in sorted(times.items())
            if not wanted.field or (who not in unknown and max(t for t in seen if t) < before)
        ]
        if not request.count_only:
            people = [Identity(type=wanted.identity_type, value=who) for who in found]
            yield pb.ListInactiveResponse(page=pb.InactivePage(identities=people))
        yield pb.ListInactiveResponse(totals=pb.InactiveTotals(people=len(found), unknown=len(unknown)))

    async def count_people(self, request: pb.CountPeopleRequest, grant: Grant) -> AsyncIterator[pb.CountPeopleResponse]:
        """By the first unique identity of each collection of people."""
        await self._arrive("count_people")
        everybody: set[str] = set()
        for name, table in self.tables.items():
            for f, (kind, _) in [i for i in table.identities.items() if i[1][1]][:1] if table.people else []:
                people = {row[f] for row in table.rows if row.get(f)}
                certainty = pb.CERTAINTY_EXACT
                count = pb.PeopleCount(collection=name, identity_type=kind, people=len(people), certainty=certainty)
                yield pb.CountPeopleResponse(count=count)
                everybody |= people
        if not everybody:
            raise DsrError("NOT_COUNTABLE", "Nobody is told apart.", source=self.source)
        totals = pb.PeopleTotals(people=len(everybody), certainty=pb.CERTAINTY_EXACT)
        yield pb.CountPeopleResponse(totals=totals)

    async def close(self) -> None:
        """Nothing to close."""


def _due(row: Row, values: Iterable[tuple[str, str | None, str | None]]) -> Row:
    """What is to be set in a row, and isn't yet."""
    return {f: v for f, v, current in values if row.get(f) != v and current in (None, row.get(f))}


def _touches(instruction: CollectionInstruction) -> bool:
    return instruction.action in (CollectionInstruction.ACTION_DELETE, CollectionInstruction.ACTION_ANONYMISE)
