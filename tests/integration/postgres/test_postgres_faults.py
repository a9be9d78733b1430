"""What a database can do behind a statement's back: every one of these rolls back and says so, or is refused before."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from dsr.connector.v1 import connector_pb2 as pb

from deploy.local.postgres import Cluster
from dsrkit.errors import DsrError
from tests.integration.postgres.harness import (
    DELETE,
    RETAIN,
    backend,
    blocked,
    counts,
    erase,
    erase_one,
    grant,
    locate,
    rows,
    subject,
)

WHO = subject(email="ann@example.com")
SCHEMA = """
CREATE TABLE people (id integer PRIMARY KEY, email text UNIQUE, note text);
CREATE TABLE things (id integer PRIMARY KEY, person integer NOT NULL REFERENCES people ON DELETE CASCADE, what text);
CREATE INDEX ON things (person);
INSERT INTO people VALUES (1, 'ann@example.com', 'a'), (2, 'bob@example.com', 'b');
INSERT INTO things SELECT n, 1 + n % 2, 'thing' FROM generate_series(1, 10) AS n;
"""
DECLARED: dict[str, Any] = {
    "public.people": {"people": True, "identity": {"email": {"type": "email", "unique": True}}},
    "public.things": {"references": {"things_person_fkey": "OWNED"}},
}
ALL = {"people": DELETE, "things": DELETE}


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(database)
    await opened.execute(SCHEMA)
    yield opened
    await opened.close()


def declared(**acknowledged: list[str]) -> dict[str, Any]:
    return {
        "collections": {
            name: entry | {"acknowledged": acknowledged.get(name.removeprefix("public."), [])}
            for name, entry in DECLARED.items()
        }
    }


QUIETLY = {
    "a trigger that skips the delete": (
        "CREATE FUNCTION quietly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER quietly BEFORE DELETE ON things FOR EACH ROW EXECUTE FUNCTION quietly()"
    ),
    "a trigger that puts the row back": (
        "CREATE FUNCTION quietly() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO things VALUES (OLD.*); RETURN NULL; END';"
        "CREATE TRIGGER quietly AFTER DELETE ON things FOR EACH ROW EXECUTE FUNCTION quietly()"
    ),
    "a trigger that marks instead": (
        "CREATE FUNCTION quietly() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN UPDATE things SET what = ''deleted'' WHERE id = OLD.id; RETURN NULL; END';"
        "CREATE TRIGGER quietly BEFORE DELETE ON things FOR EACH ROW EXECUTE FUNCTION quietly()"
    ),
    "a rule that does nothing": "CREATE RULE quietly AS ON DELETE TO things DO INSTEAD NOTHING",
    "a rule that marks instead": (
        "CREATE RULE quietly AS ON DELETE TO things DO INSTEAD UPDATE things SET what = 'deleted' WHERE id = OLD.id"
    ),
}


@pytest.mark.parametrize("mischief", QUIETLY.values(), ids=QUIETLY.keys())
async def test_silent_mischief_is_a_finding_and_once_acknowledged_rolls_back(
    database: str, connection: asyncpg.Connection, mischief: str
) -> None:
    await connection.execute(mischief)
    before = await rows(connection)
    unaware = backend(database, declared())
    erased = await erase_one(unaware, WHO, grant({"things": DELETE}))
    await unaware.close()
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
    assert {f.code for f in erased.findings} <= {"TRIGGER", "RULE"}
    aware = backend(database, declared(things=["quietly"]))
    with pytest.raises(DsrError) as caught:
        await erase_one(aware, WHO, grant({"things": DELETE}, task="task-2"))
    await aware.close()
    assert caught.value.reason == "SOURCE_INCONSISTENT"
    assert await rows(connection) == before


async def test_a_trigger_that_keeps_a_field_is_caught_under_anonymise(
    database: str, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "CREATE FUNCTION quietly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := OLD.note; RETURN NEW; END';"
        "CREATE TRIGGER quietly BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION quietly()"
    )
    before = await rows(connection)
    source = backend(database, declared(people=["quietly"]))
    with pytest.raises(DsrError) as caught:
        await erase_one(source, WHO, grant({"people": {"email": "gone", "note": None}, "things": DELETE}))
    await source.close()
    assert caught.value.reason == "SOURCE_INCONSISTENT"
    assert await rows(connection) == before


async def test_a_trigger_that_refuses_is_a_rejection_without_its_text(
    database: str, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "CREATE FUNCTION loudly() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN RAISE EXCEPTION ''% must stay'', OLD.email; END';"
        "CREATE TRIGGER loudly BEFORE DELETE ON people FOR EACH ROW EXECUTE FUNCTION loudly()"
    )
    before = await rows(connection)
    source = backend(database, declared(people=["loudly"]))
    with pytest.raises(DsrError) as caught:
        await erase_one(source, WHO, grant(ALL))
    await source.close()
    assert caught.value.reason == "SOURCE_REJECTED"
    assert "ann@" not in str(caught.value) + str(caught.value.metadata)
    assert await rows(connection) == before


@pytest.fixture
async def restricted(database: str, connection: asyncpg.Connection, postgres: Cluster) -> AsyncIterator[str]:
    """DSN of a role that owns nothing."""
    role = "dsr_" + database.rpartition("/")[2]
    await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    await connection.execute(f"GRANT CREATE ON DATABASE {database.rpartition('/')[2]} TO {role}")
    await connection.execute(f"GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
    yield postgres.dsn(database.rpartition("/")[2], role, "secret")
    await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_an_ordinary_role_with_three_privileges_suffices(restricted: str, connection: asyncpg.Connection) -> None:
    source = backend(restricted, declared())
    probe = await source.probe()
    erased = await erase_one(source, WHO, grant(ALL))
    await source.close()
    assert all(p.allowed for p in probe.permissions)
    assert erased.outcome == pb.Erased.OUTCOME_ERASED


async def test_row_security_that_hides_rows_from_delete_rolls_back(
    restricted: str, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "ALTER TABLE things ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY seen ON things FOR SELECT USING (true);"
        "CREATE POLICY locked ON things FOR UPDATE USING (true);"
        "CREATE POLICY gone ON things FOR DELETE USING (id > 4)"
    )
    before = await rows(connection)
    unaware = backend(restricted, declared())
    refused = await erase_one(unaware, WHO, grant(ALL))
    await unaware.close()
    assert [f.code for f in refused.findings] == ["ROW_SECURITY"]
    aware = backend(restricted, declared(things=["row_security"]))
    with pytest.raises(DsrError) as caught:
        await erase_one(aware, WHO, grant(ALL, task="task-2"))
    await aware.close()
    assert caught.value.reason == "SOURCE_INCONSISTENT"
    assert await rows(connection) == before


async def test_what_may_not_be_read_is_never_silently_left_out(restricted: str, connection: asyncpg.Connection) -> None:
    role = (await connection.fetchval("SELECT rolname FROM pg_roles WHERE rolname LIKE 'dsr_test_%' LIMIT 1")) or ""
    await connection.execute(f"REVOKE SELECT ON things FROM {role}")  # noqa: S608
    source = backend(restricted, declared())
    described, probe = await source.describe(), await source.probe()
    with pytest.raises(DsrError) as caught:
        await locate(source, WHO)
    await source.close()
    assert ("PRIVILEGE_MISSING", "public.things") in {(f.code, f.collection) for f in described.findings}
    assert {p.operation for p in probe.permissions if not p.allowed} == {"public.things: select"}
    assert caught.value.reason == "SOURCE_REJECTED"


async def test_a_constraint_that_refuses_is_named(database: str, connection: asyncpg.Connection) -> None:
    await connection.execute("ALTER TABLE people ADD CONSTRAINT polite CHECK (note <> 'rude')")
    before = await rows(connection)
    source = backend(database, declared())
    with pytest.raises(DsrError) as caught:
        await erase_one(source, WHO, grant({"people": {"note": "rude"}, "things": RETAIN}))
    await source.close()
    assert caught.value.reason == "SOURCE_REJECTED"
    assert "polite" in caught.value.metadata["why"]
    assert await rows(connection) == before


async def test_a_table_that_appears_is_a_finding_at_once_and_its_rows_block(
    database: str, connection: asyncpg.Connection
) -> None:
    source = backend(database, declared())
    assert not (await source.describe()).findings
    await connection.execute(
        "CREATE TABLE badges (person integer REFERENCES people ON DELETE CASCADE); INSERT INTO badges VALUES (1)"
    )
    erased = await erase_one(source, WHO, grant(ALL))
    described = await source.describe()
    await source.close()
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
    assert [f.code for f in erased.findings] == ["CASCADE_OUTSIDE_PLAN"]
    assert [(f.code, f.collection) for f in described.findings] == [("UNDECLARED_COLLECTION", "public.badges")]


async def test_an_undecided_reference_blocks_erasure_and_never_access(
    database: str, connection: asyncpg.Connection
) -> None:
    options = {"collections": DECLARED | {"public.things": {}}}
    source = backend(database, options)
    described, located = await source.describe(), (await locate(source, WHO))["s0"]
    erased = await erase_one(source, WHO, grant(ALL))
    await source.close()
    assert counts(located) == {"people": 1, "things": 5}
    assert {(f.code, f.collection) for f in described.findings if f.blocks_erasure} == {
        ("UNDECIDED_REFERENCE", "public.people"),
        ("UNDECIDED_REFERENCE", "public.things"),
    }
    things = next(c for c in described.collections if c.name == "public.things")
    assert things.references[0].ownership == pb.Reference.OWNERSHIP_UNSPECIFIED
    assert things.references[0].reason.startswith("proposed OWNED: the database deletes it")
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED


async def test_two_erasures_that_would_deadlock_both_end(database: str, connection: asyncpg.Connection) -> None:
    """Another transaction takes locks in the opposite order; the database chooses a victim, and Erase tries again."""
    source = backend(database, declared() | {"lock_timeout": 10})
    located = (await locate(source, WHO))["s0"]
    other = await asyncpg.connect(database)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("SELECT 1 FROM things WHERE id = 2 FOR UPDATE")
    work = asyncio.create_task(erase(source, [(WHO, located)], grant(ALL)))
    await blocked(other)
    try:
        await other.execute("SET deadlock_timeout = '1h'")
        await other.execute("SELECT 1 FROM people WHERE id = 1 FOR UPDATE")
        await transaction.commit()
    except asyncpg.DeadlockDetectedError:
        await transaction.rollback()
    erased = (await work)["s0"]
    await other.close()
    await source.close()
    assert erased.outcome == pb.Erased.OUTCOME_ERASED


async def test_a_statement_that_takes_too_long_is_a_timeout(database: str, connection: asyncpg.Connection) -> None:
    await connection.execute(
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(5); RETURN OLD; END';"
        "CREATE TRIGGER slowly BEFORE DELETE ON people FOR EACH ROW EXECUTE FUNCTION slowly()"
    )
    source = backend(database, declared(people=["slowly"]) | {"statement_timeout": 0.3})
    with pytest.raises(DsrError) as caught:
        await erase_one(source, WHO, grant(ALL))
    await source.close()
    assert caught.value.reason == "SOURCE_TIMEOUT"
