"""Export: every value comes back equal, on one snapshot, in bounded memory, without what is to be withheld."""

import json
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from connectors.mysql import MysqlBackend
from dsrkit.errors import DsrError
from tests.integration.postgres.harness import RETAIN, SOURCE, export, grant, subject
from tests.integration.postgres.test_postgres_export import Digits, parse, written
from tests.servers.mysql.harness import HERE, Database, backend, declaration

ANN = subject(email="ann@example.com")
EXPORT = Grant.OPERATION_EXPORT
VALUES = [line for line in (HERE / "values.sql").read_text().splitlines() if line and line[0] != "-"]


def copy_of(*collections: str, **fields: list[str]) -> Grant:
    instructions = [CollectionInstruction(collection=f"public.{name}", **fields) for name in collections]  # type: ignore[arg-type]
    return Grant(source=SOURCE, operation=EXPORT, task="copy", attempt=1, instructions=instructions)


async def test_only_named_collections_are_copied_and_shared_rows_are_among_them(source: MysqlBackend) -> None:
    copied = await export(source, ANN, copy_of("customers", "messages", "countries"))
    assert set(copied) == {"customers", "messages"}
    assert {m["id"] for m in copied["messages"]} == {1000007, 1000008}
    assert copied["customers"][0]["email"] == "ann@example.com"
    assert (copied["customers"][0]["name_length"], copied["customers"][0]["initial"]) == (3, "A")


async def test_redacted_fields_never_leave_the_database(source: MysqlBackend) -> None:
    messages = [
        m
        async for m in source.export(pb.ExportRequest(subject=ANN), copy_of("customers", redact_fields=["phone", "id"]))
    ]
    header = messages[0].header
    assert list(header.withheld_fields) == ["id", "phone"]
    assert not {"id", "phone"} & {field.name for field in header.fields}
    assert not header.primary_key
    assert b"7946" not in b"".join(m.data for m in messages)


async def test_included_fields_are_all_there_is(source: MysqlBackend) -> None:
    copied = await export(source, ANN, copy_of("customers", include_fields=["name", "mood"]))
    assert copied == {"customers": [{"name": "Ann", "mood": "ok"}]}


@pytest.fixture
async def box(database: Database) -> AsyncIterator[tuple[Database, MysqlBackend]]:
    """An empty table `box` is made by the test; the source is opened when it is first used."""
    identity = {"owner": {"type": "customer_number"}}
    source = backend(database.dsn, {"collections": {"public.box": {"identity": identity}}})
    yield database, source
    await source.close()


@pytest.mark.parametrize("entry", VALUES, ids=lambda entry: entry.partition(":")[0])
async def test_values_of_every_type_come_back_equal(box: tuple[Database, MysqlBackend], entry: str) -> None:
    """`type: expression ; …` of values.sql: what was exported, put back by the documented rule, is the value."""
    database, source = box
    declared, _, listed = entry.partition(": ")
    script = [
        "SET time_zone = '+00:00'",
        f"CREATE TABLE box (owner varchar(9), n int PRIMARY KEY, v {declared})",
        "CREATE TABLE back LIKE box",
    ]
    script += [f"INSERT INTO box VALUES ('me', {n}, {value})" for n, value in enumerate(listed.split(" ; "))]
    database.script(";\n".join(script))
    copied = (await export(source, subject(customer_number="me"), copy_of("box"), parse))["box"]
    fields = {f.name: f for c in (await source.describe()).collections for f in c.fields}
    assert len(copied) == len(listed.split(" ; "))
    back = [f"INSERT INTO back VALUES ('me', {r['n']}, {restored(r['v'], fields['v'])})" for r in copied]
    database.script("SET time_zone = '+00:00';\n" + ";\n".join(back))
    how = {"json": "JSON_COMPACT({})", "double": "{}"}.get(declared, "HEX({})")
    if declared.startswith(("float", "double", "decimal")):
        how = "CAST({} AS double)" if declared.startswith("float") else "{}"
    was, now = how.format("box.v"), how.format("back.v")
    differing = await database.fetch(
        f"SELECT n, {was}, {now} FROM box LEFT JOIN back USING (n)"
        f" WHERE NOT CAST({was} AS binary) <=> CAST({now} AS binary)"
    )
    assert list(differing) == []


def restored(value: Any, field: pb.Field) -> str:
    """The rule of docs/connectors/mysql.md for reading a value back: an expression of MariaDB's."""
    kind = field.native_type.partition("(")[0].partition(" ")[0]
    if value is None:
        return "NULL"
    if kind in ("json", "longtext") and field.type == "any":  # a string holds JSON that is itself a string or null
        return text(value if isinstance(value, str) and not isinstance(value, Digits) else written(value))
    if kind.endswith(("binary", "blob")):
        return f"FROM_BASE64({text(value)})"
    if kind == "bit":
        return f"b'{value}'"
    if kind == "timestamp":
        return text(value.removesuffix("Z"))
    if isinstance(value, str) and value.startswith("SRID="):
        srid, _, shape = value.removeprefix("SRID=").partition(";")
        return f"ST_GeomFromText({text(shape)}, {srid})"
    return str(value) if isinstance(value, Digits) else text(value)


def text(value: str) -> str:
    return f"CONVERT(X'{value.encode().hex()}' USING utf8mb4)"


async def test_zero_dates_are_copied_as_they_stand(box: tuple[Database, MysqlBackend]) -> None:
    database, source = box
    database.script("""
        SET sql_mode = '';
        CREATE TABLE box (owner varchar(9), n int PRIMARY KEY, d date, t datetime, s timestamp);
        INSERT INTO box VALUES ('me', 1, '0000-00-00', '0000-00-00 00:00:00', 0);
        INSERT INTO box VALUES ('me', 2, '2026-02-00', '2026-00-01 10:00:00', 0);
    """)
    copied = (await export(source, subject(customer_number="me"), copy_of("box")))["box"]
    assert [(r["d"], r["t"], r["s"]) for r in copied] == [
        ("0000-00-00", "0000-00-00T00:00:00", "0000-00-00T00:00:00Z"),
        ("2026-02-00", "2026-00-01T10:00:00", "0000-00-00T00:00:00Z"),
    ]


async def test_names_of_columns_are_data_and_nothing_else(box: tuple[Database, MysqlBackend]) -> None:
    database, source = box
    names = ["a`b", "a'b", 'a"b', "a\\b", "{a}", "a?b", ":1:", "a b", "ä", "%s", "select"]
    columns = ", ".join(f"`{name.replace('`', '``')}` int" for name in names)
    await database.execute(f"CREATE TABLE box (owner varchar(9), n int PRIMARY KEY, {columns})")
    await database.execute(f"INSERT INTO box VALUES ('me', 1{', 7' * len(names)})")
    copied = (await export(source, subject(customer_number="me"), copy_of("box")))["box"]
    assert copied == [{"owner": "me", "n": 1} | dict.fromkeys(names, 7)]


async def test_eighty_thousand_rows_stream_in_bounded_memory(box: tuple[Database, MysqlBackend]) -> None:
    database, source = box
    database.script("""
        CREATE TABLE box (owner varchar(9), n int PRIMARY KEY, v text, INDEX (owner));
        INSERT INTO box SELECT 'me', seq, repeat(md5(seq), 12) FROM seq_1_to_80001;
        ANALYZE TABLE box;
    """)
    process = psutil.Process()
    before, most, records, size = process.memory_info().rss, 0, 0, 0
    async for message in source.export(pb.ExportRequest(subject=subject(customer_number="me")), copy_of("box")):
        most = max(most, process.memory_info().rss)
        records += message.trailer.records
        size += len(message.data)
    assert records == 80001
    assert size > 32_000_000
    assert most - before < 64 << 20


async def test_the_copy_shows_one_instant(source: MysqlBackend, shop: Database) -> None:
    """Rows that change or arrive between two collections of one copy are not in it."""
    seen: dict[str, int] = {}
    name = ""
    async for message in source.export(pb.ExportRequest(subject=ANN), copy_of("customers", "orders", "comments")):
        if message.HasField("header"):
            name = message.header.collection
            await shop.execute(f"INSERT INTO orders VALUES (1, {7000 + len(seen)}, '2026-01-01', 7, 1)")
            await shop.execute("DELETE FROM comments WHERE tenant_id = 1 AND author_id = 7")
        elif message.HasField("trailer"):
            seen[name] = message.trailer.records
    assert seen == {"public.customers": 1, "public.orders": 10, "public.comments": 30}


@pytest.mark.parametrize(
    "key", ["float", "double", "bit(9)", "datetime(6)", "time(3)", "varbinary(9)", "uuid", "enum('a','b')"]
)
async def test_keys_of_any_type_find_their_rows(box: tuple[Database, MysqlBackend], key: str) -> None:
    """Keys travel over the connection and back."""
    database, source = box
    values = {
        "float": ["0.1", "-3.4028234e38"],
        "double": ["0.1", "0.30000000000000004"],
        "bit(9)": ["b'000000111'", "b'100000000'"],
        "datetime(6)": ["'2026-11-24 03:04:05.000001'", "'0001-01-01 00:00:00'"],
        "time(3)": ["'-838:59:58.999'", "'26:00:00'"],
        "varbinary(9)": ["x'00ff27'", "x''"],
        "uuid": ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
        "enum('a','b')": ["'a'", "'b'"],
    }[key]
    await database.execute(f"CREATE TABLE box (owner varchar(9), v {key} PRIMARY KEY)")
    await database.execute(f"INSERT INTO box VALUES {', '.join(f'({chr(39)}me{chr(39)}, {v})' for v in values)}")
    assert len((await export(source, subject(customer_number="me"), copy_of("box")))["box"]) == len(values)


async def test_an_abandoned_export_gives_its_connection_back(shop: Database) -> None:
    source = backend(shop.dsn, declaration() | {"pool_size": 1})
    for _ in range(3):
        messages = source.export(pb.ExportRequest(subject=ANN), copy_of("customers", "orders"))
        await anext(messages)
        await messages.aclose()  # type: ignore[attr-defined]
    assert (await export(source, ANN, grant({"customers": RETAIN}, operation=EXPORT)))["customers"]
    await source.close()


async def test_a_record_too_long_for_the_server_stops_the_copy_with_what_to_do(
    box: tuple[Database, MysqlBackend],
) -> None:
    database, source = box
    ((limit,),) = await database.fetch("SELECT @@global.max_allowed_packet")
    database.script(
        "CREATE TABLE box (owner varchar(9), n int PRIMARY KEY, v longtext);"
        f"INSERT INTO box VALUES ('me', 1, repeat('x', {limit // 2}));"
        f"UPDATE box SET v = concat(v, repeat('y', {limit // 4}));"
        f"ALTER TABLE box ADD w longtext; UPDATE box SET w = repeat('z', {limit // 2});"
    )
    with pytest.raises(DsrError) as caught:
        await export(source, subject(customer_number="me"), copy_of("box"), json.loads)
    assert caught.value.reason == "SOURCE_REJECTED"
    assert "max_allowed_packet" in caught.value.metadata["why"]
