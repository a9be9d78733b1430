"""Calls at the same instant, at the store: over RPCs they seldom are."""

import asyncio
import secrets
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg
import pytest

from deploy.local.postgres import Cluster
from dsrkit.db import open_pool, partner_snapshot, partner_transaction
from dsrkit.requests.model import Request
from dsrkit.requests.store import RequestStore
from services.access.domain import RIGHT

PARTNER = "partners/acme"
CALLS, ROUNDS = 6, 60


@pytest.fixture
async def pool(postgres: Cluster, template: str) -> AsyncIterator[asyncpg.Pool]:
    name = f"at_once_{secrets.token_hex(4)}"
    async with open_pool(postgres.create_database(name, template=template), "access") as opened:
        yield opened
    postgres.drop_database(name)


async def test_one_of_many_creations_makes_the_request(pool: asyncpg.Pool) -> None:
    store = RequestStore(pool, RIGHT, cast(Any, None))

    async def create(request: Request) -> Request | None:
        async with partner_transaction(pool, PARTNER) as connection:
            return await store.create(connection, request)

    for _ in range(ROUNDS):
        # As from one `request_id`: the resource's id follows from it.
        new = _request()
        made = await asyncio.gather(*(create(new) for _ in range(CALLS)))
        assert [one.id for one in made if one] == [new.id]


async def test_what_is_read_of_one_request_is_of_one_instant(pool: asyncpg.Pool) -> None:
    store = RequestStore(pool, RIGHT, cast(Any, None))
    new = _request()
    async with partner_transaction(pool, PARTNER) as connection:
        await store.create(connection, new)
    async with partner_snapshot(pool, PARTNER) as reading:
        assert (await store.get(reading, new.id)).state == "PENDING"
        async with partner_transaction(pool, PARTNER) as writing:
            await store.save(writing, replace(await store.lock(writing, new.id), state="CANCELLED"))
        assert (await store.get(reading, new.id)).state == "PENDING"
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await store.record_order(reading, new)
    async with partner_snapshot(pool, PARTNER) as reading:
        assert (await store.get(reading, new.id)).state == "CANCELLED"


def _request() -> Request:
    now = datetime.now(UTC)
    return Request(
        partner=PARTNER,
        id=uuid.uuid4(),
        request_id=uuid.uuid4(),
        body_digest=b"digest",
        state="PENDING",
        creator="urn:dsr:partner:acme#clerk",
        creator_actors=(),
        capacity="REQUESTER_CAPACITY_SELF",
        received_time=now,
        time_zone="Europe/Dublin",
        due_time=now,
        extension=None,
        data_map_revision=1,
        data_sources=(),
        refusal=None,
        facts={},
        sealed=None,
        bundle_expire_time=None,
        next_event=1,
        create_time=now,
        update_time=now,
        complete_time=None,
    )
