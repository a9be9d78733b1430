"""The same four people in every kind of store, and what each store itself says it holds."""

import csv
import gzip
import io
import json
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncmy
import asyncpg
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
from redis.asyncio import Redis

from tests.servers.programs import MariaDb, RedisServer

PEOPLE = {
    "ann": ("ann@example.com", "7"),
    "joann": ("joann@example.com", "70"),
    "australian": ("ann@example.com.au", "007"),
    "shouting": ("ANN@example.com", "07"),
}
"""Name to e-mail and number. In the lake the ids are numbers, but for `shouting`, whose id is the text "7"."""
_LAKE_IDS: Mapping[str, Any] = {"ann": 7, "joann": 70, "australian": "007", "shouting": "7"}
_QUOTED_IDS = {person: number for person, (_, number) in PEOPLE.items()} | {"shouting": '"7"'}
"""Where everything is text: an id that has the quotes in it."""
NUMBER = {"customer_number": {"unique": True}}
OBJECTS: dict[str, Any] = {
    "documents": {"objects": "documents/{customer_number}/**/*", "identity": NUMBER},
    "events": {
        "lake": "events/**/*.jsonl.gz",
        "format": "jsonl",
        "identity": {
            "customer_number": {"field": "user.id", "value": "number", "unique": True},
            "email": {"field": "user.email"},
        },
    },
    "visits": {
        "lake": "visits/*.csv",
        "format": "csv",
        "identity": {"customer_number": {"field": "id", "unique": True}},
    },
    "purchases": {"lake": "purchases/*.parquet", "format": "parquet", "identity": {"email": {}, **NUMBER}},
}

Records = Counter[str]
"""Everything that a store holds, record by record. One that is somebody's contains that person's mark."""


def mark(person: str) -> str:
    """What stands in everything of a person's, and nowhere else."""
    return f"<{person}>"


@dataclass(frozen=True)
class Place:
    """A store with everybody in it."""

    name: str
    kind: str
    options: Mapping[str, Any]
    read: Callable[[], Awaitable[Records]]
    """Reads all of it, past the platform."""


async def postgres(dsn: str, match: str) -> Place:
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "CREATE TABLE customers (id int PRIMARY KEY, email text, number text UNIQUE, about text);"
        "CREATE TABLE orders (id serial PRIMARY KEY, customer_id int REFERENCES customers, what text)"
    )
    for key, (person, (email, number)) in enumerate(PEOPLE.items()):
        await connection.execute("INSERT INTO customers VALUES ($1, $2, $3, $4)", key, email, number, mark(person))
        await connection.execute("INSERT INTO orders (customer_id, what) VALUES ($1, $2)", key, mark(person))
    await connection.close()

    async def read() -> Records:
        connection = await asyncpg.connect(dsn)
        rows = [row for table in ("customers", "orders") for row in await connection.fetch(f"SELECT * FROM {table}")]
        await connection.close()
        return Counter(map(repr, rows))

    identity = {
        "email": {"type": "email", "match": match, "unique": True},
        "number": {"type": "customer_number", "unique": True},
    }
    collections = {
        "public.customers": {"people": True, "identity": identity},
        "public.orders": {"references": {"orders_customer_id_fkey": "OWNED"}},
    }
    return Place("register", "postgres", {"dsn": dsn, "schemas": ["public"], "collections": collections}, read)


async def mysql(server: MariaDb) -> Place:
    """The collation knows neither case nor trailing spaces; the connector does."""
    database = f"everywhere_{secrets.token_hex(4)}"
    values = ", ".join(
        f"({n}, '{email}', '{number}', '{mark(p)}')" for n, (p, (email, number)) in enumerate(PEOPLE.items())
    )
    server.execute(
        f"CREATE DATABASE {database} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci; USE {database};"
        "CREATE TABLE members (id int PRIMARY KEY, email varchar(100), number varchar(20), about text, INDEX (number));"
        f"INSERT INTO members VALUES {values}"
    )

    async def read() -> Records:
        connection = await asyncmy.connect(host="127.0.0.1", port=server.port, user="root", database=database)
        async with connection.cursor() as cursor:
            await cursor.execute("SELECT * FROM members")
            rows = await cursor.fetchall()
        await connection.ensure_closed()
        return Counter(map(repr, rows))

    identity = {"email": {"type": "email"}, "number": {"type": "customer_number", "unique": True}}
    options = {"dsn": server.dsn(database), "collections": {f"{database}.members": {"identity": identity}}}
    return Place("club", "mysql", options, read)


async def redis(server: RedisServer) -> Place:
    database = 3
    async with Redis(port=server.port, db=database) as client:
        await client.flushdb()
        for person, (email, number) in PEOPLE.items():
            await client.hset(f"user:{number}", mapping={"about": mark(person)})
            await client.set(f"session:{person}", json.dumps({"email": email, "about": mark(person)}), ex=9_999)
            await client.hset("carts", _QUOTED_IDS[person], mark(person))

    async def read() -> Records:
        records: Records = Counter()
        reader: Any = Redis(port=server.port, db=database, decode_responses=True)
        async with reader as client:
            for key in await client.keys("*"):
                if await client.type(key) == "string":
                    records[f"{key} {await client.get(key)}"] += 1
                else:
                    for item in (await client.hgetall(key)).items():
                        records[f"{key} {item}"] += 1
        return records

    collections = {
        "users": {"key": "user:{customer_number}", "identity": NUMBER},
        "sessions": {"key": "session:*", "identity": {"email": {"field": "email"}}},
        "carts": {"key": "carts", "each": "field", "identity": {"customer_number": {}}},
    }
    return Place("cache", "redis", {"url": f"{server.url}/{database}", "collections": collections}, read)


async def files(folder: Path) -> Place:
    """Folders that are somebody's, and a lake beside them."""
    written = {key: content for key, content in contents().items() if not key.startswith("documents/")}
    for person, number in _QUOTED_IDS.items():
        written |= {f"letters/{number}/{name}": mark(person).encode() for name in ("a.txt", "deep/b.txt")}
    for key, content in written.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(content)

    async def read() -> Records:
        records: Records = Counter()
        for path in (path for path in folder.rglob("*") if path.is_file()):  # noqa: ASYNC240 - nothing else runs
            records += records_of(str(path.relative_to(folder)), path.read_bytes())
        return records

    lakes = {name: declared for name, declared in OBJECTS.items() if "lake" in declared}
    collections = {"letters": {"pattern": "letters/{customer_number}/**/*", "identity": NUMBER}, **lakes}
    return Place("files", "filesystem", {"root": str(folder), "collections": collections}, read)


def contents() -> dict[str, bytes]:
    """Key to bytes of everything in an object store: documents, and a lake."""
    result = {f"documents/{number}/a.txt": mark(person).encode() for person, (_, number) in PEOPLE.items()}
    rows = [
        {"user": {"id": _LAKE_IDS[person], "email": email}, "about": mark(person)}
        for person, (email, _) in PEOPLE.items()
    ]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows * 3)
    result["events/2025/a.jsonl.gz"] = gzip.compress(lines.encode())
    visits = io.StringIO()
    csv.writer(visits).writerows([("id", "about"), *((_QUOTED_IDS[person], mark(person)) for person in PEOPLE)])
    result["visits/2025.csv"] = visits.getvalue().encode()
    table = [
        {"customer_number": number, "email": email, "about": mark(person)} for person, (email, number) in PEOPLE.items()
    ]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(table), sink)
    result["purchases/2025.parquet"] = sink.getvalue()
    return result


def records_of(key: str, content: bytes) -> Records:
    """An object's bytes as records: of a lake each by itself, and the bytes between them must not hold more."""
    if key.endswith(".gz"):
        return Counter(f"{key} {line}" for line in gzip.decompress(content).decode().splitlines())
    if key.endswith(".csv"):
        return Counter(f"{key} {line}" for line in content.decode().splitlines())
    if key.endswith(".parquet"):
        rows = pq.read_table(io.BytesIO(content)).to_pylist()
        told = {str(row["about"]) for row in rows}
        betrayed = [mark(person) for person in PEOPLE if mark(person) not in told and mark(person).encode() in content]
        return Counter(f"{key} {row}" for row in [*rows, *betrayed])
    return Counter([f"{key} {content.decode()}"])


async def s3(client: Any, address: Mapping[str, str], folder: Path) -> Place:
    """A bucket with versions, in which every document has a past."""
    bucket = f"everywhere-{secrets.token_hex(4)}"
    await client.create_bucket(Bucket=bucket)
    await client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key, content in contents().items():
        await client.put_object(Bucket=bucket, Key=key, Body=content)
    for key, content in contents().items():
        if key.startswith("documents/"):
            await client.put_object(Bucket=bucket, Key=key, Body=content)

    async def read() -> Records:
        records: Records = Counter()
        listed = await client.list_object_versions(Bucket=bucket)
        for item in listed.get("Versions", ()):
            answer = await client.get_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])
            records += records_of(item["Key"], await answer["Body"].read())
        return records + Counter(item["Key"] for item in listed.get("DeleteMarkers", ()))

    credentials = folder / "s3.json"
    names = ("access_key_id", "secret_access_key")
    credentials.write_text(json.dumps({name: address[name] for name in names}))
    options = {
        "bucket": bucket,
        "region": "us-east-1",
        "endpoint": address["endpoint"],
        "credentials_file": str(credentials),
        "collections": OBJECTS,
    }
    return Place("bucket", "s3", options, read)


async def swift(client: httpx.AsyncClient, address: Mapping[str, str], folder: Path) -> Place:
    """A container with versions, in which every document has a past."""
    signed = await client.get(
        address["auth_url"], headers={"X-Auth-User": address["user"], "X-Auth-Key": address["key"]}
    )
    token, container = {"X-Auth-Token": signed.headers["X-Auth-Token"]}, f"everywhere-{secrets.token_hex(4)}"
    store = f"{signed.headers['X-Storage-Url']}/{container}"
    (await client.put(store, headers={**token, "X-Versions-Enabled": "true"})).raise_for_status()
    for key, content in [*contents().items(), *contents().items()]:
        if key.startswith("documents/") or not (await client.head(f"{store}/{quote(key)}", headers=token)).is_success:
            (await client.put(f"{store}/{quote(key)}", headers=token, content=content)).raise_for_status()

    async def read() -> Records:
        records: Records = Counter()
        listed = await client.get(store, headers=token, params={"format": "json", "versions": "true"})
        for item in listed.json():
            if item["content_type"].startswith("application/x-deleted"):
                records[item["name"]] += 1
                continue
            answer = await client.get(
                f"{store}/{quote(item['name'])}", headers=token, params={"version-id": item["version_id"]}
            )
            records += records_of(item["name"], answer.raise_for_status().content)
        return records

    (folder / "swift.json").write_text(json.dumps({"user": address["user"], "key": address["key"]}))
    options = {
        "container": container,
        "auth": "1",
        "auth_url": address["auth_url"],
        "credentials_file": str(folder / "swift.json"),
        "collections": OBJECTS,
    }
    return Place("archive", "swift", options, read)
