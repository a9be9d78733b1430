"""Amend: sets fields and flags in one person's records in one transaction, wholly or not at all.

Order within it: keep other attempts out; answer from the journal if done; find and lock; compare with what was
expected; what blocks; caps; set; read back; note in the journal. A preview stops before it would set.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from connectors.relational.amendable import Setting, Wanted, unfit, wanted
from connectors.relational.closure import Closure, load
from connectors.relational.compiler import Compiler
from connectors.relational.describe import finding_message
from connectors.relational.dialect import Database, Session
from connectors.relational.journal import Journal
from connectors.relational.model import Finding
from connectors.relational.sql import Sql, Values, conjunction, fill, join
from connectors.relational.summary import Summary, as_expected, summarise
from connectors.relational.together import together
from dsrkit.errors import DsrError

_T = Sql("t")
_FOR_PEOPLE = "Some of these records concern other people too (a SHARED reference). Have them put right by people."


@dataclass(frozen=True)
class _Counts:
    """Of one person's records in one collection: all, those in which something is to be set, and per setting those that
    are right and those that aren't yet."""

    records: int
    pending: int
    right: tuple[int, ...]
    wrong: tuple[int, ...]


@dataclass(frozen=True)
class Amender:
    """Amends under one grant. `max_records`: most records of one person that may be touched; 0 is no cap."""

    database: Database
    compiler: Compiler
    journal: Journal
    grant: Grant
    key: bytes
    max_records: int
    wanted: Mapping[str, Wanted] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "wanted", wanted(self.compiler.model, self.grant.amendments))

    async def run(self, request: pb.AmendRequest) -> AsyncGenerator[pb.AmendResponse, None]:
        """The contract's Amend. Values that don't fit are refused before anything is begun."""
        await self._check_values()
        try:
            amended = await (self._preview(request) if request.preview else self._amend(request))
        except _LeaveAlone as decision:
            amended = decision.amended
        amended.subject_ref = request.subject.subject_ref
        yield pb.AmendResponse(amended=amended)

    async def _preview(self, request: pb.AmendRequest) -> pb.Amended:
        async with self.database.snapshot(self.compiler.model) as session:
            counts = await self._found(session, request, set())
        return pb.Amended(outcome=pb.Amended.OUTCOME_PREVIEWED, collections=self._outcomes(counts))

    async def _amend(self, request: pb.AmendRequest) -> pb.Amended:
        async with self.database.transaction(self.compiler.model) as session:
            await self.journal.claim(session, self.grant.task, self.grant.attempt)
        return await together(self.database, self.compiler.model, lambda session: self._transaction(session, request))

    async def _transaction(self, session: Session, request: pb.AmendRequest) -> pb.Amended:
        digest = self.journal.subject(request.subject)
        done = await self.journal.hold(session, self.grant.task, self.grant.attempt, digest)
        if done is not None:
            replayed = [pb.AmendedCollection(**counts) for counts in done]
            return pb.Amended(outcome=pb.Amended.OUTCOME_REPLAYED, collections=replayed)
        before = await self._found(session, request, set(self.wanted))
        self._check_caps(before)
        await session.before_changes()
        for name, counts in before.items():
            if counts.pending:
                await self._set(session, self.wanted[name], counts)
        await self._read_back(session, before)
        outcomes = self._outcomes(before)
        noted = [{"collection": o.collection, "amended": o.amended, "unchanged": o.unchanged} for o in outcomes]
        await self.journal.record(session, self.grant.task, self.grant.attempt, digest, noted)
        return pb.Amended(outcome=pb.Amended.OUTCOME_AMENDED, collections=outcomes)

    async def _found(self, session: Session, request: pb.AmendRequest, locks: set[str]) -> dict[str, _Counts]:
        """The person's records in the collections named, if they are those expected and nothing blocks."""
        loaded = await load(session, self.compiler, [request.subject])
        records = await Closure(self.compiler, session, loaded, locks).run()
        summaries = (await summarise(session, self.compiler, records, self.key)).get(0, [])
        if not as_expected(request.expected, summaries, records):
            raise _LeaveAlone(pb.Amended(outcome=pb.Amended.OUTCOME_CHANGED))
        self._check_findings([summary for summary in summaries if summary.collection in self.wanted])
        return await self._counted(session, {name: number for name, number in records.items() if name in self.wanted})

    # Refusals

    async def _check_values(self) -> None:
        """VALUE_UNFIT names the first field that can't hold its value. One statement where all is well."""
        spelled = [
            (name, setting, text)
            for name, wanted in self.wanted.items()
            for setting in wanted.settings
            for text in (setting.value, setting.current)
            if text is not None
        ]
        if not spelled or await self._fit([(setting, text) for _, setting, text in spelled]):
            return
        for name, setting, text in spelled:
            if not await self._fit([(setting, text)]):
                raise unfit(name, setting.column.name)

    async def _fit(self, spelled: Sequence[tuple[Setting, str]]) -> bool:
        values = self.compiler.values()
        held = conjunction(
            fill("({fits})", fits=self.compiler.dialect.fits(setting.column, values.bind(text)))
            for setting, text in spelled
        )
        sql = fill("SELECT CASE WHEN {held} THEN 1 ELSE 0 END", held=held)
        try:
            async with self.database.snapshot(self.compiler.model) as session:
                return bool((await session.rows(values.statement(sql)))[0][0])
        except DsrError as error:
            if error.reason != "SOURCE_REJECTED":
                raise
            return False

    def _check_findings(self, summaries: Sequence[Summary]) -> None:
        """What stands in the way of erasing from a collection stands in the way of amending it."""
        involved = {summary.collection for summary in summaries}
        blocking = [f for f in self.compiler.model.findings if f.blocks and not involved.isdisjoint(f.concerns)]
        blocking += [Finding("SHARED_RECORDS", s.collection, _FOR_PEOPLE, True) for s in summaries if s.shared]
        if blocking:
            findings = map(finding_message, blocking)
            raise _LeaveAlone(pb.Amended(outcome=pb.Amended.OUTCOME_BLOCKED, findings=findings))

    def _check_caps(self, found: Mapping[str, _Counts]) -> None:
        beyond = any(counts.pending > self.wanted[name].cap for name, counts in found.items())
        if beyond or 0 < self.max_records < sum(counts.pending for counts in found.values()):
            raise _LeaveAlone(pb.Amended(outcome=pb.Amended.OUTCOME_CAP_EXCEEDED))

    # Changes

    async def _counted(self, session: Session, records: Mapping[str, int]) -> dict[str, _Counts]:
        found = {}
        for name, number in records.items():
            wanted, values = self.wanted[name], self.compiler.values()
            wrong = [self._wrong(setting, values) for setting in wanted.settings]
            right = [self._right(setting, values) for setting in wanted.settings]
            counted = join(", ", (_how_many(condition) for condition in [_any(wrong), *wrong, *right]))
            rows = self.compiler.found(wanted.collection, values.bind(number))
            sql = fill("SELECT count(*), {counted} FROM {rows}", counted=counted, rows=rows)
            total, pending, *each = [int(n) for n in (await session.rows(values.statement(sql)))[0]]
            half = len(wanted.settings)
            found[name] = _Counts(total, pending, right=tuple(each[half:]), wrong=tuple(each[:half]))
        return found

    async def _set(self, session: Session, wanted: Wanted, counts: _Counts) -> None:
        dialect, collection, values = self.compiler.dialect, wanted.collection, self.compiler.values()
        assignments = []
        for setting in wanted.settings:
            value = self._value(setting, values)
            if setting.current is not None:
                column = self.compiler.column(_T, setting.column.name)
                template = "CASE WHEN {wrong} THEN {value} ELSE {column} END"
                value = fill(template, wrong=self._wrong(setting, values), value=value, column=column)
            assignments.append((setting.column.name, value))
        wrong = _any([self._wrong(setting, values) for setting in wanted.settings])
        address = conjunction([self.compiler.addressed(collection), fill("({wrong})", wrong=wrong)])
        keys = self.compiler.keys(collection, values.bind(counts.records))
        sql = dialect.update(self.compiler.table(collection), assignments, keys, address)
        number = await session.run(values.statement(sql))
        if number != counts.pending:
            raise self._inconsistent(collection.name, f"{number} amended, {counts.pending} planned")

    async def _read_back(self, session: Session, before: Mapping[str, _Counts]) -> None:
        """Row-level security, triggers and rules can skip rows or undo a change in silence."""
        after = await self._counted(session, {name: counts.records for name, counts in before.items()})
        for name, counts in before.items():
            right = tuple(r + w for r, w in zip(counts.right, counts.wrong, strict=True))
            if (after[name].records, after[name].pending, after[name].right) != (counts.records, 0, right):
                raise self._inconsistent(name, f"{after[name].pending} not as they were set")

    def _value(self, setting: Setting, values: Values) -> Sql:
        if setting.value is None:
            return Sql("NULL")
        return self.compiler.dialect.held(setting.column, values.bind(setting.value))

    def _right(self, setting: Setting, values: Values) -> Sql:
        return self._is(setting, setting.value, values)

    def _wrong(self, setting: Setting, values: Values) -> Sql:
        wrong = fill("NOT ({right})", right=self._right(setting, values))
        if setting.current is None:
            return wrong
        return conjunction([self._is(setting, setting.current, values), wrong])

    def _is(self, setting: Setting, text: str | None, values: Values) -> Sql:
        dialect, column = self.compiler.dialect, self.compiler.column(_T, setting.column.name)
        if text is None:
            return fill("{column} IS NULL", column=column)
        held = dialect.text(dialect.held(setting.column, values.bind(text)))
        return dialect.same(dialect.text(column), held)

    def _outcomes(self, found: Mapping[str, _Counts]) -> list[pb.AmendedCollection]:
        nothing = _Counts(0, 0, (), ())
        counted = [(name, found.get(name, nothing)) for name in self.wanted]
        return [
            pb.AmendedCollection(collection=name, amended=c.pending, unchanged=c.records - c.pending)
            for name, c in counted
        ]

    def _inconsistent(self, name: str, what: str) -> DsrError:
        text = (
            f"{name}: the database did not do what it was asked ({what}), so nothing was changed. "
            "Look for row-level security, triggers and rules on the table."
        )
        return DsrError("SOURCE_INCONSISTENT", text, source=self.grant.source, why=f"{name}: {what}")


def _any(conditions: Sequence[Sql]) -> Sql:
    return join(" OR ", (fill("({condition})", condition=condition) for condition in conditions))


def _how_many(condition: Sql) -> Sql:
    return fill("count(CASE WHEN {condition} THEN 1 END)", condition=condition)


class _LeaveAlone(Exception):
    """The person stays as it is, for the reason in `amended`."""

    def __init__(self, amended: pb.Amended) -> None:
        super().__init__()
        self.amended = amended
