"""Verify: what is left, found without joining from what is gone."""

from typing import Any

import asyncpg
import pytest

from connectors.postgres import PostgresBackend
from dsrkit.errors import DsrError
from tests.integration.postgres.harness import DELETE, RETAIN, anchors, backend, locate, rows, subject, verify

ANN = subject(email="ann@example.com")
ALL: dict[str, Any] = dict.fromkeys(
    ["customers", "addresses", "orders", "order_items", "clicks", "comments", "notes", "messages"], DELETE
) | {"invoices": RETAIN}


async def orphan(connection: asyncpg.Connection, *statements: str) -> None:
    """Deletes behind the keys' back, as a restored dump or a careless script does."""
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            await connection.execute(statement)


async def test_children_show_when_the_parents_are_gone(source: PostgresBackend, connection: asyncpg.Connection) -> None:
    left = await anchors(source, ANN)
    await orphan(connection, "DELETE FROM customers WHERE tenant_id = 1 AND id = 7")
    assert not (await locate(source, ANN))["s0"].collections
    verified = await verify(source, ANN, left, ALL)
    assert "customers" not in verified
    assert verified["orders"] == (0, 10, ["customer_id", "id", "placed", "tenant_id"])
    assert verified["order_items"] == (0, 30, ["order_id", "order_placed", "order_tenant"])
    assert verified["notes"] == (0, 11, ["subject_id"])
    assert verified["messages"] == (0, 2, ["recipient_id", "sender_id", "tenant_id"])
    assert verified["invoices"] == (1, 0, [])


async def test_a_person_who_came_back_is_found_by_any_name(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    """Asked for by e-mail, betrayed by the customer number that Locate had found."""
    left = await anchors(source, ANN)
    await orphan(connection, "UPDATE customers SET email = 'new@example.com', id = 9999 WHERE tenant_id = 1 AND id = 7")
    assert (await verify(source, ANN, left, {"customers": DELETE}))["customers"] == (0, 1, ["customer_number"])


async def test_without_anchors_only_the_given_names_are_looked_for(source: PostgresBackend) -> None:
    assert await verify(source, ANN, [], ALL) == {"customers": (0, 1, ["email"])}


async def test_others_who_share_a_telephone_are_no_remnant(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    left = await anchors(source, ANN)
    tables = ("order_items", "orders", "notes", "clicks", "comments", "messages", "addresses")
    await orphan(connection, *(f"DELETE FROM {table}" for table in tables))  # noqa: S608
    await orphan(connection, "DELETE FROM customers WHERE tenant_id = 1 AND id = 7")
    assert await verify(source, ANN, left, ALL) == {"invoices": (1, 0, [])}


async def test_half_an_anonymisation_is_unexplained(source: PostgresBackend, connection: asyncpg.Connection) -> None:
    left = await anchors(source, ANN)
    plan = {"customers": {"name": None, "phone": "-"}}
    await connection.execute("UPDATE customers SET name = NULL WHERE tenant_id = 1 AND id = 7")
    assert (await verify(source, ANN, left, plan))["customers"][:2] == (0, 1)
    await connection.execute("UPDATE customers SET phone = '-' WHERE tenant_id = 1 AND id = 7")
    assert (await verify(source, ANN, left, plan))["customers"] == (1, 0, [])


async def test_another_partners_rows_are_not_looked_at(source: PostgresBackend, connection: asyncpg.Connection) -> None:
    left = await anchors(source, ANN)
    tables = ("customers", "addresses", "orders", "clicks", "comments", "messages", "notes", "invoices")
    await orphan(connection, *(f"DELETE FROM {table} WHERE tenant_id = 1" for table in tables))  # noqa: S608
    await orphan(connection, "DELETE FROM order_items WHERE order_tenant = 1")
    assert await verify(source, ANN, left, ALL) == {}


async def test_verify_changes_nothing(source: PostgresBackend, connection: asyncpg.Connection) -> None:
    left, before = await anchors(source, ANN), await rows(connection)
    await verify(source, ANN, left, ALL)
    assert await rows(connection) == before


@pytest.mark.parametrize(
    ("collection", "fields", "values"),
    [
        ("public.nowhere", ["id"], ["[1]"]),
        ("public.customers", ["nothing"], ["[1]"]),
        ("public.customers", ["email"], ["ann@example.com"]),
        ("public.customers", ["tenant_id", "id"], ["[1]"]),
        ("public.customers", ["tenant_id", "id"], ['[1, {"$ne": 0}]']),
    ],
)
async def test_anchors_that_locate_never_sent_are_refused(
    source: PostgresBackend, collection: str, fields: list[str], values: list[str]
) -> None:
    forged = (await anchors(source, ANN))[0]
    forged.collection, forged.fields[:], forged.values[:] = collection, fields, values
    with pytest.raises(DsrError) as caught:
        await verify(source, ANN, [forged], ALL)
    assert caught.value.reason == "FIELD_INVALID"
    assert "ann" not in caught.value.message


async def test_an_anchor_that_its_column_can_not_hold_is_no_remnant(source: PostgresBackend) -> None:
    """A key of another type, or of a column that has changed its type since."""
    left = [a for a in await anchors(source, ANN) if list(a.fields) == ["tenant_id", "id"]]
    left[0].values[:] = ['[1, "seven"]', '[1, "99999999999999999999"]']
    assert await verify(source, subject(email="nobody@example.com"), left, ALL) == {}


async def test_the_slice_of_a_schema_is_all_that_exists(shop: str, connection: asyncpg.Connection) -> None:
    await connection.execute("CREATE SCHEMA other; CREATE TABLE other.customers (id integer PRIMARY KEY, email text)")
    await connection.execute("INSERT INTO other.customers VALUES (1, 'ann@example.com')")
    options = {"collections": {"other.customers": {"identity": {"email": {"type": "email"}}}}, "schemas": ["other"]}
    source = backend(shop, options)
    described, located = await source.describe(), (await locate(source, ANN))["s0"]
    await source.close()
    assert [c.name for c in described.collections] == ["other.customers"]
    assert [(c.collection, c.records) for c in located.collections] == [("other.customers", 1)]
