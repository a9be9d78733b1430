"""CountPeople: everybody once, in scope, as Locate tells people apart; and how sure that is."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import pytest

from connectors.postgres import PostgresBackend
from dsrkit.errors import DsrError
from tests.integration.postgres.harness import backend
from tests.support.counting import count

SCHEMA = """
CREATE TABLE account (id int PRIMARY KEY, tenant int, email text, number int);
CREATE TABLE guest (id int PRIMARY KEY, tenant int, email text);
CREATE TABLE visit (id int PRIMARY KEY, tenant int, email text);
CREATE INDEX ON account (lower(email)); CREATE INDEX ON guest (lower(email)); CREATE INDEX ON visit (email);
CREATE INDEX ON account (number);
INSERT INTO account VALUES (1, 1, 'ann@x', 1), (2, 1, 'Ann@x', 2), (3, 1, 'bob@x', 3), (4, 2, 'eve@x', 4);
INSERT INTO guest VALUES (1, 1, 'BOB@x'), (2, 1, 'carl@x'), (3, 2, 'dan@x');
INSERT INTO visit VALUES (1, 1, 'ann@x'), (2, 1, 'zoe@x');
"""
FOLDED = {"type": "email", "unique": True, "match": "case_fold"}
NUMBER = {"type": "number", "unique": True}
Open = Callable[[Mapping[str, Any]], AbstractAsyncContextManager[PostgresBackend]]


@pytest.fixture
async def open_source(database: str) -> Open:
    connection = await asyncpg.connect(database)
    await connection.execute(SCHEMA)
    await connection.close()

    @asynccontextmanager
    async def open_it(collections: Mapping[str, Any]) -> AsyncIterator[PostgresBackend]:
        others = {f"public.{name}": {"no_personal_data": True} for name in ("account", "guest", "visit")}
        source = backend(database, {"scope": {"tenant": 1}, "collections": {**others, **collections}})
        yield source
        await source.close()

    return open_it


@pytest.mark.policy("P8", "the source itself counts the people concerned: everybody once, and marked exact or not")
async def test_everybody_is_counted_once(open_source: Open) -> None:
    people = {"people": True, "identity": {"email": FOLDED}}
    visits = {"identity": {"email": FOLDED}}
    declared = {"public.account": people, "public.guest": people, "public.visit": visits}
    async with open_source(declared) as source:
        # Visits are no people; Bob has an account and was a guest; the other tenant's people are not this source's.
        collections = {"public.account": ("email", 2, True), "public.guest": ("email", 2, True)}
        assert await count(source) == (collections, 3, True)
    async with open_source({"public.visit": visits}) as source:
        assert await count(source) == ({"public.visit": ("email", 2, True)}, 2, True)


async def test_who_can_not_be_told_apart_makes_it_an_estimate(open_source: Open, database: str) -> None:
    numbered = {"people": True, "identity": {"number": NUMBER, "email": FOLDED}}
    guests = {"people": True, "identity": {"email": FOLDED}}
    async with open_source({"public.account": numbered, "public.guest": guests}) as source:
        collections = {"public.account": ("number", 3, True), "public.guest": ("email", 2, True)}
        assert await count(source) == (collections, 5, False)
    connection = await asyncpg.connect(database)
    await connection.execute("INSERT INTO guest VALUES (7, 1, NULL), (8, 1, ' ')")
    await connection.close()
    async with open_source({"public.guest": guests}) as source:
        assert await count(source) == ({"public.guest": ("email", 4, False)}, 4, False)
    async with open_source({"public.guest": {"identity": {"email": FOLDED}}}) as source:
        assert await count(source) == ({"public.guest": ("email", 2, False)}, 2, False)
    shared = {"people": True, "identity": {"email": {"type": "email"}}}
    async with open_source({"public.guest": shared}) as source:
        assert await count(source) == ({"public.guest": ("", 4, False)}, 4, False)


async def test_without_people_there_is_nothing_to_count(open_source: Open) -> None:
    async with open_source({"public.visit": {"identity": {"email": {"type": "email"}}}}) as source:
        with pytest.raises(DsrError) as caught:
            await count(source)
    assert caught.value.reason == "NOT_COUNTABLE"
