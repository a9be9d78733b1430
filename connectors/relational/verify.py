"""Verify: what is left. Starts from identities and anchors, and looks in every column declared to hold such a value; it
never joins from rows that an erasure took away."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction
from dsr.v1.subject_pb2 import Identity

from connectors.relational.closure import Loaded, load
from connectors.relational.compiler import Compiler
from connectors.relational.dialect import ANCHORS, Columns, Database, Session
from connectors.relational.erase import emptied
from connectors.relational.instructions import by_collection
from connectors.relational.matching import anchor_values
from connectors.relational.model import Collection
from connectors.relational.sql import Sql, Values, conjunction, fill, join
from dsrkit.errors import invalid

_MOST_ROUTES = 62
"""Ways into one collection that are told apart (bits of an integer); further ones share the last."""

Place = tuple[str, tuple[str, ...]]
"""A collection and the columns that others refer to."""


@dataclass
class _Anchored:
    """Anchor values by place, ready to be loaded: (subject, slot, v1, v2 …)."""

    places: dict[Place, int] = field(default_factory=dict)
    rows: list[tuple[object, ...]] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=lambda: defaultdict(int))


async def verify(
    database: Database, compiler: Compiler, request: pb.VerifyRequest
) -> AsyncGenerator[pb.VerifyResponse, None]:
    """The contract's Verify."""
    model = compiler.model
    instructions = by_collection(model, request.instructions, "instructions")
    subjects, anchored = _starting_points(compiler, request.subjects)
    remnants: dict[int, dict[str, pb.Remnant]] = defaultdict(dict)
    async with database.snapshot(model) as session:
        loaded = await load(session, compiler, subjects)
        if anchored.rows:
            columns: Columns = {"subject": "integer", "slot": "integer", **_widths(model.widest)}
            await session.load(compiler.dialect.temporary(ANCHORS), columns, anchored.rows)
        search = _Search(compiler, loaded, anchored)
        for name, collection in model.collections.items():
            for found in await search.look(session, collection, instructions.get(name)):
                _add(remnants[found[0]].setdefault(name, pb.Remnant(collection=name)), *found[1:])
    for number, subject in enumerate(subjects):
        verified = pb.Verified(subject_ref=subject.subject_ref, remnants=remnants[number].values())
        yield pb.VerifyResponse(verified=verified)


def _widths(widest: int) -> Columns:
    return {f"v{number}": "text" for number in range(1, widest + 1)}


def _starting_points(compiler: Compiler, requested: Sequence[pb.VerifySubject]) -> tuple[list[pb.Subject], _Anchored]:
    """Subjects with the identities that their anchors add, and the anchors that are keys."""
    model, anchored, subjects = compiler.model, _Anchored(), []
    for number, entry in enumerate(requested):
        subject = pb.Subject()
        subject.CopyFrom(entry.subject)
        for anchor in entry.anchors:
            collection = model.collections.get(anchor.collection)
            if collection is None or any(name not in collection.table.column for name in anchor.fields):
                raise invalid("subjects.anchors", "they name a collection or field that the source no longer has")
            place = (anchor.collection, tuple(anchor.fields))
            types = {i.type for i in collection.identities if (i.column.name,) == place[1]}
            for value in anchor.values:
                elements = anchor_values(value)
                if len(elements) != len(place[1]) or len(elements) > max(model.widest, 1):
                    raise invalid("subjects.anchors.values", "an anchor has one element per field, as Locate gave it")
                subject.identities.extend(Identity(type=kind, value=elements[0]) for kind in types if elements[0])
                if place[1] in model.targets(place[0]):
                    slot = anchored.places.setdefault(place, len(anchored.places))
                    anchored.numbers[slot] += 1
                    padding = [None] * (model.widest - len(elements))
                    anchored.rows.append((number, slot, *elements, *padding))
        subjects.append(subject)
    return subjects, anchored


def _add(remnant: pb.Remnant, explained: bool, records: int, fields: set[str]) -> None:
    if explained:
        remnant.explained += records
    else:
        remnant.unexplained += records
        remnant.fields[:] = sorted(fields.union(remnant.fields))


@dataclass(frozen=True)
class _Search:
    """Looks into one collection after another."""

    compiler: Compiler
    loaded: Loaded
    anchored: _Anchored

    async def look(
        self, session: Session, collection: Collection, instruction: CollectionInstruction | None
    ) -> list[tuple[int, bool, int, set[str]]]:
        """(subject, explained, records, fields in which they showed)."""
        values = self.compiler.values()
        routes = self._routes(collection, self._explained(collection, instruction, values), values)
        if not routes:
            return []
        template = (
            "SELECT subject, routes, explained, count(*)"
            " FROM (SELECT subject, {columns}, bit_or(route) AS routes, min(explained) AS explained"
            " FROM ({parts}) u GROUP BY subject, {columns}) h GROUP BY 1, 2, 3"
        )
        bits = [1 << min(n, _MOST_ROUTES - 1) for n in range(len(routes))]
        parts = (
            fill("SELECT q{n}.*, {bit} AS route FROM ({query}) q{n}", n=n, bit=bits[n], query=query)
            for n, (_, query) in enumerate(routes)
        )
        sql = fill(template, columns=self.compiler.key_columns(collection), parts=join(" UNION ALL ", parts))
        found = []
        for subject, taken, explained, count in await session.rows(values.statement(sql)):
            shown = {name for bit, (names, _) in zip(bits, routes, strict=True) if taken & bit for name in names}
            found.append((subject, bool(explained), count, shown))
        return found

    def _routes(self, collection: Collection, also: Sql, values: Values) -> list[tuple[tuple[str, ...], Sql]]:
        """(fields in which a row shows, search), each yielding subject, address columns and `also`."""
        chosen = collection.number in self.loaded.chosen
        found: list[tuple[tuple[str, ...], Sql]] = [
            ((identity.column.name,), self.compiler.seed(collection, identity, number, chosen, values, also))
            for identity in collection.identities
            if (number := self.loaded.slots.get(identity.slot))
        ]
        for (name, fields), slot in self.anchored.places.items():
            if name == collection.name:
                found.append((fields, self._anchored(collection, fields, (), slot, also, values)))
            for reference in collection.references:
                if reference.followed and reference.target == name and reference.target_columns == fields:
                    columns = reference.columns
                    found.append((columns, self._anchored(collection, columns, reference.when, slot, also, values)))
        return found

    def _anchored(
        self,
        collection: Collection,
        columns: Sequence[str],
        when: Sequence[tuple[str, str]],
        slot: int,
        also: Sql,
        values: Values,
    ) -> Sql:
        """Rows that hold anchors of a slot in `columns`."""
        compiler, dialect, table = self.compiler, self.compiler.dialect, collection.table
        template = (
            "SELECT a.subject, {address}, {also} FROM (SELECT * FROM {anchors} WHERE slot = {slot} LIMIT {limit}) a"
            " JOIN {table} t ON {pairs} WHERE {conditions}"
        )
        limit = values.bind(self.anchored.numbers[slot])
        pairs = (
            dialect.equals_text(compiler.column(Sql("t"), name), table.column[name], Sql(f"a.v{n}"))
            for n, name in enumerate(columns, 1)
        )
        conditions = [*compiler.when(table, when, values)]
        chosen = collection.number in self.loaded.chosen
        conditions.append(compiler.conditions(collection, values, chosen=chosen, subject=Sql("a.subject")))
        return fill(
            template,
            address=compiler.address_columns(collection),
            also=also,
            anchors=dialect.temporary(ANCHORS),
            slot=slot,
            limit=limit,
            table=compiler.table(collection),
            pairs=conjunction(pairs),
            conditions=conjunction(conditions),
        )

    def _explained(self, collection: Collection, instruction: CollectionInstruction | None, values: Values) -> Sql:
        """Column `explained`: 1 where the instruction says why the row is still there."""
        if instruction is not None and instruction.action == CollectionInstruction.ACTION_RETAIN:
            return Sql("1 AS explained")
        if instruction is not None and instruction.action == CollectionInstruction.ACTION_ANONYMISE:
            empty = emptied(self.compiler, collection, instruction, values)
            return fill("CASE WHEN {empty} THEN 1 ELSE 0 END AS explained", empty=empty)
        return Sql("0 AS explained")
