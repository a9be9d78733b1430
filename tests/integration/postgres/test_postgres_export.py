"""Export: every value comes back equal, on one snapshot, in bounded memory, without what is to be withheld."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.postgres import PostgresBackend
from dsrkit.errors import DsrError
from tests.integration.postgres.harness import RETAIN, SOURCE, backend, declaration, export, grant, subject

ANN = subject(email="ann@example.com")
EXPORT = Grant.OPERATION_EXPORT
VALUES = [line for line in (Path(__file__).parent / "values.sql").read_text().splitlines() if line and line[0] != "-"]


def copy_of(*collections: str, **fields: list[str]) -> Grant:
    instructions = [CollectionInstruction(collection=f"public.{name}", **fields) for name in collections]  # type: ignore[arg-type]
    return Grant(source=SOURCE, operation=EXPORT, task="copy", attempt=1, instructions=instructions)


async def test_only_named_collections_are_copied_and_shared_rows_are_among_them(source: PostgresBackend) -> None:
    copied = await export(source, ANN, copy_of("customers", "messages", "countries"))
    assert set(copied) == {"customers", "messages"}
    assert {m["id"] for m in copied["messages"]} == {1000007, 1000008}
    assert copied["customers"][0]["email"] == "ann@example.com"


async def test_redacted_fields_never_leave_the_database(source: PostgresBackend) -> None:
    permission = copy_of("customers", redact_fields=["phone", "id"])
    request = pb.ExportRequest(subject=ANN)
    messages = [m async for m in source.export(request, permission)]
    header = messages[0].header
    assert list(header.withheld_fields) == ["id", "phone"]
    assert not {"id", "phone"} & {field.name for field in header.fields}
    assert not header.primary_key
    assert b"7946" not in b"".join(m.data for m in messages)


async def test_included_fields_are_all_there_is(source: PostgresBackend) -> None:
    copied = await export(source, ANN, copy_of("customers", include_fields=["name", "mood"]))
    assert copied == {"customers": [{"name": "Ann", "mood": "ok"}]}


async def test_a_field_that_is_not_there_is_refused(source: PostgresBackend) -> None:
    with pytest.raises(DsrError) as caught:
        await export(source, ANN, copy_of("customers", redact_fields=["nmae"]))
    assert caught.value.metadata["field"] == "grant.instructions[0].redact_fields[0]"


@pytest.fixture
async def cabinet(database: str) -> AsyncIterator[tuple[asyncpg.Connection, Any]]:
    """An empty database, and a function that makes a source of the tables in it: one row, one person."""
    connection = await asyncpg.connect(database, server_settings={"timezone": "UTC", "intervalstyle": "iso_8601"})
    opened: list[PostgresBackend] = []

    async def source_of(*tables: str) -> PostgresBackend:
        declared = {f"public.{t}": {"identity": {"owner": {"type": "customer_number"}}} for t in tables}
        opened.append(backend(database, {"collections": declared}))
        return opened[-1]

    yield connection, source_of
    for source in opened:
        await source.close()
    await connection.close()


@pytest.mark.parametrize("entry", VALUES, ids=lambda entry: entry.partition(":")[0])
async def test_values_of_every_type_come_back_equal(cabinet: Any, entry: str) -> None:
    """`type: expression ; …` of values.sql: what was exported, cast back by the documented rule, is the value."""
    connection, source_of = cabinet
    declared, _, listed = entry.partition(": ")
    await connection.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'very happy'); CREATE TYPE pair AS (a integer, b text);"
        "CREATE DOMAIN score AS integer CHECK (value > 0); CREATE DOMAIN scores AS integer[]"
    )
    await connection.execute(f"CREATE TABLE box (owner text, n integer PRIMARY KEY, v {declared})")
    for n, expression in enumerate(listed.split(" ; ")):
        await connection.execute(f"INSERT INTO box VALUES ('me', {n}, ({expression})::{declared})")  # noqa: S608
    source = await source_of("box")
    copied = (await export(source, subject(customer_number="me"), copy_of("box"), parse))["box"]
    kinds = {f.name: f for c in (await source.describe()).collections for f in c.fields}
    await connection.execute("CREATE TABLE back (LIKE box)")
    for record in copied:
        back = restore(record["v"], kinds["v"])
        if isinstance(back, tuple):
            await connection.execute(
                "INSERT INTO back VALUES ('me', $1, decode($2, 'base64'))", int(record["n"]), back[0]
            )
        else:
            insert = f"INSERT INTO back VALUES ('me', $1, ($2::text)::{declared})"  # noqa: S608 - a type of values.sql
            await connection.execute(insert, int(record["n"]), back)
    differing = await connection.fetch(
        "SELECT n, box.v::text AS was, back.v::text AS is FROM box FULL JOIN back USING (n)"
        " WHERE (box.v IS NULL) IS DISTINCT FROM (back.v IS NULL) OR box.v::text IS DISTINCT FROM back.v::text"
    )
    assert [tuple(row) for row in differing] == []


def restore(value: Any, field: pb.Field) -> str | tuple[str] | None:
    """The rule of docs/connectors/postgres.md for reading a value back: text that PostgreSQL's own input takes."""
    if value is None:
        return None
    if field.native_type == "bytea":
        return (value,)
    if field.type == "any":  # JSON: a string holds JSON that is itself a string or null
        return value if isinstance(value, str) and not isinstance(value, Digits) else written(value)
    if field.type == "array":
        return value if isinstance(value, str) else literal(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).replace("INF", "Infinity") if field.type == "number" else str(value)


class Digits(str):
    """A JSON number as it was written."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written: a name may stand twice."""


def parse(line: bytes) -> Any:
    """A record in which nothing of its JSON columns is lost, as a careful reader reads it."""
    record = json.loads(line, parse_float=Digits, parse_int=Digits, object_pairs_hook=Pairs)
    return dict(record)


def written(value: Any) -> str:
    match value:
        case Digits():
            return str(value)
        case Pairs():
            return "{" + ", ".join(f"{json.dumps(name)}: {written(inner)}" for name, inner in value) + "}"
        case list():
            return "[" + ", ".join(map(written, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def literal(value: Any) -> str:
    """A JSON array as an array literal of PostgreSQL."""
    if isinstance(value, list):
        return "{" + ",".join(map(literal, value)) + "}"
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=200),
            st.floats(allow_nan=True, allow_infinity=True),
            st.integers(-(2**63), 2**63 - 1),
            st.binary(max_size=200),
            st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40),
            st.datetimes(),
            st.recursive(
                st.none()
                | st.booleans()
                | st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")),
                lambda inner: (
                    st.lists(inner, max_size=3) | st.dictionaries(st.text('ab\n"\\é', max_size=3), inner, max_size=3)
                ),
                max_leaves=5,
            ),
        ),
        min_size=1,
        max_size=8,
    )
)
async def test_arbitrary_values_come_back_equal(property_box: Any, records: list[tuple[Any, ...]]) -> None:
    connection, source = property_box
    await connection.execute("TRUNCATE box")
    await connection.executemany(
        "INSERT INTO box VALUES ('me', $1, $2, $3, $4, $5, $6, $7, $8)",
        [(n, *record[:6], json.dumps(record[6])) for n, record in enumerate(records)],
    )
    copied = (await export(source, subject(customer_number="me"), copy_of("box")))["box"]
    back = {record["n"]: record for record in copied}
    for n, (text, number, whole, blob, decimal, moment, tree) in enumerate(records):
        record = back[n]
        assert record["text"] == text
        assert record["whole"] == whole
        assert float(str(record["number"]).replace("INF", "inf")) == number or math.isnan(number)
        assert await connection.fetchval("SELECT decode($1, 'base64')", record["blob"]) == blob
        assert await connection.fetchval("SELECT $1::text::numeric", record["decimal"]) == decimal
        assert await connection.fetchval("SELECT $1::text::timestamp", record["moment"]) == moment
        given = json.loads(record["tree"]) if isinstance(record["tree"], str) else record["tree"]
        assert given == tree


@pytest.fixture
async def property_box(cabinet: Any) -> tuple[asyncpg.Connection, PostgresBackend]:
    connection, source_of = cabinet
    await connection.execute(
        "CREATE TABLE box (owner text, n integer PRIMARY KEY, text text, number float8, whole int8, blob bytea,"
        " decimal numeric, moment timestamp, tree jsonb)"
    )
    return connection, await source_of("box")


async def test_eighty_thousand_rows_stream_in_bounded_memory(cabinet: Any) -> None:
    connection, source_of = cabinet
    await connection.execute(
        "CREATE TABLE box (owner text, n integer PRIMARY KEY, v text);"
        "INSERT INTO box SELECT 'me', n, repeat(md5(n::text), 12) FROM generate_series(1, 80001) AS n;"
        "CREATE INDEX ON box (owner); ANALYZE box"
    )
    source, process = await source_of("box"), psutil.Process()
    before, most, records, size = process.memory_info().rss, 0, 0, 0
    async for message in source.export(pb.ExportRequest(subject=subject(customer_number="me")), copy_of("box")):
        most = max(most, process.memory_info().rss)
        records += message.trailer.records
        size += len(message.data)
    assert records == 80001
    assert size > 32_000_000
    assert most - before < 64 << 20


async def test_a_reader_slower_than_the_snapshot_may_be_is_cut_off(shop: str) -> None:
    source = backend(shop, declaration() | {"export_max_age": 0.3})
    messages = source.export(pb.ExportRequest(subject=ANN), copy_of("customers", "orders"))
    await anext(messages)
    await asyncio.sleep(0.4)
    with pytest.raises(DsrError) as caught:
        await anext(messages)
    await source.close()
    assert caught.value.reason in ("SOURCE_TIMEOUT", "SOURCE_UNAVAILABLE")


async def test_the_copy_shows_one_instant(source: PostgresBackend, connection: asyncpg.Connection) -> None:
    """Rows that change or arrive between two collections of one copy are not in it."""
    messages = source.export(pb.ExportRequest(subject=ANN), copy_of("customers", "orders", "comments"))
    seen: dict[str, int] = {}
    name = ""
    async for message in messages:
        if message.HasField("header"):
            name = message.header.collection
            await connection.execute("INSERT INTO orders VALUES (1, 7000 + $1, '2026-01-01', 7, 1)", len(seen))
            await connection.execute("DELETE FROM comments WHERE tenant_id = 1 AND author_id = 7")
        elif message.HasField("trailer"):
            seen[name] = message.trailer.records
    assert seen == {"public.customers": 1, "public.orders": 10, "public.comments": 30}


async def test_an_abandoned_export_gives_its_connection_back(shop: str) -> None:
    source = backend(shop, declaration() | {"pool_size": 1})
    for _ in range(3):
        messages = source.export(pb.ExportRequest(subject=ANN), copy_of("customers", "orders"))
        await anext(messages)
        await messages.aclose()  # type: ignore[attr-defined]
    assert (await export(source, ANN, grant({"customers": RETAIN}, operation=EXPORT)))["customers"]
    await source.close()
