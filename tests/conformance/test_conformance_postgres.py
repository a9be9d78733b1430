"""The postgres connector keeps the contract, through the real host."""

import secrets
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from dsr.conformance.bench import Bench, open_bench
from dsr.conformance.check import Check
from dsr.conformance.grants import GrantKey
from dsr.conformance.material import Material
from dsr.conformance.testing import CHECKS, expect

from deploy.local.postgres import Cluster
from tests.conformance.harness import Keys, open_backends, serve
from tests.support.contract import Told

SOURCE = "partners/acme/dataSources/shop"
DOWN = "partners/acme/dataSources/down"
SCHEMA = """
CREATE TABLE countries (code text PRIMARY KEY);
CREATE TABLE customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number text UNIQUE, email text,
    country text REFERENCES countries, seen timestamptz, name text, restricted boolean NOT NULL DEFAULT false
);
CREATE INDEX ON customers (lower(email));
CREATE TABLE orders (
    shop int, id bigint, customer_id bigint NOT NULL REFERENCES customers, total numeric, PRIMARY KEY (shop, id)
);
CREATE INDEX ON orders (customer_id);
CREATE TABLE items (
    shop int, order_id bigint, line int, what text, PRIMARY KEY (shop, order_id, line),
    FOREIGN KEY (shop, order_id) REFERENCES orders ON DELETE CASCADE
);
CREATE TABLE messages (
    id bigint PRIMARY KEY, sender text, recipient text, body text
);
CREATE INDEX ON messages (sender);
CREATE TABLE invoices (id bigint PRIMARY KEY, customer_number text, address text);
CREATE INDEX ON invoices (customer_number);
INSERT INTO countries VALUES ('IE');
INSERT INTO customers (number, email, country, seen)
SELECT 'C-' || n, 'person' || n || '@example.com', 'IE', CASE n WHEN 20 THEN timestamptz '2020-01-01'
WHEN 21 THEN NULL ELSE '2026-11-01' END FROM generate_series(1, 30) n;
INSERT INTO orders
SELECT s, c.id * 10 + o, c.id, 9.99 FROM customers c, generate_series(1, 2) s, generate_series(1, 2) o;
INSERT INTO items SELECT shop, id, l, 'thing' FROM orders, generate_series(1, 3) l;
INSERT INTO messages SELECT c.id, c.number, 'C-1', 'hello' FROM customers c;
INSERT INTO invoices SELECT c.id, c.number, 'street ' || c.id FROM customers c;
"""
OWNED = "OWNED"
COLLECTIONS: dict[str, Any] = {
    "public.countries": {"no_personal_data": True},
    "public.customers": {
        "people": True,
        "identity": {
            "number": {"type": "customer_number", "unique": True},
            "email": {"type": "email", "match": "case_fold", "unique": True},
        },
        "references": {"customers_country_fkey": "LOOKUP"},
        "amendable": ["name"],
        "flags": {"restriction": {"column": "restricted"}},
    },
    "public.orders": {"references": {"orders_customer_id_fkey": OWNED}, "amendable": ["total"]},
    "public.items": {"references": {"items_shop_order_id_fkey": OWNED}},
    "public.messages": {"identity": {"sender": {"type": "customer_number"}}},
    "public.invoices": {"identity": {"customer_number": {"type": "customer_number"}}},
}
RECORDS = {
    "public.customers": 1,
    "public.orders": 4,
    "public.items": 12,
    "public.messages": 1,
    "public.invoices": 1,
}
MATERIAL = {
    "present": {"identities": {"customer_number": "C-1"}, "records": RECORDS},
    "absent": {"identities": {"customer_number": "C-404", "email": "nobody@example.com"}},
    "disposable": {
        "identities": {"customer_number": "C-12"},
        "records": RECORDS,
        "instructions": {"public.invoices": "RETAIN", "public.messages": {"anonymise": {"sender": None, "body": "-"}}},
        "amend": {"public.customers": {"name": "Ann O'Neil"}, "public.orders": {"total": "12.50"}},
    },
    "unreachable": DOWN,
    "people": 30,
    "destroyable": True,
    "inactive": {
        "collection": "public.customers",
        "field": "seen",
        "identity_type": "customer_number",
        "before": "2026-01-01T00:00:00Z",
        "unused": "C-20",
        "used": "C-1",
        "unknown": "C-21",
    },
}


@pytest.fixture(scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory, postgres: Cluster) -> AsyncIterator[Bench]:
    folder = tmp_path_factory.mktemp("postgres")
    name = f"conformance_{secrets.token_hex(4)}"
    dsn = postgres.create_database(name)
    connection = await asyncpg.connect(dsn)
    await connection.execute(SCHEMA)
    await connection.close()
    keys = Keys.make(folder)
    options = {"dsn": dsn, "collections": COLLECTIONS}
    down = {**options, "dsn": "postgresql://nobody:none@127.0.0.1:1/none"}
    sources = {SOURCE: {"kind": "postgres", "options": options}, DOWN: {"kind": "postgres", "options": down}}
    grant_key = GrantKey.load(folder / "grant-key.json")
    material = Material.parse(MATERIAL)
    async with (
        serve(keys, open_backends(keys, sources)) as target,
        open_bench(target, SOURCE, keys.credential, material, grant_key, 20) as opened,
    ):
        yield opened
    postgres.drop_database(name)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.rule)
async def test_postgres_keeps_the_contract(check: Check, bench: Bench, told: Told) -> None:
    told("postgres", await expect(check, bench))
