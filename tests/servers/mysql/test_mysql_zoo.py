"""R13: over generated schemas, a valid plan or a precise refusal before any delete; and exactly the oracle's rows."""

from collections.abc import Iterator

import pytest
from dsr.connector.v1 import connector_pb2 as pb

from tests.integration.postgres.harness import (
    DELETE,
    RETAIN,
    anchors,
    counts,
    erase_one,
    export,
    grant,
    locate,
    subject,
    verify,
)
from tests.integration.postgres.zoo import RULES, TAG, Zoo
from tests.servers.mysql.harness import Database, backend

ACTIONS = {"DELETE": DELETE, "RETAIN": RETAIN, "ANONYMISE": {TAG: None}}


def statements(zoo: Zoo) -> Iterator[str]:
    for table in zoo.tables.values():
        mine = [key for key in zoo.keys if key.table == table.name]
        columns = [f"{c} int" for c in ["grp", "id"]]
        columns += [f"{c} int{'' if key.nullable else ' NOT NULL'}" for key in mine for c in key.columns]
        email = ", email varchar(100) UNIQUE" if table.name == "people" else ""
        primary = f"PRIMARY KEY ({', '.join(table.key)})"
        yield f"CREATE TABLE {table.name} ({', '.join(columns)}, {TAG} varchar(40){email}, {primary})"
        rows = [", ".join("NULL" if v is None else f"'{v}'" for v in row.values()) for row in table.rows]
        if rows:
            names = ", ".join(table.rows[0])
            yield f"INSERT INTO {table.name} ({names}) VALUES {', '.join(f'({row})' for row in rows)}"
    yield f"UPDATE people SET email = concat({TAG}, '@example.com')"
    for key in zoo.keys:
        yield (
            f"ALTER TABLE {key.table} ADD CONSTRAINT {key.name} FOREIGN KEY ({', '.join(key.columns)})"
            f" REFERENCES {key.target} ({', '.join(zoo.tables[key.target].key)}) ON DELETE {key.rule}"
        )


def tied(zoo: Zoo, names: set[str]) -> bool:
    """Whether tables refer to each other in a circle of keys that may not be null, so that no row can go first."""
    ties = {(k.table, k.target) for k in zoo.keys if not k.nullable and {k.table, k.target} <= names}
    while True:
        more = {(a, d) for a, b in ties for c, d in ties if b == c} - ties
        if not more:
            return any(a == b for a, b in ties)
        ties |= more


async def tags(database: Database, zoo: Zoo) -> set[str]:
    parts = (f"SELECT {TAG} FROM {name} WHERE {TAG} IS NOT NULL" for name in zoo.tables)
    return {tag for (tag,) in await database.fetch(" UNION ALL ".join(parts))}


@pytest.mark.parametrize("seed", range(12))
async def test_schema(database: Database, seed: int) -> None:
    zoo = Zoo.generate(seed, RULES[:4], keyless=False)
    database.script(";\n".join(statements(zoo)))
    source = backend(database.dsn, zoo.declaration())
    plan = {name: ACTIONS[action] for name, action in zoo.actions.items()}
    outcomes = set()
    for person in [row[TAG] for row in zoo.tables["people"].rows]:
        if person not in await tags(database, zoo):  # went along with somebody before
            continue
        who = subject(email=f"{person}@example.com")
        own, shared = zoo.closure(person)
        located = (await locate(source, who))["s0"]
        assert sum(counts(located).values()) == len(own | shared)
        copied = await export(source, who, grant(dict.fromkeys(zoo.tables, RETAIN)))
        assert {record[TAG] for records in copied.values() for record in records} == own | shared
        left, before = await anchors(source, who), await database.rows()
        erased = await erase_one(source, who, grant(plan, task=person))
        outcomes.add(erased.outcome)
        going = {tag.partition("-")[0] for tag in own | shared if zoo.actions[tag.partition("-")[0]] == "DELETE"}
        if zoo.blocked(person) or tied(zoo, going):
            assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
            assert erased.findings
            assert all(finding.detail for finding in erased.findings)
            assert await database.rows() == before
            continue
        assert erased.outcome == pb.Erased.OUTCOME_ERASED, erased
        deleted = {tag for tag in own if zoo.actions[tag.partition("-")[0]] == "DELETE"}
        emptied = {tag for tag in own | shared if zoo.actions[tag.partition("-")[0]] == "ANONYMISE"}
        all_tags = {r[TAG] for table in zoo.tables.values() for r in table.rows}
        assert await tags(database, zoo) == all_tags - deleted - emptied
        after = await database.rows()
        for name, listed in before.items():
            if zoo.actions[name.removeprefix("public.")] != "ANONYMISE":
                assert set(after[name]) <= set(listed)
        verified = await verify(source, who, left, plan)
        assert all(unexplained == 0 for _, unexplained, _ in verified.values()), verified
        zoo.forget(deleted)
        if emptied:  # those rows have lost the tag by which the oracle knows them
            break
    await source.close()
    assert outcomes
