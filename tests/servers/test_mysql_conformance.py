"""The mysql connector keeps the contract, through the real host, on a real MariaDB."""

import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dsr.conformance.bench import Bench, open_bench
from dsr.conformance.check import Check
from dsr.conformance.grants import GrantKey
from dsr.conformance.material import Material
from dsr.conformance.testing import CHECKS, expect

from tests.conformance.harness import Keys, open_backends, serve
from tests.servers.programs import MariaDb
from tests.support.contract import Told

SOURCE = "partners/acme/dataSources/shop"
DOWN = "partners/acme/dataSources/down"
SCHEMA = """
CREATE TABLE countries (code char(2) PRIMARY KEY);
CREATE TABLE customers (
    id bigint unsigned AUTO_INCREMENT PRIMARY KEY, number varchar(40) UNIQUE, email varchar(200),
    country char(2), seen datetime, name varchar(40), restricted tinyint NOT NULL DEFAULT 0, INDEX (email),
    CONSTRAINT customers_country FOREIGN KEY (country) REFERENCES countries (code)
);
CREATE TABLE orders (
    shop int, id bigint, customer_id bigint unsigned NOT NULL, total decimal(10, 2), PRIMARY KEY (shop, id),
    CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers (id)
);
CREATE TABLE items (
    shop int, order_id bigint, line int, what text, PRIMARY KEY (shop, order_id, line),
    CONSTRAINT items_order FOREIGN KEY (shop, order_id) REFERENCES orders (shop, id) ON DELETE CASCADE
);
CREATE TABLE messages (id bigint PRIMARY KEY, sender varchar(40), recipient varchar(40), body text, INDEX (sender));
CREATE TABLE invoices (
    id bigint PRIMARY KEY, customer_number varchar(40) COLLATE utf8mb4_bin, address text, INDEX (customer_number)
);
INSERT INTO countries VALUES ('IE');
INSERT INTO customers (number, email, country, seen)
SELECT concat('C-', seq), concat('person', seq, '@example.com'), 'IE', CASE seq WHEN 20 THEN '2020-01-01'
WHEN 21 THEN NULL ELSE '2026-11-01' END FROM seq_1_to_30;
INSERT INTO orders SELECT s.seq, c.id * 10 + o.seq, c.id, 9.99 FROM customers c, seq_1_to_2 s, seq_1_to_2 o;
INSERT INTO items SELECT shop, id, l.seq, 'thing' FROM orders, seq_1_to_3 l;
INSERT INTO messages SELECT c.id, c.number, 'C-1', 'hello' FROM customers c;
INSERT INTO invoices SELECT c.id, c.number, concat('street ', c.id) FROM customers c;
"""
NAMES = ("customers", "orders", "items", "messages", "invoices")


def collections(database: str) -> dict[str, Any]:
    return {
        f"{database}.countries": {"no_personal_data": True},
        f"{database}.customers": {
            "people": True,
            "identity": {
                "number": {"type": "customer_number", "unique": True},
                "email": {"type": "email", "match": "case_fold", "unique": True},
            },
            "references": {"customers_country": "LOOKUP"},
            "amendable": ["name"],
            "flags": {"restriction": {"column": "restricted", "set": 1, "clear": 0}},
        },
        f"{database}.orders": {"references": {"orders_customer": "OWNED"}, "amendable": ["total"]},
        f"{database}.items": {"references": {"items_order": "OWNED"}},
        f"{database}.messages": {"identity": {"sender": {"type": "customer_number"}}},
        f"{database}.invoices": {"identity": {"customer_number": {"type": "customer_number"}}},
    }


def material(database: str) -> dict[str, Any]:
    records = dict(zip((f"{database}.{name}" for name in NAMES), (1, 4, 12, 1, 1), strict=True))
    return {
        "present": {"identities": {"customer_number": "C-1"}, "records": records},
        "absent": {"identities": {"customer_number": "C-404", "email": "nobody@example.com"}},
        "disposable": {
            "identities": {"customer_number": "C-12"},
            "records": records,
            "instructions": {
                f"{database}.invoices": "RETAIN",
                f"{database}.messages": {"anonymise": {"sender": None, "body": "-"}},
            },
            "amend": {f"{database}.customers": {"name": "Ann O'Neil"}, f"{database}.orders": {"total": "12.50"}},
        },
        "unreachable": DOWN,
        "people": 30,
        "inactive": {
            "collection": f"{database}.customers",
            "field": "seen",
            "identity_type": "customer_number",
            "before": "2026-01-01T00:00:00Z",
            "unused": "C-20",
            "used": "C-1",
            "unknown": "C-21",
        },
    }


@pytest.fixture(scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory, mariadb_server: MariaDb) -> AsyncIterator[Bench]:
    folder = tmp_path_factory.mktemp("mysql")
    database = f"conformance_{secrets.token_hex(4)}"
    mariadb_server.execute(f"CREATE DATABASE {database}; USE {database}; {SCHEMA}")
    keys = Keys.make(folder)
    options = {"dsn": mariadb_server.dsn(database), "collections": collections(database)}
    down = {**options, "dsn": "mysql://nobody:none@127.0.0.1:1/none"}
    sources = {SOURCE: {"kind": "mysql", "options": options}, DOWN: {"kind": "mysql", "options": down}}
    grant_key = GrantKey.load(folder / "grant-key.json")
    async with (
        serve(keys, open_backends(keys, sources)) as target,
        open_bench(target, SOURCE, keys.credential, Material.parse(material(database)), grant_key, 20) as opened,
    ):
        yield opened


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.rule)
async def test_mysql_keeps_the_contract(check: Check, bench: Bench, told: Told) -> None:
    told("mysql", await expect(check, bench))
