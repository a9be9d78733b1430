"""Locate: what there is of up to 1,000 subjects, on one snapshot."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping

from dsr.connector.v1 import connector_pb2 as pb
from dsr.v1.subject_pb2 import Identity

from connectors.relational.closure import Closure, load
from connectors.relational.compiler import Compiler
from connectors.relational.describe import finding_message
from connectors.relational.dialect import Database, Session
from connectors.relational.model import Collection, Finding
from connectors.relational.outside import at_locate
from connectors.relational.sql import Sql, Values, fill, join
from connectors.relational.summary import summarise

ANCHORS_PER_MESSAGE = 1_000
MAX_IDENTITIES = 1_000
"""Found identities per subject; more is a sign of a column that isn't one, and becomes a finding."""
_LONGEST_IDENTITY = 1_024


async def locate(
    database: Database, compiler: Compiler, request: pb.LocateRequest, key: bytes
) -> AsyncGenerator[pb.LocateResponse, None]:
    """The contract's Locate. Everything is read before the first answer, so that a slow reader holds no snapshot."""
    refs = [subject.subject_ref for subject in request.subjects]
    located = {ref: pb.Located(subject_ref=ref) for ref in refs}
    anchors: dict[int, list[pb.Anchors]] = {}
    async with database.snapshot(compiler.model) as session:
        loaded = await load(session, compiler, request.subjects)
        records = await Closure(compiler, session, loaded).run()
        for subject, summaries in (await summarise(session, compiler, records, key)).items():
            located[refs[subject]].collections.extend(summary.message() for summary in summaries)
        for subject, findings in (await at_locate(session, compiler, records, loaded.chosen)).items():
            located[refs[subject]].findings.extend(map(finding_message, findings))
        for name, number in records.items():
            await _names(session, compiler, compiler.model.collections[name], number, [located[ref] for ref in refs])
        if request.with_anchors:
            anchors = await _anchors(session, compiler, records, refs)
    yield pb.LocateResponse(progress=pb.Progress(records=sum(records.values())))
    for number, ref in enumerate(refs):
        for message in anchors.pop(number, ()):
            yield pb.LocateResponse(anchors=message)
        yield pb.LocateResponse(located=located.pop(ref))


async def _names(
    session: Session, compiler: Compiler, collection: Collection, number: int, located: list[pb.Located]
) -> None:
    """People and further identities. From the person's own rows only: a shared row names other people too."""
    persons = compiler.person(collection)
    own = Sql("strong")
    if collection.people:
        values = compiler.values()
        found = compiler.found(collection, values.bind(number), own)
        sql = fill("SELECT DISTINCT k.subject, {person} FROM {found} ORDER BY 1, 2", person=persons, found=found)
        for subject, person in await session.rows(values.statement(sql)):
            located[subject].people.add(collection=collection.name, person=person)
    for identity in collection.identities:
        values = compiler.values()
        column = compiler.column(Sql("t"), identity.column.name)
        limit, longest = values.bind(number), values.bind(_LONGEST_IDENTITY)
        template = (
            "SELECT DISTINCT k.subject, {text}, {person} FROM {found}"
            " WHERE {column} IS NOT NULL AND char_length({text}) BETWEEN 1 AND {longest} ORDER BY 1, 2, 3"
        )
        sql = fill(
            template,
            text=compiler.dialect.text(column),
            person=persons if collection.people else compiler.dialect.text(Sql("''")),
            found=compiler.found(collection, limit, own),
            column=column,
            longest=longest,
        )
        for subject, value, person in await session.rows(values.statement(sql)):
            if len(located[subject].identities) >= MAX_IDENTITIES:
                _too_many(located[subject], collection.name)
                continue
            name = Identity(type=identity.type, value=value)
            located[subject].identities.add(
                identity=name, collection=collection.name, unique=identity.unique, person=person
            )


def _too_many(located: pb.Located, collection: str) -> None:
    detail = f"More than {MAX_IDENTITIES:,} names of one person; the rest is left out. Is each column an identity?"
    finding = Finding("IDENTITIES_TRUNCATED", collection, detail, True, frozenset({collection}))
    message = finding_message(finding)
    if message not in located.findings:
        located.findings.append(message)


async def _anchors(
    session: Session, compiler: Compiler, records: Mapping[str, int], refs: list[str]
) -> dict[int, list[pb.Anchors]]:
    """Values that belong to this person alone: unique identities, and keys that other rows refer to."""
    anchors: dict[int, list[pb.Anchors]] = defaultdict(list)
    for name, number in records.items():
        collection = compiler.model.collections[name]
        for fields in _anchor_fields(compiler, collection):
            values = compiler.values()
            sql = _anchor_query(compiler, collection, fields, number, values)
            found: dict[int, list[str]] = defaultdict(list)
            for subject, value in await session.rows(values.statement(sql)):
                found[subject].append(value)
            for subject, texts in found.items():
                for part in _parts(texts):
                    message = pb.Anchors(subject_ref=refs[subject], collection=name, fields=fields, values=part)
                    anchors[subject].append(message)
    return anchors


def _anchor_fields(compiler: Compiler, collection: Collection) -> Iterable[tuple[str, ...]]:
    fields: dict[tuple[str, ...], None] = {(i.column.name,): None for i in collection.identities if i.unique}
    for columns in compiler.model.targets(collection.name):
        fields[columns] = None
    return fields


def _anchor_query(
    compiler: Compiler, collection: Collection, fields: tuple[str, ...], number: int, values: Values
) -> Sql:
    columns = [(compiler.column(Sql("t"), field), collection.table.column[field]) for field in fields]
    return fill(
        "SELECT DISTINCT k.subject, {array} FROM {found} WHERE {present}",
        array=compiler.dialect.json_array(columns),
        found=compiler.found(collection, values.bind(number), Sql("strong")),
        present=join(" AND ", (fill("{column} IS NOT NULL", column=column) for column, _ in columns)),
    )


def _parts(texts: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), ANCHORS_PER_MESSAGE):
        yield texts[start : start + ANCHORS_PER_MESSAGE]
