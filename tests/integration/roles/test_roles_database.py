"""Each role of the database tries what it must not do, on every table there is."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from deploy.database import SCHEMAS, command, migrate_all
from deploy.local.postgres import Cluster, free_port
from tests.integration.roles.catalogue import OURS, QUEUE, THEIRS, Table, fill, tables

REFUSED = asyncpg.InsufficientPrivilegeError
SERVICES = tuple(SCHEMAS)
_OF_RIGHTS = {"event": "ud", "mutation": "ud", "request": "d", "outbox": "u"}
EVIDENCE = {
    "governance": {
        **{"approval": "ud", "data_map": "ud", "processing_record": "u", "mutation": "ud", "used_token": "u"},
        "certified": "ud",
    },
    **{service: _OF_RIGHTS for service in ("access", "portability", "erasure")},
}
"""What a service writes once: it may not update (u) or delete (d) it afterwards."""
OF_NOBODY = {"operation", "policy_version", "ledger_node", "ledger_checkpoint"}
"""Tables without a partner: words of ours, what the operator tells everybody, the ledger. A new one is a decision."""
PLAIN = frozenset({"uuid", "timestamptz", "interval", "bool", "int4", "int8"})
_NAMES = "partner id state step source request erasure kind waiting_reason owner name service"
NAMES = frozenset(_NAMES.split())
"""Columns of text that hold ids, states and reasons: all that the role over all partners may read beside numbers."""


@dataclass(frozen=True)
class Database:
    """A migrated database with a row of two partners in every table."""

    cluster: Cluster
    name: str
    tables: Sequence[Table]

    @asynccontextmanager
    async def connect(self, service: str) -> AsyncIterator[asyncpg.Connection]:
        """As a service's own role."""
        connection = await asyncpg.connect(self.cluster.dsn(self.name, f"dsr_{service}", f"{service}-secret"))
        try:
            yield connection
        finally:
            await connection.close()

    def of(self, service: str) -> list[Table]:
        return [table for table in self.tables if table.schema == service and table.of_partners]


@pytest.fixture(scope="module")
async def database(postgres: Cluster) -> AsyncIterator[Database]:
    name = "roles"
    dsn = postgres.create_database(name)
    await migrate_all(dsn, {schema: f"{schema}-secret" for schema in SCHEMAS})
    connection = await asyncpg.connect(dsn)
    try:
        found = await tables(connection, [*SCHEMAS, "dsr"])
        await fill(connection, found)
    finally:
        await connection.close()
    yield Database(postgres, name, found)
    postgres.drop_database(name)


@asynccontextmanager
async def attempt(connection: asyncpg.Connection, partner: str | None = OURS) -> AsyncIterator[None]:
    """A transaction in a partner's name, which is undone."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        if partner is not None:
            await connection.execute("SELECT set_config('dsr.partner', $1, true)", partner)
        yield
    finally:
        await transaction.rollback()


async def refused(connection: asyncpg.Connection, statement: str, partner: str | None = OURS) -> None:
    """Fails unless the database refuses the statement."""
    try:
        async with attempt(connection, partner):
            await connection.execute(statement)
    except REFUSED:
        return
    pytest.fail(f"was not refused: {statement}")


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.policy("P1", "a service's role reads, changes and writes rows of the current partner only, in every table")
async def test_a_service_sees_and_touches_one_partner(database: Database, service: str) -> None:
    assert len(database.of(service)) >= 4
    async with database.connect(service) as connection:
        for table in database.of(service):
            async with attempt(connection):
                assert {row[0] for row in await connection.fetch(f"SELECT partner FROM {table.path}")} == {OURS}, table
            for nobody in (None, ""):
                await refused(connection, f"SELECT 1 FROM {table.path}", nobody)
            await refused(connection, table.insert(THEIRS, 3))
            for change in (f"UPDATE {table.path} SET partner = partner", f"DELETE FROM {table.path}"):
                try:
                    async with attempt(connection):
                        assert await connection.execute(f"{change} WHERE partner = '{THEIRS}'") in (
                            "UPDATE 0",
                            "DELETE 0",
                        )
                except REFUSED:
                    pass  # it may not at all
            await refused(connection, f"UPDATE {table.path} SET partner = '{THEIRS}'")


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_doesnt_rewrite_evidence(database: Database, service: str) -> None:
    async with database.connect(service) as connection:
        for table, kinds in EVIDENCE[service].items():
            path = f"{service}.{table}"
            for kind in kinds:
                await refused(
                    connection, f"UPDATE {path} SET partner = partner" if kind == "u" else f"DELETE FROM {path}"
                )


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.policy("P16", "each service's role reaches its own schema and no other, and owns nothing")
async def test_a_service_reaches_no_other_schema(database: Database, service: str) -> None:
    foreign = [table for table in database.tables if table.schema != service]
    assert {table.schema for table in foreign} == {*SCHEMAS, "dsr"} - {service}
    async with database.connect(service) as connection:
        for table in foreign:
            for statement in ("SELECT 1 FROM {}", "DELETE FROM {}", "INSERT INTO {} DEFAULT VALUES", "TRUNCATE {}"):
                await refused(connection, statement.format(table.path))


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_changes_no_definition(database: Database, service: str) -> None:
    others = [f"dsr_{other}{suffix}" for other in SERVICES if other != service for suffix in ("", "_sweeper")]
    own = f"dsr_{service}"
    statements = [
        *(f"SET ROLE {role}" for role in (*others, "postgres")),
        *(f"CREATE TABLE {schema}.mine (partner text)" for schema in (*SCHEMAS, "dsr", "public")),
        *(
            f"CREATE FUNCTION {schema}.mine() RETURNS int LANGUAGE sql RETURN 1"
            for schema in (service, "dsr", "public")
        ),
        "CREATE TEMP TABLE mine (partner text)",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        f"ALTER ROLE {own} SUPERUSER",
        f"ALTER ROLE {own} BYPASSRLS",
        f"ALTER ROLE {own} CREATEROLE",
        f"GRANT {others[0]} TO {own}",
        "SET session_replication_role = replica",
        "CREATE OR REPLACE FUNCTION dsr.current_partner() RETURNS text LANGUAGE sql RETURN 'partners/theirs'",
        "SELECT rolpassword FROM pg_authid",
        "SELECT * FROM pg_shadow",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('.')",
        "SELECT lo_export(lo_create(0), '/tmp/mine')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY (SELECT 1) TO '/tmp/mine'",
        "SELECT pg_reload_conf()",
        "ALTER SYSTEM SET log_statement = 'all'",
        "CREATE EXTENSION vector",
        f"ALTER DATABASE {database.name} SET row_security = off",
    ]
    for table in database.of(service):
        statements += [
            f"DROP TABLE {table.path}",
            f"TRUNCATE {table.path}",
            f"ALTER TABLE {table.path} DISABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table.path} NO FORCE ROW LEVEL SECURITY",
            f"DROP POLICY own ON {table.path}",
            f"CREATE POLICY all_of_it ON {table.path} USING (true)",
            f"ALTER TABLE {table.path} OWNER TO {own}",
            f"CREATE TRIGGER mine BEFORE INSERT ON {table.path} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            f"SET LOCAL row_security = off; SELECT 1 FROM {table.path}",
        ]
    async with database.connect(service) as connection:
        for statement in statements:
            if statement.startswith("ALTER SYSTEM"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)  # not in a transaction
            else:
                await refused(connection, statement)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.policy("P16", "the role over all partners reads ids, states and times, and writes nothing")
async def test_the_role_over_all_partners_sees_no_content(database: Database, service: str) -> None:
    read = 0
    async with database.connect(service) as connection:
        for table in [table for table in database.tables if table.schema == service]:
            for column in table.columns:
                statement = f'SELECT "{column.name}" FROM {table.path}'
                try:
                    async with attempt(connection, None):
                        await connection.execute(f"SET LOCAL ROLE dsr_{service}_sweeper")
                        await connection.fetch(statement)
                except REFUSED:
                    continue
                read += 1
                assert column.type in PLAIN or column.name in NAMES, f"{table.path}.{column.name} can be read"
            update = f'UPDATE {table.path} SET "{table.columns[0].name}" = DEFAULT'
            for statement in (f"INSERT INTO {table.path} DEFAULT VALUES", update, f"DELETE FROM {table.path}"):
                await refused(connection, f"SET LOCAL ROLE dsr_{service}_sweeper; {statement}", None)
    assert read >= 8


async def test_the_roles_have_no_attribute_and_no_member(database: Database) -> None:
    connection = await asyncpg.connect(database.cluster.dsn(database.name))
    roles = await connection.fetch("SELECT * FROM pg_roles WHERE rolname LIKE 'dsr\\_%' AND rolname <> 'dsr_owner'")
    members = await connection.fetch(
        "SELECT member::regrole::text, roleid::regrole::text FROM pg_auth_members"
        " WHERE member::regrole::text LIKE 'dsr\\_%' AND NOT admin_option"
    )
    owned = await connection.fetch("SELECT relname FROM pg_class WHERE relowner::regrole::text LIKE 'dsr\\_%'")
    await connection.close()
    assert {role["rolname"] for role in roles} == {f"dsr_{s}{end}" for s in SERVICES for end in ("", "_sweeper")}
    for role in roles:
        for attribute in ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls"):
            assert not role[attribute], (role["rolname"], attribute)
        assert role["rolcanlogin"] == (not role["rolname"].endswith("_sweeper"))
        assert not (role["rolcanlogin"] and role["rolinherit"])
    assert {tuple(member) for member in members} == {(f"dsr_{s}", f"dsr_{s}_sweeper") for s in SERVICES}
    assert owned == []


async def test_every_table_of_partners_is_behind_row_level_security(database: Database) -> None:
    connection = await asyncpg.connect(database.cluster.dsn(database.name))
    rows = await connection.fetch(
        "SELECT relnamespace::regnamespace::text AS schema, relname, relrowsecurity AND relforcerowsecurity AS walled"
        " FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace::regnamespace::text = ANY ($1)",
        list(SCHEMAS),
    )
    await connection.close()
    open_ones = {row["relname"] for row in rows if not row["walled"] and not row["relname"].startswith(QUEUE)}
    assert open_ones <= OF_NOBODY, f"{open_ones - OF_NOBODY} are behind no wall"
    without = {t.name for t in database.tables if t.schema != "dsr" and not t.of_partners}
    assert {name for name in without if not name.startswith(QUEUE)} <= OF_NOBODY


async def test_migrating_twice_and_at_once_is_safe(postgres: Cluster, tmp_path: Path) -> None:
    dsn = postgres.create_database("twice")
    passwords = {schema: f"{schema}-secret" for schema in SCHEMAS}
    first, second = await asyncio.gather(migrate_all(dsn, passwords), migrate_all(dsn, passwords))
    assert not set(first) & set(second)
    assert {line.split(":")[0] for line in (*first, *second)} == set(SCHEMAS)
    (tmp_path / "owner").write_text(f"{dsn}\n")
    (tmp_path / "passwords").write_text(json.dumps(passwords))
    arguments = ["--owner-dsn-file", str(tmp_path / "owner"), "--passwords", str(tmp_path / "passwords")]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "deploy.database", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing to do\n", "")
    postgres.drop_database("twice")


async def test_what_is_wrong_with_the_command_is_said_without_its_secrets(postgres: Cluster, tmp_path: Path) -> None:
    owner, passwords = tmp_path / "owner", tmp_path / "passwords"
    good = postgres.dsn()
    for dsn, content, expected in (
        (postgres.dsn("postgres", "postgres", "hush"), "{}", "the owner's role or password is not accepted"),
        (f"postgresql://x:hush@127.0.0.1:{free_port()}/x", "{}", "can't be reached"),
        ("hush", "{}", "looks like postgresql://"),
        (good, "hush", "is not JSON"),
        (good, '{"acess": "hush"}', "names acess; there are governance, access, portability, erasure"),
        (good, '{"access": ["hush"]}', "must be an object: schema to password"),
    ):
        owner.write_text(dsn)
        passwords.write_text(content)
        with pytest.raises(SystemExit, match=expected) as caught:
            await command(["--owner-dsn-file", str(owner), "--passwords", str(passwords)])
        assert "hush" not in str(caught.value)
    with pytest.raises(SystemExit, match="absent: No such file"):
        await command(["--owner-dsn-file", str(tmp_path / "absent")])
