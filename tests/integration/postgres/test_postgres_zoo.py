"""R13: over generated schemas, a valid plan or a precise refusal before any delete; and exactly the oracle's rows."""

import asyncpg
import pytest
from dsr.connector.v1 import connector_pb2 as pb

from tests.integration.postgres.harness import (
    DELETE,
    RETAIN,
    anchors,
    backend,
    counts,
    erase_one,
    export,
    grant,
    locate,
    rows,
    subject,
    verify,
)
from tests.integration.postgres.zoo import TAG, Zoo

ACTIONS = {"DELETE": DELETE, "RETAIN": RETAIN, "ANONYMISE": {TAG: None}}


async def tags(connection: asyncpg.Connection, zoo: Zoo) -> set[str]:
    query = " UNION ALL ".join(f"SELECT {TAG} FROM {name} WHERE {TAG} IS NOT NULL" for name in zoo.tables)  # noqa: S608
    return {row[0] for row in await connection.fetch(query)}


@pytest.mark.parametrize("seed", [*range(20), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(20, 60))])
async def test_schema(database: str, seed: int) -> None:
    zoo = Zoo.generate(seed)
    connection = await asyncpg.connect(database)
    await connection.execute(";\n".join(zoo.statements()))
    source = backend(database, zoo.declaration())
    plan = {name: ACTIONS[action] for name, action in zoo.actions.items()}
    outcomes = set()
    for person in [row[TAG] for row in zoo.tables["people"].rows]:
        if person not in await tags(connection, zoo):  # went along with somebody before
            continue
        who = subject(email=f"{person}@example.com")
        own, shared = zoo.closure(person)
        located = (await locate(source, who))["s0"]
        assert sum(counts(located).values()) == len(own | shared)
        copied = await export(source, who, grant(dict.fromkeys(zoo.tables, RETAIN)))
        assert {record[TAG] for records in copied.values() for record in records} == own | shared
        left, before = await anchors(source, who), await rows(connection)
        erased = await erase_one(source, who, grant(plan, task=person))
        outcomes.add(erased.outcome)
        if zoo.blocked(person):
            assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
            assert erased.findings
            assert all(finding.detail for finding in erased.findings)
            assert await rows(connection) == before
            continue
        assert erased.outcome == pb.Erased.OUTCOME_ERASED, erased
        deleted = {tag for tag in own if zoo.actions[tag.partition("-")[0]] == "DELETE"}
        emptied = {tag for tag in own | shared if zoo.actions[tag.partition("-")[0]] == "ANONYMISE"}
        all_tags = {r[TAG] for table in zoo.tables.values() for r in table.rows}
        assert await tags(connection, zoo) == all_tags - deleted - emptied
        after = await rows(connection)
        for name, listed in before.items():
            table = name.removeprefix("public.")
            if zoo.actions[table] != "ANONYMISE":
                assert set(after[name]) <= set(listed)
        verified = await verify(source, who, left, plan)
        assert all(unexplained == 0 for _, unexplained, _ in verified.values()), verified
        zoo.forget(deleted)
        if emptied:  # those rows have lost the tag by which the oracle knows them
            break
    await source.close()
    await connection.close()
    assert outcomes
