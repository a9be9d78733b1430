"""ListInactive: people by when their records were last used, on one snapshot, one aggregate a page."""

from collections.abc import AsyncGenerator
from datetime import UTC, timedelta

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Inactivity
from dsr.v1.subject_pb2 import Identity

from connectors.relational.catalogue import Column
from connectors.relational.compiler import Compiler
from connectors.relational.dialect import Database
from connectors.relational.model import Collection, IdentityColumn
from connectors.relational.sql import TRUE, Sql, Values, conjunction, fill
from dsrkit.errors import DsrError

PAGE = 1_000
_T = Sql("t")
_WITHOUT_ZONE = timedelta(days=1)
"""No zone is further than 14 hours from UTC."""
_FORMATS = {"date": "%Y-%m-%d", "datetime": "%Y-%m-%d %H:%M:%S.%f"}
"""As databases read them; sessions are in UTC."""


async def list_inactive(
    database: Database, compiler: Compiler, request: pb.ListInactiveRequest, wanted: Inactivity, source: str
) -> AsyncGenerator[pb.ListInactiveResponse, None]:
    """The contract's ListInactive. NULL as the last use of any record makes a person unknown, and never inactive."""
    collection, identity, column = _resolve(compiler, wanted, source)
    if column is None and not request.count_only:
        raise _rejected(source, "everybody may be counted and not listed")
    totals, after = pb.InactiveTotals(), ""
    async with database.snapshot(compiler.model) as session:
        values = compiler.values()
        sql = _counts(compiler, collection, identity, column, wanted, request.value, values)
        totals.people, totals.unknown = (await session.rows(values.statement(sql)))[0]
        while column is not None and not request.count_only:
            values = compiler.values()
            sql = _page(compiler, collection, identity, column, wanted, request.value, after, values)
            found = [who for (who,) in await session.rows(values.statement(sql))]
            if found:
                names = [Identity(type=identity.type, value=who) for who in found]
                yield pb.ListInactiveResponse(page=pb.InactivePage(identities=names))
            if len(found) < PAGE:
                break
            after = found[-1]
    yield pb.ListInactiveResponse(totals=totals)


def _resolve(compiler: Compiler, wanted: Inactivity, source: str) -> tuple[Collection, IdentityColumn, Column | None]:
    collection = compiler.model.collections.get(wanted.collection)
    if collection is None:
        raise _rejected(source, "there is no such collection with personal data")
    names = [i for i in collection.identities if i.type == wanted.identity_type and i.unique]
    if len(names) != 1:
        raise _rejected(source, "the collection declares no unique identity, or several, of that type")
    if names[0].match not in ("exact", "case_fold"):
        raise _rejected(source, "people known by spellings that mean the same can't be told apart there")
    if not wanted.field:
        return collection, names[0], None
    column = collection.table.column.get(wanted.field)
    if column is None or column.schema_type not in _FORMATS:
        raise _rejected(source, "the field is no time and no date of the collection")
    return collection, names[0], column


def _people(
    compiler: Compiler,
    collection: Collection,
    identity: IdentityColumn,
    column: Column | None,
    value: str,
    after: str,
    values: Values,
) -> Sql:
    """Everybody: who, when last seen, and whether every record says so."""
    who = named(compiler, identity)
    conditions = [fill("{who} IS NOT NULL", who=who), *compiler.scope(collection, _T, values)]
    if value:
        wanted = _folded(compiler.dialect.text(values.bind(value)), identity)
        conditions.append(fill("{who} = {wanted}", who=who, wanted=wanted))
    if after:
        conditions.append(fill("{who} > {after}", who=who, after=compiler.dialect.text(values.bind(after))))
    seen = Sql("1")
    if column is not None:
        seen = compiler.dialect.moment(compiler.column(_T, column.name), column)
    return fill(
        "SELECT {who} AS who, max({seen}) AS seen, count(*) - count({seen}) AS silent FROM {table} t"
        " WHERE {conditions} GROUP BY {who}",
        who=who,
        seen=seen,
        table=compiler.table(collection),
        conditions=conjunction(conditions),
    )


def named(compiler: Compiler, identity: IdentityColumn) -> Sql:
    """Whom a row `t` names, as Locate compares; null where it names nobody."""
    column = identity.column
    who = _folded(compiler.dialect.identity_text(compiler.column(_T, column.name), column), identity)
    return fill("CASE WHEN trim({who}) <> '' THEN {who} END", who=who)


def _folded(text: Sql, identity: IdentityColumn) -> Sql:
    """As Locate compares: spellings that it finds together are one person, whose last use is the latest of all."""
    return fill("lower({text})", text=text) if identity.match == "case_fold" else text


def _inactive(compiler: Compiler, column: Column | None, wanted: Inactivity, values: Values) -> Sql:
    if column is None:
        return TRUE
    before = wanted.before.ToDatetime(UTC)
    if not compiler.dialect.zoned(column):
        before -= _WITHOUT_ZONE
    cutoff = compiler.dialect.constant(column, values.bind(before.strftime(_FORMATS[column.schema_type])))
    return fill("p.silent = 0 AND p.seen < {cutoff}", cutoff=cutoff)


def _counts(
    compiler: Compiler,
    collection: Collection,
    identity: IdentityColumn,
    column: Column | None,
    wanted: Inactivity,
    value: str,
    values: Values,
) -> Sql:
    inactive = _inactive(compiler, column, wanted, values)
    people = _people(compiler, collection, identity, column, value, "", values)
    return fill(
        "SELECT count(CASE WHEN {inactive} THEN 1 END), count(CASE WHEN p.silent > 0 THEN 1 END) FROM ({people}) p",
        inactive=inactive,
        people=people,
    )


def _page(
    compiler: Compiler,
    collection: Collection,
    identity: IdentityColumn,
    column: Column,
    wanted: Inactivity,
    value: str,
    after: str,
    values: Values,
) -> Sql:
    people = _people(compiler, collection, identity, column, value, after, values)
    inactive = _inactive(compiler, column, wanted, values)
    template = "SELECT p.who FROM ({people}) p WHERE {inactive} ORDER BY p.who LIMIT {limit}"
    return fill(template, people=people, inactive=inactive, limit=values.bind(PAGE))


def _rejected(source: str, why: str) -> DsrError:
    return DsrError("SOURCE_REJECTED", f"Nobody can be listed: {why}.", source=source, why=why)
