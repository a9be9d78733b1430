"""People put into the shop for a test: each is like Ann Walsh, under names that occur nowhere else."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import asyncpg

from deploy.local.shop.files import create_files
from deploy.local.shop.witness import Witness
from dsrkit.db import load_sql

LEFT = {"public.invoices": 3, "public.reviews": 2}
"""Rows of a person after an erasure: kept by law, and anonymised."""
FILES = 5


@dataclass(frozen=True)
class Person:
    """One of them."""

    id: int
    customer_number: str
    email: str
    given_name: str
    family_name: str
    phone: str
    street: str
    review_ids: str
    """As PostgreSQL writes an array."""
    page_views: int

    @property
    def identity(self) -> dict[str, str]:
        """What a request says of the person."""
        return {"type": "email", "value": self.email}

    @property
    def counts(self) -> dict[str, int]:
        """Rows by table while the person is there."""
        return {
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
            "public.page_views": self.page_views,
            "public.newsletter_subscriptions": 1,
        }

    async def witness(self, connection: asyncpg.Connection) -> Witness:
        """A witness who knows the person even when the account is gone, on a new connection."""
        await connection.execute("SET timezone = 'UTC'; SET intervalstyle = 'iso_8601'")
        remember = load_sql("deploy.local.shop")["remember"]
        await connection.fetchrow(remember, str(self.id), self.customer_number, self.email, self.review_ids)
        return Witness(connection, self.id, self.customer_number, self.email)


async def add_person(
    connection: asyncpg.Connection,
    files: Path,
    number: int,
    *,
    tag: str = "",
    page_views: int = 40,
) -> Person:
    """Adds person `number` (from 1 up) to the database and the folder. `tag` goes into every name."""
    key, tag = 910_000 + number, tag or f"p{number}"
    customer, email = f"C-9{number:05}-{tag}", f"mail.{tag}@shopper.example"
    given, family, phone = f"Given{tag}", f"Family{tag}", f"+353 20 911 {number:04}"
    street, name = f"{number} {tag} Road", f"Given{tag} Family{tag}"
    sql = statements()
    async with connection.transaction():
        await connection.execute(sql["add_customer"], key, customer, email, given, family, phone)
        await connection.execute(sql["add_addresses"], key, name, street)
        for each in ("orders", "order_items", "payments", "carts", "cart_items", "tickets", "notes"):
            await connection.execute(sql[f"add_{each}"], key)
        await connection.execute(sql["add_messages"], key, name)
        await connection.execute(sql["add_invoices"], key, customer, name, street, email)
        await connection.execute(sql["add_reviews"], key, name)
        await connection.execute(sql["add_page_views"], key, page_views)
        await connection.execute(sql["add_subscription"], email)
        reviews = await connection.fetchval(sql["review_ids"], key)
    create_files(files, [customer])
    return Person(key, customer, email, given, family, phone, street, reviews, page_views)


async def shrink(connection: asyncpg.Connection) -> None:
    """Leaves 300 of the crowd."""
    await connection.execute(statements()["shrink"])
    await connection.execute("VACUUM (FULL, ANALYZE)")


@cache
def statements() -> dict[str, str]:
    """The named statements of e2e_people.sql."""
    text = Path(__file__).with_name("e2e_people.sql").read_text()
    blocks = re.split(r"^-- name: ", text, flags=re.MULTILINE)[1:]
    return {name.strip(): body.strip() for name, _, body in (block.partition("\n") for block in blocks)}
