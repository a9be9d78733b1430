"""How many records of each subject were found per collection, and the keyed digest of which ones."""

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dsr.connector.v1 import connector_pb2 as pb

from connectors.relational.compiler import Compiler
from connectors.relational.dialect import Session
from connectors.relational.sql import Sql, fill, join


@dataclass(frozen=True)
class Summary:
    """One subject's records in one collection. `shared`: how many of them concern other people too."""

    collection: str
    records: int
    shared: int
    fingerprint: bytes

    def message(self) -> pb.CollectionCount:
        return pb.CollectionCount(collection=self.collection, records=self.records, fingerprint=self.fingerprint)


def as_expected(
    expected: Iterable[pb.CollectionCount], summaries: Sequence[Summary], records: Mapping[str, int]
) -> bool:
    """Whether the set of records is the one that Locate found, and none vanished while it was being locked."""
    wanted = {count.collection: (count.records, count.fingerprint) for count in expected if count.records}
    found = {summary.collection: (summary.records, summary.fingerprint) for summary in summaries}
    return wanted == found and {name: count for name, (count, _) in found.items()} == dict(records)


async def summarise(
    session: Session, compiler: Compiler, records: Mapping[str, int], key: bytes
) -> dict[int, list[Summary]]:
    """Summaries by subject, in one statement. `records` as `Closure.run` returns it.

    The database digests keys and row versions; the secret key is applied here and never travels.
    """
    values = compiler.values()
    parts = []
    names = [name for name, number in records.items() if number]
    for name in names:
        collection = compiler.model.collections[name]
        template = (
            "SELECT {number} AS collection, k.subject, count(*), sum(CASE WHEN k.strong THEN 0 ELSE 1 END), {digest}"
            " FROM {found} GROUP BY k.subject"
        )
        digest = compiler.dialect.digest(collection.table, Sql("t"))
        found = compiler.found(collection, values.bind(records[name]))
        parts.append(fill(template, number=names.index(name), digest=digest, found=found))
    summaries: dict[int, list[Summary]] = defaultdict(list)
    if parts:
        for number, subject, count, shared, digest in await session.rows(values.statement(join(" UNION ALL ", parts))):
            name = names[number]
            mac = hmac.new(key, b"\0".join([b"records", name.encode(), str(digest).encode()]), hashlib.sha256).digest()
            summaries[subject].append(Summary(name, int(count), int(shared), mac))
    order = {name: place for place, name in enumerate(compiler.model.collections)}
    for found_ in summaries.values():
        found_.sort(key=lambda summary: order[summary.collection])
    return dict(summaries)
