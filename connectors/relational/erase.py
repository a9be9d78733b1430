"""Erase: one person is one transaction, wholly or not at all.

Order within it: keep other attempts out; answer from the journal if done; find and lock; compare with what was
expected; caps; what blocks; anonymise; delete, children before parents; count again; note in the journal.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from connectors.relational.closure import Closure, load
from connectors.relational.compiler import Compiler
from connectors.relational.describe import finding_message
from connectors.relational.dialect import Database, Session
from connectors.relational.instructions import by_collection, constants
from connectors.relational.journal import Journal, counted
from connectors.relational.model import Collection, Finding, Inbound
from connectors.relational.order import deletion_order, loose_columns, loosened, stuck
from connectors.relational.outside import at_erase
from connectors.relational.sql import Sql, Values, conjunction, fill, join
from connectors.relational.summary import Summary, as_expected, summarise
from connectors.relational.together import together
from dsrkit.errors import DsrError

_DELETE = CollectionInstruction.ACTION_DELETE
_ANONYMISE = CollectionInstruction.ACTION_ANONYMISE
_RETAIN = CollectionInstruction.ACTION_RETAIN
_TOUCHED = (_DELETE, _ANONYMISE)


@dataclass(frozen=True)
class Eraser:
    """Erases under one grant. `max_records`: most records of one person that may be touched; 0 is no cap."""

    database: Database
    compiler: Compiler
    journal: Journal
    grant: Grant
    key: bytes
    max_records: int

    @cached_property
    def instructions(self) -> Mapping[str, CollectionInstruction]:
        return by_collection(self.compiler.model, self.grant.instructions)

    async def run(self, subjects: Sequence[pb.EraseSubject]) -> AsyncGenerator[pb.EraseResponse, None]:
        """The contract's Erase. A person whose rows are locked by others is passed over, and SOURCE_BUSY comes last."""
        _ = self.instructions  # wrong ones are refused before anything is begun
        async with self.database.transaction(self.compiler.model) as session:
            await self.journal.claim(session, self.grant.task, self.grant.attempt)
        busy: DsrError | None = None
        for subject in subjects:
            try:
                erased = await self._person(subject)
            except DsrError as error:
                if error.reason != "SOURCE_BUSY":
                    raise
                busy = error
                continue
            erased.subject_ref = subject.subject.subject_ref
            yield pb.EraseResponse(erased=erased)
        if busy is not None:
            raise busy

    async def _person(self, subject: pb.EraseSubject) -> pb.Erased:
        try:
            model = self.compiler.model
            return await together(self.database, model, lambda session: self._transaction(session, subject))
        except _LeaveAlone as decision:
            return decision.erased

    async def _transaction(self, session: Session, subject: pb.EraseSubject) -> pb.Erased:
        digest = self.journal.subject(subject.subject)
        done = await self.journal.hold(session, self.grant.task, self.grant.attempt, digest)
        if done is not None:
            replayed = [pb.CollectionOutcome(**counts) for counts in done]
            return pb.Erased(outcome=pb.Erased.OUTCOME_REPLAYED, collections=replayed)
        loaded = await load(session, self.compiler, [subject.subject])
        records = await Closure(self.compiler, session, loaded, self._locks(subject)).run()
        summaries = (await summarise(session, self.compiler, records, self.key)).get(0, [])
        if not as_expected(subject.expected, summaries, records):
            raise _LeaveAlone(pb.Erased(outcome=pb.Erased.OUTCOME_CHANGED))
        if self._too_many(records):
            raise _LeaveAlone(pb.Erased(outcome=pb.Erased.OUTCOME_CAP_EXCEEDED))
        self._check_findings(summaries)
        if blocking := await at_erase(session, self.compiler, records, self.instructions):
            raise _LeaveAlone(_blocked(blocking))
        outcomes = [self._outcome(summary) for summary in summaries if summary.collection in self.instructions]
        await session.before_changes()
        await self._anonymise(session, records)
        await self._delete(session, records)
        await self.journal.record(session, self.grant.task, self.grant.attempt, digest, counted(outcomes))
        return pb.Erased(outcome=pb.Erased.OUTCOME_ERASED, collections=outcomes)

    # Refusals, before anything is changed

    def _locks(self, subject: pb.EraseSubject) -> set[str]:
        """Collections whose rows are to be locked. None where a cap or a changed set will refuse anyway."""
        if self._too_many({count.collection: count.records for count in subject.expected}):
            return set()
        return {name for name, instruction in self.instructions.items() if instruction.action in _TOUCHED}

    def _too_many(self, records: Mapping[str, int]) -> bool:
        """Whether a cap, of an instruction or of the source, forbids to touch so many records."""
        touched = {name: number for name, number in records.items() if self._action(name) in _TOUCHED}
        if any(number > self.instructions[name].cap for name, number in touched.items()):
            return True
        return 0 < self.max_records < sum(touched.values())

    def _check_findings(self, summaries: Sequence[Summary]) -> None:
        involved = {summary.collection for summary in summaries}
        blocking = [
            finding
            for finding in self.compiler.model.findings
            if finding.blocks and not involved.isdisjoint(finding.concerns)
        ]
        for summary in summaries:
            name, instruction = summary.collection, self.instructions.get(summary.collection)
            if instruction is not None and instruction.action == CollectionInstruction.ACTION_UNSPECIFIED:
                detail = "There are records and the instruction names no action. Say DELETE, ANONYMISE or RETAIN."
                blocking.append(Finding("ACTION_MISSING", name, detail, True))
            elif instruction is not None and instruction.action == _DELETE and summary.shared:
                detail = (
                    "Some of these records concern other people too (a SHARED reference). Anonymise or retain them."
                )
                blocking.append(Finding("SHARED_RECORDS", name, detail, True))
        if self.compiler.dialect.checks_rows:
            blocking += stuck(self.compiler.model, self._deleted(involved))
        if blocking:
            raise _LeaveAlone(_blocked(blocking))

    def _deleted(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if self._action(name) == _DELETE]

    # Changes

    async def _anonymise(self, session: Session, records: Mapping[str, int]) -> None:
        for name in records:
            instruction = self.instructions.get(name)
            if instruction is None or instruction.action != _ANONYMISE:
                continue
            collection, values = self.compiler.model.collections[name], self.compiler.values()
            sql = self.compiler.dialect.update(
                self.compiler.table(collection),
                self._assignments(collection, instruction, values),
                self.compiler.keys(collection, values.bind(records[name])),
                self.compiler.addressed(collection),
            )
            self._agree(name, "anonymised", await session.run(values.statement(sql)), records[name])
            if collection.table.keyed:
                values = self.compiler.values()
                found = self.compiler.found(collection, values.bind(records[name]))
                empty = emptied(self.compiler, collection, instruction, values)
                sql = fill("SELECT count(*) FROM {found} WHERE {empty}", found=found, empty=empty)
                self._agree(name, "anonymised", (await session.rows(values.statement(sql)))[0][0], records[name])

    def _assignments(
        self, collection: Collection, instruction: CollectionInstruction, values: Values
    ) -> list[tuple[str, Sql]]:
        dialect, columns = self.compiler.dialect, collection.table.column
        return [
            (name, Sql("NULL") if text is None else dialect.constant(columns[name], values.bind(text)))
            for name, text in constants(instruction).items()
        ]

    async def _delete(self, session: Session, records: Mapping[str, int]) -> None:
        names, model = self._deleted(records), self.compiler.model
        loose = loosened(model, names) if self.compiler.dialect.checks_rows else ()
        for inbound in loose:
            await self._loosen(session, inbound, records)
        for step in deletion_order(model, names, loose):
            values = self.compiler.values()
            parts = [
                (
                    self.compiler.table(collection),
                    self.compiler.keys(collection, values.bind(records[collection.name])),
                    self.compiler.addressed(collection),
                )
                for collection in step
            ]
            if len(parts) == 1:
                gone = [await session.run(values.statement(self.compiler.dialect.delete(*parts[0])))]
            else:
                sql = self.compiler.dialect.delete_together(parts)
                gone = list((await session.rows(values.statement(sql)))[0])
            for collection, number in zip(step, gone, strict=True):
                self._agree(collection.name, "deleted", number, records[collection.name])
        await self._check_gone(session, [model.collections[name] for name in names], records)

    async def _loosen(self, session: Session, inbound: Inbound, records: Mapping[str, int]) -> None:
        """Takes a reference out of rows that go anyway, so that they can go one after the other."""
        collection, values = self.compiler.model.collections[inbound.table.full_name], self.compiler.values()
        number = records[collection.name]
        sql = self.compiler.dialect.update(
            self.compiler.table(collection),
            [(name, Sql("NULL")) for name in loose_columns(collection, inbound)],
            self.compiler.keys(collection, values.bind(number)),
            self.compiler.addressed(collection),
        )
        self._agree(collection.name, "loosened", await session.run(values.statement(sql)), number)

    async def _check_gone(self, session: Session, gone: Sequence[Collection], records: Mapping[str, int]) -> None:
        """A trigger may put rows back that a delete counted."""
        if not gone:
            return
        values = self.compiler.values()
        parts = [
            fill("SELECT count(*) FROM {found}", found=self.compiler.found(c, values.bind(records[c.name])))
            for c in gone
        ]
        for collection, row in zip(gone, await session.rows(values.statement(join(" UNION ALL ", parts))), strict=True):
            self._agree(collection.name, "left behind", row[0], 0)

    def _agree(self, name: str, what: str, number: int, planned: int) -> None:
        """SOURCE_INCONSISTENT, and with it a rollback, unless the database did exactly what was asked.

        Row-level security, triggers and rules can skip rows in silence.
        """
        if number != planned:
            message = (
                f"{name}: {number} records were {what} where {planned} had to be, so nothing was changed. "
                "Look for row-level security, triggers and rules on the table."
            )
            why = f"{name}: {number} {what}, {planned} planned"
            raise DsrError("SOURCE_INCONSISTENT", message, source=self.grant.source, why=why)

    def _outcome(self, summary: Summary) -> pb.CollectionOutcome:
        outcome = pb.CollectionOutcome(collection=summary.collection)
        match self._action(summary.collection):
            case CollectionInstruction.ACTION_DELETE:
                outcome.deleted = summary.records
            case CollectionInstruction.ACTION_ANONYMISE:
                outcome.anonymised = summary.records
            case _:
                outcome.retained = summary.records
        return outcome

    def _action(self, name: str) -> int:
        instruction = self.instructions.get(name)
        return CollectionInstruction.ACTION_UNSPECIFIED if instruction is None else instruction.action


def emptied(compiler: Compiler, collection: Collection, instruction: CollectionInstruction, values: Values) -> Sql:
    """Whether the row of `t` is as ANONYMISE leaves it."""
    dialect, conditions = compiler.dialect, []
    for name, text in constants(instruction).items():
        column = compiler.column(Sql("t"), name)
        if text is None:
            conditions.append(fill("{column} IS NULL", column=column))
        else:
            wanted = dialect.text(dialect.constant(collection.table.column[name], values.bind(text)))
            conditions.append(dialect.same(dialect.text(column), wanted))
    return conjunction(conditions)


class _LeaveAlone(Exception):
    """The person stays as it is, for the reason in `erased`."""

    def __init__(self, erased: pb.Erased) -> None:
        super().__init__()
        self.erased = erased


def _blocked(findings: Sequence[Finding]) -> pb.Erased:
    return pb.Erased(outcome=pb.Erased.OUTCOME_BLOCKED, findings=map(finding_message, findings))
