"""Destroy: every row of the source, in transactions of a bounded size, children before parents.

Each transaction notes in the source's own journal what it deleted; so whoever comes next, after a kill at any instant,
goes on with what is left, and knows what went before. What forbids it is looked for before the first row. At the end it
is counted: what the journal says is no proof.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import cached_property
from uuid import uuid4

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from connectors.relational.closure import lock
from connectors.relational.compiler import Compiler
from connectors.relational.describe import finding_message
from connectors.relational.dialect import Database, Session
from connectors.relational.giveback import count, find
from connectors.relational.graph import components
from connectors.relational.instructions import by_collection
from connectors.relational.journal import Journal, counted
from connectors.relational.model import Collection, Finding, Inbound
from connectors.relational.order import loose_columns, loosened
from connectors.relational.sql import Sql, conjunction, fill
from connectors.relational.whole import BLOCKING, STAYS
from dsrkit.errors import DsrError

ROWS = 10_000
"""Most rows of one transaction. Rows that refer to each other in a circle of columns that can't be null go in one."""


@dataclass(frozen=True)
class Destroyer:
    """Destroys under one grant."""

    database: Database
    compiler: Compiler
    journal: Journal
    grant: Grant

    async def run(self, *, count_only: bool) -> AsyncGenerator[pb.DestroyResponse, None]:
        """The contract's Destroy."""
        caps = by_collection(self.compiler.model, self.grant.instructions)
        blocking = await self._blocking()
        result = await self._counted(blocking)
        if count_only:
            result.outcome = pb.Destroyed.OUTCOME_COUNTED
        elif unnamed := [c.collection for c in result.collections if c.left and not _deletes(caps.get(c.collection))]:
            detail = "The collection has records and the grant doesn't say that they go: they weren't returned."
            result.findings.extend(finding_message(Finding("UNNAMED_COLLECTION", n, detail, True)) for n in unnamed)
            result.outcome = pb.Destroyed.OUTCOME_BLOCKED
        elif blocking:
            result.outcome = pb.Destroyed.OUTCOME_BLOCKED
        elif any(c.left + c.destroyed > caps[c.collection].cap for c in result.collections if c.left):
            result.outcome = pb.Destroyed.OUTCOME_CAP_EXCEEDED
        else:
            async with self.database.transaction(self.compiler.model) as session:
                await self.journal.claim(session, self.grant.task, self.grant.attempt)
            gone = {c.collection: c.destroyed for c in result.collections}
            await self._destroy({name: told.cap - gone.get(name, 0) for name, told in caps.items() if _deletes(told)})
            result = await self._counted(())
            if any(c.left for c in result.collections):
                why = "Records came while the source was being destroyed. Stop what writes there; it goes on then."
                raise DsrError("SOURCE_BUSY", why, source=self.grant.source)
            result.outcome = pb.Destroyed.OUTCOME_DESTROYED
        yield pb.DestroyResponse(destroyed=result)

    async def _counted(self, blocking: Sequence[Finding]) -> pb.Destroyed:
        model = self.compiler.model
        stays = [finding for finding in model.findings if finding.code in STAYS]
        result = pb.Destroyed(findings=map(finding_message, (*blocking, *stays)))
        async with self.database.snapshot(model) as session:
            destroyed = await self.journal.progress(session, self.grant.task)
            for name in model.collections:
                left = await count(session, self.compiler, name)
                result.collections.add(collection=name, destroyed=destroyed.get(name, 0), left=left)
        return result

    # Refusals, before anything is changed

    async def _blocking(self) -> list[Finding]:
        compiler, model = self.compiler, self.compiler.model
        found = [f for f in model.findings if f.code in BLOCKING and f.collection in model.collections]
        for name, collection in model.collections.items():
            if "DELETE" not in collection.table.privileges:
                found.append(Finding("PRIVILEGE_MISSING", name, "The connector's role may not DELETE. Grant it.", True))
        if compiler.dialect.checks_rows:
            detail = "Rows refer to each other in a circle whose columns may not be null. Make one of them nullable."
            found += [Finding("CIRCULAR_REFERENCE", s[0].name, detail, True) for s in self._order if self._together(s)]
        async with self.database.snapshot(model) as session:
            for name in model.collections:
                for inbound in model.inbound.get(name, ()):
                    if inbound.enforced and await self._stranger(session, inbound):
                        there = inbound.table.full_name
                        detail = f"Records of {there} that aren't within the scope refer to these ({inbound.name})."
                        found.append(Finding("REFERENCED_OUTSIDE_SCOPE", name, detail, True))
        return found

    async def _stranger(self, session: Session, inbound: Inbound) -> bool:
        covered = self.compiler.model.collections.get(inbound.table.full_name)
        if covered is not None and not covered.scoped:
            return False
        values = self.compiler.values()
        return bool(await session.rows(values.statement(self.compiler.strangers(inbound, covered, values))))

    # The order of going

    @cached_property
    def _loose(self) -> list[Inbound]:
        """References within circles that are taken out first; never one by which the scope is known."""
        model, found = self.compiler.model, []
        for inbound in loosened(model, model.collections):
            via = model.collections[inbound.table.full_name].scope_via
            if via is None or via.name != inbound.name:
                found.append(inbound)
        return found

    @cached_property
    def _binding(self) -> list[tuple[str, str]]:
        """Which collection's rows must go before which other's: those that refer, and those whose scope leads there."""
        model = self.compiler.model
        inbound = (i for target in model.collections for i in model.inbound.get(target, ()) if i.enforced)
        found = [(i.table.full_name, i.target) for i in inbound if i not in self._loose]
        found += [(c.name, c.scope_via.target) for c in model.collections.values() if c.scope_via is not None]
        return [(child, target) for child, target in found if child in model.collections]

    @cached_property
    def _order(self) -> list[list[Collection]]:
        successors: dict[str, set[str]] = defaultdict(set)
        for child, target in self._binding:
            if child != target:
                successors[child].add(target)
        model = self.compiler.model
        return [[model.collections[n] for n in step] for step in components(list(model.collections), successors)]

    def _together(self, step: Sequence[Collection]) -> bool:
        """Whether the rows of a step must all go in one statement."""
        return len(step) > 1 or (step[0].name, step[0].name) in self._binding

    # Changes

    async def _destroy(self, room: dict[str, int]) -> None:
        """`room`: how many records of each collection may go yet."""
        for inbound in self._loose:
            await self._loosen(inbound)
        for step in self._order:
            limit = None if self._together(step) else ROWS
            while await self._some(step, limit, room) == limit:
                pass

    async def _loosen(self, inbound: Inbound) -> None:
        """Takes a reference out of all rows, which go anyway, so that they can go in any order."""
        collection = self.compiler.model.collections[inbound.table.full_name]
        columns = loose_columns(collection, inbound)
        there = conjunction(fill("{c} IS NOT NULL", c=self.compiler.column(Sql("t"), name)) for name in columns)
        number = ROWS
        while number == ROWS:
            async with self.database.transaction(self.compiler.model) as session:
                await self._hold(session)
                number = await find(session, self.compiler, collection, ROWS, there)
                if number:
                    values = self.compiler.values()
                    keys = self.compiler.keys(collection, values.bind(number))
                    address, table = self.compiler.addressed(collection), self.compiler.table(collection)
                    nulls = [(name, Sql("NULL")) for name in columns]
                    await session.before_changes()
                    sql = self.compiler.dialect.update(table, nulls, keys, address)
                    self._agree(collection.name, "loosened", await session.run(values.statement(sql)), number)

    async def _some(self, step: Sequence[Collection], limit: int | None, room: dict[str, int]) -> int:
        """One transaction: the next rows of a step, found, locked, looked at, deleted and noted."""
        async with self.database.transaction(self.compiler.model) as session:
            await self._hold(session)
            records = {c.name: await find(session, self.compiler, c, limit) for c in step}
            found = [c for c in step if records[c.name]]
            if any(records[c.name] > room.get(c.name, 0) for c in found):
                why = "Records came that were not returned. Stop what writes there, and have the source returned again."
                raise DsrError("SOURCE_BUSY", why, source=self.grant.source)
            for collection in found:
                await lock(session, self.compiler, collection, records[collection.name])
            for collection in found:
                await self._check_unreferenced(session, collection, records)
            if found:
                await session.before_changes()
                for collection, gone in zip(found, await self._delete(session, found, records), strict=True):
                    self._agree(collection.name, "deleted", gone, records[collection.name])
                outcomes = [pb.CollectionOutcome(collection=c.name, deleted=records[c.name]) for c in found]
                row = self.journal.subject(pb.Subject(subject_ref=f"destroy {uuid4()}"))
                await self.journal.record(session, self.grant.task, self.grant.attempt, row, counted(outcomes))
        for collection in found:
            room[collection.name] -= records[collection.name]
        return sum(records.values())

    async def _hold(self, session: Session) -> None:
        """Keeps newer attempts, and this one's twin, out until the transaction ends."""
        whole = self.journal.subject(pb.Subject(subject_ref="destroy"))
        await self.journal.hold(session, self.grant.task, self.grant.attempt, whole)

    async def _check_unreferenced(self, session: Session, collection: Collection, records: dict[str, int]) -> None:
        """What referred was gone, or there was none, when it was looked for: whatever does now came since."""
        compiler = self.compiler
        for inbound in compiler.model.inbound.get(collection.name, ()):
            if not inbound.enforced:
                continue
            inside = inbound.table.full_name in records and inbound not in self._loose
            covered = compiler.model.collections[inbound.table.full_name] if inside else None
            values = compiler.values()
            limit = values.bind(records[collection.name])
            sql = compiler.outside(inbound, limit, covered, False, Sql("TRUE"), values)
            if await session.rows(values.statement(sql)):
                why = f"Records of {inbound.table.full_name} began to refer to what is being destroyed. Look again."
                raise DsrError("SOURCE_BUSY", why, source=self.grant.source)

    async def _delete(self, session: Session, found: Sequence[Collection], records: dict[str, int]) -> Sequence[int]:
        compiler, values = self.compiler, self.compiler.values()
        parts = [
            (compiler.table(c), compiler.keys(c, values.bind(records[c.name])), compiler.addressed(c)) for c in found
        ]
        if len(parts) == 1:
            return [await session.run(values.statement(compiler.dialect.delete(*parts[0])))]
        return list((await session.rows(values.statement(compiler.dialect.delete_together(parts))))[0])

    def _agree(self, name: str, what: str, number: int, planned: int) -> None:
        """SOURCE_INCONSISTENT, and with it a rollback, unless the database did exactly what was asked."""
        if number != planned:
            why = f"{name}: {number} {what}, {planned} planned"
            text = (
                f"{why}, so this transaction was undone. Look for row-level security, triggers and rules on the table."
            )
            raise DsrError("SOURCE_INCONSISTENT", text, source=self.grant.source, why=why)


def _deletes(instruction: CollectionInstruction | None) -> bool:
    return instruction is not None and instruction.action == CollectionInstruction.ACTION_DELETE
