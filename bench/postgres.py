"""Set-based against row by row, side by side in one run: `python -m bench.postgres [--scale 1.0]`.

The database has the shape and, at scale 1, the size that a known open-source tool was measured on (customers 100,000;
addresses 200,000; payment_cards 150,000; orders 1,000,000; order_items 3,000,000; every foreign key indexed; an
ordinary person has 45 rows in 5 tables). "Row by row" is what such tools do, in its fastest form: the same driver, one
SELECT per table with the keys found so far, one UPDATE or DELETE and one commit per row, no journal, no checks.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import psutil
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant
from dsr.v1.subject_pb2 import Identity

from connectors.backend import SourceConfig
from connectors.postgres import PostgresBackend, open_backend
from deploy.local.postgres import Cluster

SOURCE = "partners/bench/dataSources/shop"
TABLES = ("customers", "addresses", "payment_cards", "orders", "order_items")
SCHEMA = """
CREATE TABLE customers (id bigint PRIMARY KEY, email text NOT NULL, name text, created timestamptz DEFAULT now());
CREATE TABLE addresses (id bigint PRIMARY KEY, customer_id bigint NOT NULL, street text, city text);
CREATE TABLE payment_cards (id bigint PRIMARY KEY, customer_id bigint NOT NULL, holder text, last_four text);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL, placed timestamptz, total numeric(12, 2));
CREATE TABLE order_items (id bigint PRIMARY KEY, order_id bigint NOT NULL, article text, price numeric(12, 2));
"""
KEYS = """
CREATE UNIQUE INDEX ON customers (email);
CREATE INDEX ON addresses (customer_id);
CREATE INDEX ON payment_cards (customer_id);
CREATE INDEX ON orders (customer_id);
CREATE INDEX ON order_items (order_id);
ALTER TABLE addresses ADD CONSTRAINT addresses_customer FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE payment_cards ADD CONSTRAINT payment_cards_customer FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE order_items ADD CONSTRAINT order_items_order FOREIGN KEY (order_id) REFERENCES orders;
ANALYZE;
"""
COLLECTIONS = {
    "public.customers": {"people": True, "identity": {"email": {"type": "email", "unique": True}}},
    "public.addresses": {"references": {"addresses_customer": "OWNED"}},
    "public.payment_cards": {"references": {"payment_cards_customer": "OWNED"}},
    "public.orders": {"references": {"orders_customer": "OWNED"}},
    "public.order_items": {"references": {"order_items_order": "OWNED"}},
}
PERSONAL = {
    "customers": ["name"],
    "addresses": ["street", "city"],
    "payment_cards": ["holder", "last_four"],
    "orders": ["placed"],
    "order_items": ["article"],
}


async def fill(dsn: str, scale: float) -> int:
    """Makes the database, and returns the number of ordinary customers. One more has 80,001 rows."""
    people = int(100_000 * scale)
    connection = await asyncpg.connect(dsn)
    await connection.execute(SCHEMA)
    for sql in (
        "INSERT INTO customers SELECT n, 'person' || n || '@example.com', 'Name ' || n FROM generate_series(1, $1) n",
        "INSERT INTO addresses SELECT n, 1 + n / 2, 'Street ' || n, 'City' FROM generate_series(0, 2 * $1 - 1) n",
        "INSERT INTO payment_cards SELECT n, 1 + n * 2 / 3, 'Holder', '0000' FROM generate_series(0, $1 * 3 / 2 - 1) n",
        "INSERT INTO orders SELECT n, 1 + n / 10, now(), 9.99 FROM generate_series(0, 10 * $1 - 1) n",
        "INSERT INTO order_items SELECT n, n / 3, 'Article ' || n % 1000, 3.33 FROM generate_series(0, 30 * $1 - 1) n",
    ):
        await connection.execute(sql.replace("$1", f"{people}::bigint"), timeout=600)
    for sql in (
        "INSERT INTO customers VALUES ($1 + 1, 'large@example.com', 'Large')",
        "INSERT INTO orders SELECT 10 * $1 + n, $1 + 1, now(), 9.99 FROM generate_series(0, 19999) n",
        "INSERT INTO order_items SELECT 30 * $1 + n, 10 * $1 + n / 3, 'Part', 3.33 FROM generate_series(0, 59999) n",
    ):
        await connection.execute(sql.replace("$1", f"{people}::bigint"), timeout=600)
    await connection.execute(KEYS, timeout=600)
    await connection.close()
    return people


class SetBased:
    """The connector itself, with its locks, fingerprints, checks and journal."""

    name = "set-based (this connector)"

    def __init__(self, dsn: str) -> None:
        options = {"dsn": dsn, "collections": COLLECTIONS, "max_records_per_subject": 0}
        self.backend: PostgresBackend = open_backend(
            SourceConfig(SOURCE, "postgres", options, b"k" * 32, Path("unused"))
        )
        self._task = 0

    async def access(self, emails: Sequence[str]) -> int:
        records = 0
        for email in emails:
            request = pb.ExportRequest(subject=_subject(email))
            async for message in self.backend.export(request, self._grant({})):
                records += message.trailer.records
        return records

    async def anonymise(self, emails: Sequence[str]) -> int:
        return await self._erase(emails, PERSONAL)

    async def delete(self, emails: Sequence[str]) -> int:
        return await self._erase(emails, {})

    async def _erase(self, emails: Sequence[str], fields: dict[str, list[str]]) -> int:
        subjects = [_subject(email) for email in emails]
        located = {}
        async for message in self.backend.locate(pb.LocateRequest(source=SOURCE, subjects=subjects)):
            if message.HasField("located"):
                located[message.located.subject_ref] = message.located.collections
        request = pb.EraseRequest(
            subjects=[pb.EraseSubject(subject=s, expected=located[s.subject_ref]) for s in subjects]
        )
        records = 0
        async for answer in self.backend.erase(request, self._grant(fields)):
            if answer.HasField("erased"):
                assert answer.erased.outcome == pb.Erased.OUTCOME_ERASED, answer.erased
                records += sum(c.deleted + c.anonymised for c in answer.erased.collections)
        return records

    def _grant(self, fields: dict[str, list[str]]) -> Grant:
        self._task += 1
        grant = Grant(source=SOURCE, task=f"bench-{self._task}", attempt=1)
        for name in TABLES:
            action = CollectionInstruction.ACTION_ANONYMISE if fields else CollectionInstruction.ACTION_DELETE
            instruction = grant.instructions.add(collection=f"public.{name}", action=action, cap=1_000_000)
            for field in fields.get(name, []):
                instruction.anonymise.add(field=field)
        return grant

    async def close(self) -> None:
        await self.backend.close()


class RowByRow:
    """One statement per row, one transaction per row."""

    name = "row by row"

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Any = None

    async def access(self, emails: Sequence[str]) -> int:
        return sum(
            [len(orjson.dumps(found, default=str)) and _count(found) for e in emails for found in [await self._find(e)]]
        )

    async def anonymise(self, emails: Sequence[str]) -> int:
        records = 0
        for email in emails:
            for name, rows in (await self._find(email)).items():
                sets = ", ".join(f"{field} = NULL" for field in PERSONAL[name])
                for row in rows:
                    await self._connection.execute(f"UPDATE {name} SET {sets} WHERE id = $1", row["id"])  # noqa: S608
                    records += 1
        return records

    async def delete(self, emails: Sequence[str]) -> int:
        records = 0
        for email in emails:
            for name, rows in reversed((await self._find(email)).items()):
                for row in rows:
                    await self._connection.execute(f"DELETE FROM {name} WHERE id = $1", row["id"])  # noqa: S608
                    records += 1
        return records

    async def _find(self, email: str) -> dict[str, list[dict[str, Any]]]:
        if self._connection is None:
            self._connection = await asyncpg.connect(self._dsn)
        found = {"customers": await self._connection.fetch("SELECT * FROM customers WHERE email = $1", email)}
        people = [row["id"] for row in found["customers"]]
        for name in ("addresses", "payment_cards", "orders"):
            query = f"SELECT * FROM {name} WHERE customer_id = ANY ($1)"  # noqa: S608
            found[name] = await self._connection.fetch(query, people)
        orders = [row["id"] for row in found["orders"]]
        found["order_items"] = await self._connection.fetch(
            "SELECT * FROM order_items WHERE order_id = ANY ($1)", orders
        )
        return {name: [dict(row) for row in rows] for name, rows in found.items()}

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()


def _count(found: dict[str, list[dict[str, Any]]]) -> int:
    return sum(map(len, found.values()))


def _subject(email: str) -> pb.Subject:
    return pb.Subject(subject_ref=email, identities=[Identity(type="email", value=email)])


async def measured(
    work: Callable[[Sequence[str]], Awaitable[int]], emails: Sequence[str]
) -> tuple[float, float, int, float]:
    """(wall seconds, own CPU seconds, records, growth of resident memory in MB)."""
    process = psutil.Process()
    memory, cpu, start = process.memory_info().rss, time.process_time(), time.perf_counter()
    records = await work(emails)
    wall = time.perf_counter() - start
    return wall, time.process_time() - cpu, records, (process.memory_info().rss - memory) / 1e6


async def run(dsn: str, scale: float) -> None:
    people = await fill(dsn, scale)
    ways = (SetBased(dsn), RowByRow(dsn))
    print(f"{people:,} customers; {os.cpu_count()} processors; server with fsync on\n")
    print(f"{'workload':44} {'way':28} {'records':>8} {'ms/person':>10} {'CPU ms':>8} {'RSS +MB':>8}")
    taken = 0

    async def compare(workload: str, verb: str, number: int, batch: int = 1, large: bool = False) -> None:
        nonlocal taken
        for way in ways:
            emails = ["large@example.com"] if large else [f"person{taken + n + 1}@example.com" for n in range(number)]
            taken += 0 if large else number
            wall = cpu = memory = 0.0
            records = 0
            for start in range(0, len(emails), batch):
                figures = await measured(getattr(way, verb), emails[start : start + batch])
                wall, cpu, records, memory = (
                    wall + figures[0],
                    cpu + figures[1],
                    records + figures[2],
                    memory + figures[3],
                )
            each = len(emails)
            print(
                f"{workload:44} {way.name:28} {records / each:8,.0f} {wall / each * 1000:10.2f}"
                f" {cpu / each * 1000:8.2f} {memory:8.1f}"
            )

    for way in ways:
        await way.access(["person1@example.com"])
    await compare("access, one after the other", "access", 50)
    await compare("anonymise, one after the other", "anonymise", 50)
    await compare("delete, one after the other", "delete", 50)
    await compare("delete, 100 people in one call", "delete", 100, batch=100)
    await compare("access, 80,001 rows", "access", 1, large=True)
    await compare("anonymise, 80,001 rows", "anonymise", 1, large=True)
    for way in ways:
        await way.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--scale", type=float, default=0.2, help="1.0 is 4.45 million rows; default 0.2")
    scale = parser.parse_args().scale
    with tempfile.TemporaryDirectory(prefix="dsr-bench-") as folder:
        Path(folder).chmod(0o755)  # for root the server runs as another user
        with Cluster.start(Path(folder) / "postgres") as cluster:
            asyncio.run(run(cluster.create_database("bench"), scale))


if __name__ == "__main__":
    main()
