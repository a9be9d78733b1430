"""CountPeople: everybody once, on one snapshot, named nowhere."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence

from dsr.connector.v1 import connector_pb2 as pb

from connectors.relational.compiler import Compiler
from connectors.relational.dialect import Database
from connectors.relational.inactive import named
from connectors.relational.model import Collection, IdentityColumn
from connectors.relational.sql import Sql, Values, conjunction, fill, join
from dsrkit.errors import DsrError

_T = Sql("t")
_COMPARED = ("exact", "case_fold")
"""How values are compared of which the database can tell whether two are the same person's."""
Named = tuple[Collection, IdentityColumn]


async def count_people(
    database: Database, compiler: Compiler, source: str
) -> AsyncGenerator[pb.CountPeopleResponse, None]:
    """The contract's CountPeople. NOT_COUNTABLE where no collection tells people apart."""
    collections = _collections(compiler)
    if not collections:
        text = "No collection tells people apart. Declare people, or a unique identity."
        raise DsrError("NOT_COUNTABLE", text, source=source)
    alike: dict[tuple[str, str], list[Named]] = defaultdict(list)
    """Collections by how they tell people apart."""
    people, sure = 0, True
    async with database.snapshot(compiler.model) as session:
        for collection, identity in collections:
            values = compiler.values()
            statement = values.statement(_count(compiler, collection, identity, values))
            ((distinct, nameless),) = await session.rows(statement)
            # A record of a collection of people is somebody, named or not; another one may be nobody's.
            strangers = nameless if collection.people else 0
            count = pb.PeopleCount(collection=collection.name, people=distinct + strangers)
            if identity is not None:
                count.identity_type = identity.type
                alike[identity.type, identity.match].append((collection, identity))
            count.certainty = _certainty(not nameless)
            yield pb.CountPeopleResponse(count=count)
            people, sure = people + strangers, sure and not nameless
        for group in alike.values():
            values = compiler.values()
            ((distinct,),) = await session.rows(values.statement(_together(compiler, group, values)))
            people += distinct
    totals = pb.PeopleTotals(people=people, certainty=_certainty(sure and len(alike) <= 1))
    yield pb.CountPeopleResponse(totals=totals)


def _certainty(exact: bool) -> "pb.Certainty.ValueType":
    return pb.CERTAINTY_EXACT if exact else pb.CERTAINTY_ESTIMATED


def _collections(compiler: Compiler) -> Sequence[tuple[Collection, IdentityColumn | None]]:
    """Collections of people, and by what each tells them apart; without any, those with a unique identity."""
    found = [(c, _identity(c)) for c in compiler.model.collections.values()]
    return [(c, i) for c, i in found if c.people] or [(c, i) for c, i in found if i is not None]


def _identity(collection: Collection) -> IdentityColumn | None:
    """The first by which two people are never taken for one."""
    return next((i for i in collection.identities if i.unique and i.match in _COMPARED), None)


def _count(compiler: Compiler, collection: Collection, identity: IdentityColumn | None, values: Values) -> Sql:
    """(people told apart, records that name nobody)."""
    who = named(compiler, identity) if identity is not None else Sql("NULL")
    return fill(
        "SELECT count(DISTINCT {who}), count(*) - count({who}) FROM {table} t WHERE {conditions}",
        who=who,
        table=compiler.table(collection),
        conditions=conjunction(compiler.scope(collection, _T, values)),
    )


def _together(compiler: Compiler, group: Sequence[Named], values: Values) -> Sql:
    parts = (
        fill(
            "SELECT {who} AS who FROM {table} t WHERE {conditions}",
            who=named(compiler, identity),
            table=compiler.table(collection),
            conditions=conjunction(compiler.scope(collection, _T, values)),
        )
        for collection, identity in group
    )
    return fill("SELECT count(DISTINCT u.who) FROM ({parts}) u", parts=join(" UNION ALL ", parts))
