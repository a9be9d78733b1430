"""Discovery, Describe and Probe: what the database says, what is proposed and why, and what is undecided."""

import asyncpg
import pytest
import yaml
from dsr.connector.v1 import connector_pb2 as pb
from typer import Typer
from typer.testing import CliRunner

from connectors.postgres import PostgresBackend
from connectors.postgres.cli import discover
from connectors.postgres.discover import draft
from dsrkit.errors import DsrError
from tests.integration.postgres.harness import backend, declaration, locate, subject


async def test_a_draft_fits_the_database_and_names_its_doubts(shop: str) -> None:
    text = await draft(shop)
    drafted = yaml.safe_load(text)
    collections = drafted["options"]["collections"]
    assert collections["public.countries"] == {"no_personal_data": True}
    assert collections["public.customers"]["people"] is True
    assert collections["public.customers"]["identity"]["email"] == {
        "type": "email",
        "match": "case_fold",
        "unique": True,
    }
    assert collections["public.order_items"]["references"] == {"order_items_order_fkey": "OWNED"}
    assert collections["public.messages"]["references"]["messages_sender_fkey"] == "SHARED"
    assert collections["public.notes"] == {}
    doubts = "\n".join(drafted["unsure"])
    for doubt in ("tenant_id stands in half", "messages (tenant_id, recipient_id)", "notes (subject_type, subject_id)"):
        assert doubt in doubts
    assert drafted["data_map"]["authoritative_for"] == ["customer_number", "email"]
    source = backend(shop, {"collections": collections})
    described = await source.describe()
    located = (await locate(source, subject(email="bob@example.com")))["s0"]
    await source.close()
    assert "UNDECLARED_COLLECTION" not in {finding.code for finding in described.findings}
    assert len(located.people) == 2
    assert "ann@" not in text


async def test_a_trigger_and_a_reference_without_constraint_are_doubts(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(
        "CREATE TABLE users (id integer PRIMARY KEY, email text UNIQUE);"
        "CREATE TABLE logins (id integer PRIMARY KEY, user_id integer, at timestamptz);"
        "CREATE TABLE settings (name text PRIMARY KEY, postcode text);"
        "CREATE VIEW seen AS SELECT email FROM users; CREATE MATERIALIZED VIEW copies AS SELECT email FROM users;"
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';"
        "CREATE TRIGGER audit BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION f()"
    )
    await connection.close()
    drafted = yaml.safe_load(await draft(database))
    doubts = "\n".join(drafted["unsure"])
    assert "trigger audit do on DELETE" in doubts
    assert "public.logins (user_id) -> public.users: OWNED, by the names alone" in doubts
    assert "public.copies: a materialized view can't be searched" in doubts
    assert "columns like postcode" in doubts
    reference = drafted["options"]["collections"]["public.logins"]["references"]["user_id_by_name"]
    assert (reference["target"], reference["target_columns"]) == ("public.users", ["id"])
    source = backend(database, {"collections": drafted["options"]["collections"]})
    assert {f.code for f in (await source.describe()).findings if f.blocks_erasure} == {"TRIGGER"}
    await source.close()


def test_the_command_prints_the_draft(shop: str) -> None:
    app = Typer()
    app.command()(discover)
    result = CliRunner().invoke(app, [shop, "--schema", "public"])
    assert result.exit_code == 0
    assert yaml.safe_load(result.output)["options"]["schemas"] == ["public"]
    absent = CliRunner().invoke(app, [shop, "--schema", "public", "--schema", "nope"])
    assert (absent.exit_code, absent.stdout) == (1, "")
    assert "nope" in absent.stderr
    nobody = CliRunner().invoke(app, [shop.rpartition("/")[0] + "/no_such_database"])
    assert "no database of that name" in nobody.stderr
    unreachable = CliRunner().invoke(app, ["postgresql://u:hunter2@127.0.0.1:1/x"])
    assert unreachable.exit_code == 1
    assert "hunter2" not in unreachable.output
    assert CliRunner().invoke(app, ["/nowhere.dsn"]).exit_code == 2


async def test_describe_tells_every_table_with_types_keys_and_references(source: PostgresBackend) -> None:
    described = await source.describe()
    collections = {c.name.removeprefix("public."): c for c in described.collections}
    assert len(collections) == 10
    assert collections["countries"].no_personal_data
    orders = collections["orders"]
    assert list(orders.primary_key) == ["tenant_id", "id", "placed"]
    assert {f.name: f.type for f in orders.fields}["total"] == "number"
    assert {f.name: f.native_type for f in orders.fields}["total"] == "numeric(12,2)"
    customers = collections["customers"]
    assert [f.name for f in customers.fields if f.generated] == ["name_length"]
    assert customers.people
    email = next(i for i in customers.identity_fields if i.field == "email")
    assert (email.match, email.unique) == (pb.IdentityField.MATCH_EXACT, True)
    items = collections["order_items"].references[0]
    assert (items.on_delete, items.ownership, items.reason) == ("CASCADE", pb.Reference.OWNERSHIP_OWNED, "declared")
    assert list(items.fields) == ["order_tenant", "order_id", "order_placed"]
    assert list(items.target_fields) == ["tenant_id", "id", "placed"]
    assert not collections["clicks"].primary_key
    assert described.max_records_per_subject == 10_000


async def test_probe_of_a_server_that_is_not_there_is_an_answer(shop: str) -> None:
    source = backend(shop.rpartition("/")[0] + "/no_such_database", declaration())
    probe = await source.probe()
    with pytest.raises(DsrError) as caught:
        await locate(source, subject(email="ann@example.com"))
    await source.close()
    assert not probe.reachable
    assert caught.value.reason == "SOURCE_UNAVAILABLE"


@pytest.mark.policy("P10", "a connector refuses an unencrypted connection in every call")
async def test_an_unencrypted_connection_is_refused_in_every_call(shop: str) -> None:
    source = backend("postgresql://u@db.example/x?sslmode=disable", declaration())
    for call in (source.describe(), source.probe(), locate(source, subject(email="ann@example.com"))):
        with pytest.raises(DsrError) as caught:
            await call
        assert caught.value.reason == "BACKEND_UNENCRYPTED"
    await source.close()


async def test_a_column_that_vanishes_is_said_by_its_path(shop: str, connection: asyncpg.Connection) -> None:
    source = backend(shop, declaration() | {"catalogue_max_age": 0.001})
    await locate(source, subject(email="ann@example.com"))
    await connection.execute("ALTER TABLE customers DROP COLUMN phone")
    with pytest.raises(DsrError) as caught:
        await locate(source, subject(email="ann@example.com"))
    await source.close()
    assert caught.value.reason == "SOURCE_REJECTED"
    assert caught.value.metadata["why"].startswith("options.collections.public.customers.identity.phone:")


async def test_names_that_look_like_sql_are_only_names(database: str) -> None:
    connection = await asyncpg.connect(database)
    odd = 'drop table "x"; --'
    quoted = '"' + odd.replace('"', '""') + '"'
    columns = f'{quoted} text PRIMARY KEY, "select" text, "{{}}" text, "%s$1" integer'
    await connection.execute(f"CREATE TABLE {quoted} ({columns})")
    await connection.execute(f"INSERT INTO {quoted} VALUES ('k', 'ann', '}}', 1)")  # noqa: S608 - the point of the test
    await connection.close()
    source = backend(database, {"collections": {f"public.{odd}": {"identity": {"select": {"type": "username"}}}}})
    located = (await locate(source, subject(username="ann")))["s0"]
    await source.close()
    assert [(c.collection, c.records) for c in located.collections] == [(f"public.{odd}", 1)]


async def test_case_folding_and_types_of_extensions(database: str) -> None:
    """A type with an equality of its own, outside the search path, as citext has it."""
    connection = await asyncpg.connect(database)
    await connection.execute(
        "CREATE SCHEMA ext; CREATE TYPE ext.loose;"
        "CREATE FUNCTION ext.loosein(cstring) RETURNS ext.loose LANGUAGE internal IMMUTABLE STRICT AS 'textin';"
        "CREATE FUNCTION ext.looseout(ext.loose) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';"
        "CREATE TYPE ext.loose (INPUT = ext.loosein, OUTPUT = ext.looseout, LIKE = text, CATEGORY = 'S',"
        " COLLATABLE = true);"
        "CREATE CAST (ext.loose AS text) WITHOUT FUNCTION AS IMPLICIT;"
        "CREATE CAST (text AS ext.loose) WITHOUT FUNCTION AS ASSIGNMENT;"
    )
    for name, operator in {"eq": "=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}.items():
        await connection.execute(
            f"CREATE FUNCTION ext.loose_{name}(ext.loose, ext.loose) RETURNS boolean LANGUAGE sql IMMUTABLE"
            f" AS 'SELECT lower($1::text) {operator} lower($2::text)';"
            f"CREATE OPERATOR ext.{operator} (LEFTARG = ext.loose, RIGHTARG = ext.loose, FUNCTION = ext.loose_{name})"
        )
    await connection.execute(
        "CREATE FUNCTION ext.loose_cmp(ext.loose, ext.loose) RETURNS integer LANGUAGE sql IMMUTABLE"
        " AS 'SELECT (lower($1::text) > lower($2::text))::int - (lower($1::text) < lower($2::text))::int';"
        "CREATE OPERATOR CLASS ext.loose_ops DEFAULT FOR TYPE ext.loose USING btree AS"
        " OPERATOR 1 ext.<, OPERATOR 2 ext.<=, OPERATOR 3 ext.=, OPERATOR 4 ext.>=, OPERATOR 5 ext.>,"
        " FUNCTION 1 ext.loose_cmp(ext.loose, ext.loose);"
        "CREATE TABLE people (email ext.loose PRIMARY KEY);"
        "CREATE TABLE logins (id integer PRIMARY KEY, email ext.loose REFERENCES people);"
        "INSERT INTO people VALUES ('Ann@example.com'), ('bob@example.com');"
        "INSERT INTO logins VALUES (1, 'ANN@example.com'), (2, 'ann@example.com'), (3, 'bob@example.com')"
    )
    await connection.close()
    for match, name, found in (
        ("exact", "Ann@example.com", 1),
        ("exact", "ann@example.com", 0),
        ("case_fold", "aNN@EXAMPLE.com", 1),
    ):
        collections = {
            "public.people": {"identity": {"email": {"type": "email", "match": match}}},
            "public.logins": {"references": {"logins_email_fkey": "OWNED"}},
        }
        source = backend(database, {"collections": collections})
        located = (await locate(source, subject(email=name)))["s0"]
        await source.close()
        counted = {c.collection: c.records for c in located.collections}
        assert counted == ({"public.people": 1, "public.logins": 2} if found else {})
