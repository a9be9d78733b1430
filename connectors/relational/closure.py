"""Finds the rows of up to 1,000 subjects and keeps their keys in key tables: rows in which an identity stands, and rows
that refer to those, to any depth.

`strong` rows are the person's own: reached by OWNED references alone. The others are reached through a SHARED one, so
they concern other people too: copied, never deleted.
"""

from collections import defaultdict
from collections.abc import Collection as Names
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dsr.connector.v1 import connector_pb2 as pb

from connectors.relational.compiler import Compiler
from connectors.relational.dialect import CHOICES, SUBJECTS, Columns, Session
from connectors.relational.graph import components
from connectors.relational.matching import choices, spellings, wanted
from connectors.relational.model import Collection, Reference
from connectors.relational.sql import Sql, Values, fill, join


@dataclass(frozen=True)
class Loaded:
    """How many identities stand ready per slot, and for which collections (numbers) the controller chose people."""

    slots: dict[int, int]
    chosen: frozenset[int]


async def load(session: Session, compiler: Compiler, subjects: Sequence[pb.Subject]) -> Loaded:
    """Puts identities and choices into the session's tables."""
    dialect, model = compiler.dialect, compiler.model
    chosen = choices(model, subjects)
    names = wanted(model, subjects)
    telephones = {i.slot for i in model.slots if i.match == "e164"}
    rows = [row for row in names if row[1] not in telephones]
    for slot in telephones:
        rows += await _spelled(session, compiler, slot, [row for row in names if row[1] == slot])
    slots: dict[int, int] = defaultdict(int)
    for _, slot, _ in rows:
        slots[slot] += 1
    if rows:
        columns: Columns = {"subject": "integer", "slot": "integer", "value": "text"}
        await session.load(dialect.temporary(SUBJECTS), columns, rows)
    if chosen:
        columns = {"subject": "integer", "collection": "integer", "person": "text"}
        await session.load(dialect.temporary(CHOICES), columns, chosen)
    return Loaded(dict(slots), frozenset(number for _, number, _ in chosen))


async def _spelled(
    session: Session, compiler: Compiler, slot: int, rows: Sequence[tuple[int, int, str]]
) -> list[tuple[int, int, str]]:
    """The rows with each number replaced by the spellings of it that stand in the column."""
    if not rows:
        return []
    identity = compiler.model.slots[slot]
    collection = next(c for c in compiler.model.collections.values() if any(i is identity for i in c.identities))
    values = compiler.values()
    column = compiler.column(Sql("t"), identity.column.name)
    numbers = sorted({value for _, _, value in rows})
    tails = sorted({number[-5:] for number in numbers})
    query = fill(
        "SELECT DISTINCT {text} FROM {table} t WHERE {tail} IN ({tails}) AND {conditions}",
        text=compiler.dialect.text(column),
        table=compiler.table(collection),
        tail=compiler.dialect.phone_tail(column),
        tails=join(", ", (compiler.dialect.text(values.bind(tail)) for tail in tails)),
        conditions=compiler.conditions(collection, values, chosen=False, subject=Sql("")),
    )
    written = [str(row[0]) for row in await session.rows(values.statement(query))]
    means: dict[str, list[str]] = defaultdict(list)
    for number, raw in spellings(numbers, written, identity.region):
        means[number].append(raw)
    return [(subject, slot, raw) for subject, _, number in rows for raw in means[number]]


class Closure:
    """Fills the key tables. `locks`: collections whose rows are locked as they are found, parents before children, so
    that under a foreign key no row can join the set afterwards."""

    def __init__(self, compiler: Compiler, session: Session, loaded: Loaded, locks: Names[str] = ()) -> None:
        self.compiler = compiler
        self.session = session
        self.loaded = loaded
        self.locks = locks
        self.model = compiler.model
        self.records: dict[str, int] = {}
        """Keys found, per collection with any."""
        self._round = 0
        self._fresh: dict[str, int] = {}

    async def run(self) -> dict[str, int]:
        """Finds everything, and returns the number of keys per collection."""
        owned = self._references("OWNED")
        successors: dict[str, set[str]] = defaultdict(set)
        for reference in owned:
            successors[reference.target].add(reference.child)
        for names in components(list(self.model.collections), successors):
            members = [self.model.collections[name] for name in names]
            inner = [r for r in owned if r.child in names and r.target in names]
            outer = [r for r in owned if r.child in names and r.target not in names]
            await self._component(members, inner, outer)
            await self._lock(names)
        await self._share(owned, self._references("SHARED"))
        return self.records

    def _references(self, ownership: str) -> list[Reference]:
        searched = self.model.collections
        return [
            reference
            for collection in searched.values()
            for reference in collection.references
            if reference.ownership == ownership and reference.target in searched
        ]

    async def _component(
        self, members: Sequence[Collection], inner: Sequence[Reference], outer: Sequence[Reference]
    ) -> None:
        recursive = inner[0] if len(inner) == 1 and len(members) == 1 else None
        fresh = {}
        for collection in members:
            values = self.compiler.values()
            parts = self._sources(collection, [r for r in outer if r.child == collection.name], values)
            if parts:
                fresh[collection.name] = await self._insert(collection, parts, values, recursive)
        if recursive is None and inner:
            self._fresh = fresh
            while any(self._fresh.values()):
                await self._next_round(inner, strong=True)

    def _sources(self, collection: Collection, outer: Iterable[Reference], values: Values) -> list[Sql]:
        chosen = collection.number in self.loaded.chosen
        found = [
            self.compiler.seed(collection, identity, self.loaded.slots[identity.slot], chosen, values)
            for identity in collection.identities
            if identity.slot in self.loaded.slots
        ]
        for reference in outer:
            if number := self.records.get(reference.target):
                keys = self.compiler.keys(self.model.collections[reference.target], values.bind(number))
                found.append(self.compiler.referring(collection, reference, keys, chosen, values))
        return found

    async def _insert(
        self, collection: Collection, parts: Sequence[Sql], values: Values, recursive: Reference | None
    ) -> int:
        if recursive is None:
            query = fill("SELECT DISTINCT * FROM ({parts}) u", parts=join(" UNION ALL ", parts))
        else:
            chosen = collection.number in self.loaded.chosen
            step = self.compiler.referring(collection, recursive, Sql("found"), chosen, values)
            template = (
                "WITH RECURSIVE found (subject, {columns}) AS (({parts}) UNION {step})"
                " SELECT subject, {columns} FROM found"
            )
            columns = self.compiler.key_columns(collection)
            query = fill(template, columns=columns, parts=join(" UNION ", parts), step=step)
        return await self._store(collection, query, values, strong=True)

    async def _next_round(self, references: Sequence[Reference], *, strong: bool, first: bool = False) -> None:
        """Follows references from the keys of the last round only. `first`: from all strong keys instead."""
        before, fresh = self._round, self._fresh
        self._round += 1
        self._fresh = {}
        for reference in references:
            number = self.records.get(reference.target, 0) if first else fresh.get(reference.target, 0)
            if not number:
                continue
            values = self.compiler.values()
            target, collection = self.model.collections[reference.target], self.model.collections[reference.child]
            where = Sql("strong") if first else fill("round = {round}", round=values.bind(before))
            keys = self.compiler.keys(target, values.bind(number), where)
            chosen = collection.number in self.loaded.chosen
            found = self.compiler.referring(collection, reference, keys, chosen, values)
            new = (
                "SELECT DISTINCT * FROM ({found}) n WHERE NOT EXISTS"
                " (SELECT 1 FROM {keys} x WHERE x.subject = n.subject AND {same})"
            )
            count = len(collection.address)
            equal = (fill("x.k{n} {op} n.k{n}", n=n, op=collection.address[n - 1].equals) for n in range(1, count + 1))
            query = fill(new, found=found, keys=self.compiler.key_table(collection), same=join(" AND ", equal))
            stored = await self._store(collection, query, values, strong=strong)
            self._fresh[collection.name] = self._fresh.get(collection.name, 0) + stored

    async def _store(self, collection: Collection, query: Sql, values: Values, *, strong: bool) -> int:
        template = (
            "INSERT INTO {table} (subject, {columns}, strong, round) SELECT q.*, {strong}, {round} FROM ({query}) q"
        )
        sql = fill(
            template,
            table=self.compiler.key_table(collection),
            columns=self.compiler.key_columns(collection),
            strong=Sql("TRUE" if strong else "FALSE"),
            round=self._round,
            query=query,
        )
        stored = await self.session.run(values.statement(sql))
        if stored:
            self.records[collection.name] = self.records.get(collection.name, 0) + stored
        return stored

    async def _share(self, owned: Sequence[Reference], shared: Sequence[Reference]) -> None:
        if not any(self.records.get(reference.target) for reference in shared):
            return
        before = dict(self.records)
        await self._next_round(shared, strong=False, first=True)
        while any(self._fresh.values()):
            await self._next_round([*owned, *shared], strong=False)
        await self._lock([name for name, number in self.records.items() if number != before.get(name)])

    async def _lock(self, names: Iterable[str]) -> None:
        for name in names:
            number = self.records.get(name)
            if number and name in self.locks:
                await lock(self.session, self.compiler, self.model.collections[name], number)


async def lock(session: Session, compiler: Compiler, collection: Collection, records: int) -> None:
    """Locks the rows whose keys were found, in the order of keys: two who lock the same rows don't deadlock."""
    values = compiler.values()
    rows = fill("FROM {found}", found=compiler.found(collection, values.bind(records)))
    sql = compiler.dialect.lock(rows, compiler.key_columns(collection, Sql("k")))
    await session.rows(values.statement(sql))
