"""The shop: what is in it, and that its witness sees a change of a single row of anybody's."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from deploy.local.postgres import Cluster
from deploy.local.shop import files
from deploy.local.shop.database import CONNECTOR_ROLE, create_connector_role, create_shop
from deploy.local.shop.sources import data_map
from deploy.local.shop.witness import COLLECTIONS, Witness

ANN = "ann.walsh@example.com"


@pytest.fixture(scope="module")
async def database_of_the_shop(postgres: Cluster) -> AsyncIterator[str]:
    yield await create_shop(postgres, "test_shop")
    postgres.drop_database("test_shop")


@pytest.fixture
async def shop(database_of_the_shop: str) -> AsyncIterator[asyncpg.Connection]:
    """What a test changes is undone in the end."""
    connection = await asyncpg.connect(database_of_the_shop)
    undone = connection.transaction()
    await undone.start()
    yield connection
    await undone.rollback()
    await connection.close()


@pytest.mark.long
async def test_it_is_as_large_as_it_says(shop: asyncpg.Connection) -> None:
    witness = await Witness.of(shop, ANN)
    others = await witness.others()
    assert others["public.customers"].rows >= 20_000
    assert sum(checksum.rows for checksum in others.values()) >= 500_000
    assert len(others) == 17


@pytest.mark.long
async def test_ann_walsh_is_known_row_by_row(shop: asyncpg.Connection) -> None:
    witness = await Witness.of(shop, ANN)
    assert witness.customer_number == "C-104217"
    assert await witness.counts() == {
        "public.customers": 1,
        "public.addresses": 2,
        "public.orders": 6,
        "public.order_items": 18,
        "public.payments": 6,
        "public.invoices": 3,
        "public.reviews": 2,
        "public.carts": 1,
        "public.cart_items": 2,
        "public.support_tickets": 1,
        "public.support_messages": 4,
        "public.notes": 7,
        "public.page_views": 40,
        "public.newsletter_subscriptions": 1,
    }
    assert (await witness.records("public.customers"))[0]["full_name"] == "Ann Walsh"


@pytest.mark.long
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE customers SET phone = NULL WHERE email = 'ANN.WALSH@example.com'",
        "DELETE FROM page_views WHERE ctid = (SELECT ctid FROM page_views WHERE customer_id = 900002 LIMIT 1)",
        "UPDATE products SET price = price + 0.01 WHERE id = 1",
        "INSERT INTO newsletter_subscriptions VALUES ('ann.walsh@example.com.', '{}', now(), '{}')",
    ],
)
async def test_a_change_to_somebody_else_is_seen(shop: asyncpg.Connection, change: str) -> None:
    witness = await Witness.of(shop, ANN)
    before = await witness.others()
    await shop.execute(change)
    after = await witness.others()
    assert len([table for table in before if before[table] != after[table]]) == 1


@pytest.mark.long
async def test_what_happens_to_the_person_changes_nothing_of_the_others(shop: asyncpg.Connection) -> None:
    witness = await Witness.of(shop, ANN)
    before = await witness.others()
    await shop.execute("""
        UPDATE reviews SET author_name = '', body = NULL WHERE customer_id = 900001;
        DELETE FROM payments WHERE order_id IN (SELECT id FROM orders WHERE customer_id = 900001);
        DELETE FROM notes WHERE subject_type = 'Customer' AND subject_id = 900001;
        DELETE FROM notes WHERE subject_type = 'Order'
            AND subject_id IN (SELECT id FROM orders WHERE customer_id = 900001);
        DELETE FROM orders WHERE customer_id = 900001;
        DELETE FROM support_tickets WHERE customer_id = 900001;
        DELETE FROM page_views WHERE customer_id = 900001;
        UPDATE customers SET default_address_no = NULL WHERE id = 900001;
        DELETE FROM customers WHERE id = 900001""")
    assert await witness.others() == before
    assert await witness.counts() == {
        "public.invoices": 3,
        "public.reviews": 2,
        "public.newsletter_subscriptions": 1,
    }


@pytest.mark.long
async def test_the_connector_may_work_on_rows_and_nothing_else(shop: asyncpg.Connection, postgres: Cluster) -> None:
    await create_connector_role(postgres.dsn("test_shop"), "it's a secret")
    connector = await asyncpg.connect(postgres.dsn("test_shop", CONNECTOR_ROLE, "it's a secret"))
    assert await connector.fetchval("SELECT count(*) FROM countries") == 8
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connector.execute("DROP TABLE countries")
    await connector.close()


def test_the_data_map_names_every_table_with_personal_data() -> None:
    mapped = {collection.collection for source in data_map().sources for collection in source.collections}
    assert mapped == {*COLLECTIONS, "avatars", "letters", "invoices"}


def test_files_are_the_same_every_time(tmp_path: Path) -> None:
    count = files.create_files(tmp_path / "one")
    assert count == files.create_files(tmp_path / "two") > 1000
    everything = files.checksum(tmp_path / "one")
    assert everything == files.checksum(tmp_path / "two")
    others = files.checksum(tmp_path / "one", without="C-104217")
    assert sorted(everything.keys() - others.keys()) == [
        "avatars/C-104217.png",
        "invoices/C-104217/2024-03.pdf",
        "invoices/C-104217/2025-01.pdf",
        "letters/C-104217/2022/welcome.txt",
        "letters/C-104217/2024/returns/label.pdf",
    ]
