"""A partner leaves: its slice of a real database is returned, confirmed, destroyed and counted, all by the platform."""

import io
import json
import secrets
import tempfile
import uuid
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from dsr.connector.v1 import connector_pb2
from dsr.connector.v1.grant_pb2 import Grant
from dsr.v1 import error_reason_pb2, portability_pb2
from dsr.v1 import termination_pb2 as pb

from connectors.backend import SourceConfig
from connectors.postgres import PostgresBackend
from deploy.local.postgres import Cluster
from tests.support.clock import virtual_time
from tests.support.services import CRM, PARTNER, SHOP, World, eventually, open_world, reason_of

T = pb.Termination
SCHEMA = """
CREATE TABLE people (tenant int NOT NULL, id bigint PRIMARY KEY, email text, friend bigint REFERENCES people);
CREATE TABLE forgotten (note text);
CREATE TABLE orders (id bigint PRIMARY KEY, person bigint NOT NULL REFERENCES people, total numeric);
INSERT INTO people SELECT t, t * 100 + n, 'p' || n || '@example.com', t * 100 + n % 5 + 1
FROM generate_series(1, 2) t, generate_series(1, 5) n;
INSERT INTO orders SELECT p.id * 10 + n, p.id, 1.10 FROM people p, generate_series(1, 3) n;
"""
OPTIONS: dict[str, Any] = {
    "scope": {"tenant": 1},
    "collections": {
        "public.people": {
            "people": True,
            "identity": {"email": {"type": "email", "unique": True}},
            "references": {"people_friend_fkey": "LOOKUP"},
        },
        "public.orders": {"references": {"orders_person_fkey": "OWNED"}},
    },
}


class Backend(PostgresBackend):
    """The real one; and as long as it `lies`, one that says that all is destroyed, and destroys nothing."""

    lies = False

    async def destroy(self, request: connector_pb2.DestroyRequest, grant: Grant) -> AsyncIterator[Any]:
        lies = self.lies and not request.count_only
        count = connector_pb2.DestroyRequest(count_only=True)
        async for message in super().destroy(count if lies else request, grant):
            if lies:
                message.destroyed.outcome = connector_pb2.Destroyed.OUTCOME_DESTROYED
                for collection in message.destroyed.collections:
                    collection.destroyed, collection.left = collection.left, 0
            yield message


@dataclass
class Setting:
    world: World
    backend: Backend
    slice: asyncpg.Connection

    async def left(self) -> tuple[int, int]:
        """Rows of the partner and of the other tenant, looked up directly."""
        count = "SELECT count(*) FILTER (WHERE p.tenant = 1), count(*) FILTER (WHERE p.tenant = 2) FROM people p"
        (people,) = await self.slice.fetch(count)
        (orders,) = await self.slice.fetch(f"{count} JOIN orders o ON o.person = p.id")
        return people[0] + orders[0], people[1] + orders[1]

    async def get(self, name: str) -> Any:
        message = pb.GetTerminationRequest(name=name)
        return await self.world.terminations.GetTermination(message, metadata=self.admin)

    async def item(self, name: str, source: str = CRM) -> Any:
        return next(item for item in (await self.get(name)).items if item.source == source)

    @property
    def admin(self) -> Any:
        return self.world.metadata("adam", "ROLE_ADMIN")

    async def begin(self, *, return_only: bool = False) -> str:
        message = pb.CreateTerminationRequest(parent=PARTNER, request_id=str(uuid.uuid4()), return_only=return_only)
        return str((await self.world.terminations.CreateTermination(message, metadata=self.admin)).name)

    async def waits_for(self, name: str, reason: int) -> bool:
        """Whether the termination says why the source isn't destroyed."""
        return bool((await self.item(name)).destroy_failure == reason)

    async def returned(self, name: str) -> Any:
        async def there() -> bool:
            return bool((await self.item(name)).packages)

        await eventually(there)
        return await self.item(name)

    async def by_hand(self, name: str, verb: str, **fields: Any) -> Any:
        message = getattr(pb, f"{verb}Request")(name=name, source=SHOP, request_id=str(uuid.uuid4()), **fields)
        return await getattr(self.world.terminations, verb)(message, metadata=self.world.operator())

    async def shop(self, name: str) -> Any:
        """What people return: the shop's connector can't."""
        package = T.Package(label="shop.tar", size_bytes=9, sha256="0" * 64)
        return await self.by_hand(name, "RecordReturn", packages=[package])

    async def confirm(self, name: str) -> Any:
        digest = (await self.shop(name)).manifest_digest
        message = pb.ConfirmReceiptRequest(name=name, manifest_digest=digest, request_id=str(uuid.uuid4()))
        return await self.world.terminations.ConfirmReceipt(
            message, metadata=self.world.metadata("bob", "ROLE_APPROVER")
        )


@pytest.fixture
async def setting(postgres: Cluster, template: str) -> AsyncIterator[Setting]:
    name, source = f"leaving_{secrets.token_hex(6)}", f"leaving_source_{secrets.token_hex(6)}"
    postgres.create_database(name, template=template)
    dsn = postgres.create_database(source)
    postgres.execute(SCHEMA, source)
    connection = await asyncpg.connect(dsn)
    backend = Backend(SourceConfig(CRM, "postgres", {"dsn": dsn, **OPTIONS}, b"k" * 32, Path("unused")))
    with tempfile.TemporaryDirectory(prefix="dsr-leaving-") as folder:
        async with open_world(Path(folder), postgres, name, backends={CRM: backend}) as world:
            yield Setting(world, backend, connection)
    await backend.close()
    await connection.close()
    postgres.drop_database(name)
    postgres.drop_database(source)


async def download(world: World, name: str, metadata: Any) -> bytes:
    message, data = portability_pb2.DownloadPortabilityBundleRequest(name=name), b""
    async for part in world.stub("portability").DownloadPortabilityBundle(message, metadata=metadata):
        data += part.data
    return data


@pytest.mark.policy("P14", "the platform returns a whole source, and destroys it after the receipt was confirmed")
@pytest.mark.policy("P14", "what was not returned is not destroyed, and the termination says why it waits")
@pytest.mark.policy("P14", "a connector that only says that it destroyed is counted, and not believed")
@pytest.mark.policy("P1", "a partner exports all of its data at any time: a package a source, with checksums")
async def test_a_source_is_returned_then_destroyed(setting: Setting) -> None:
    world, start = setting.world, datetime.now(UTC)
    mine, others = await setting.left()
    async with virtual_time(world, start) as let_pass:
        # At any time: everything, and nothing ends.
        copy = await setting.begin(return_only=True)
        await setting.returned(copy)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await setting.confirm(copy)
        assert reason_of(caught.value) == "STATE_CONFLICT"
        there = await setting.get(copy)
        assert (there.state, there.return_only) == (T.STATE_RETURNED, True)
        assert await download(world, (await setting.item(copy)).return_request, setting.admin)
        name = await setting.begin()
        item = await setting.returned(name)
        assert {r.collection: r.records for r in item.returned} == {"public.people": 5, "public.orders": 15}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await download(world, item.return_request, world.metadata("alice", "ROLE_REQUESTER"))
        assert reason_of(caught.value) == "ROLE_REQUIRED"
        data = await download(world, item.return_request, setting.admin)
        assert (len(data), item.packages[0].label) == (item.packages[0].size_bytes, item.return_request)
        bag = zipfile.ZipFile(io.BytesIO(data))
        (people,) = [n for n in bag.namelist() if n.endswith("people.jsonl")]
        assert {json.loads(line)["tenant"] for line in bag.read(people).splitlines()} == {1}
        assert (await setting.item(name, SHOP)).return_failure  # its connector can't: people have to
        await let_pass(timedelta(hours=1))
        assert await setting.left() == (mine, others)
        await setting.confirm(name)
        assert await setting.left() == (mine, others)
        # What came after the return was returned to nobody: nothing is destroyed, and the termination says why.
        await setting.slice.execute("INSERT INTO people VALUES (1, 999, 'late@example.com')")
        await let_pass(timedelta(minutes=6))

        await eventually(lambda: setting.waits_for(name, error_reason_pb2.ERROR_REASON_RETURN_OUTDATED))
        assert await setting.left() == (mine + 1, others)
        await setting.slice.execute("DELETE FROM people WHERE id = 999")
        # A connector that only says so is counted, and not believed.
        setting.backend.lies = True
        await let_pass(timedelta(hours=2))
        await eventually(lambda: setting.waits_for(name, error_reason_pb2.ERROR_REASON_SOURCE_INCONSISTENT))
        assert await setting.left() == (mine, others)
        setting.backend.lies = False
        await let_pass(timedelta(hours=2))

        async def destroyed() -> bool:
            return bool((await setting.item(name)).HasField("destroy_time"))

        await eventually(destroyed)
        assert await setting.left() == (0, others)
        item = await setting.item(name)
        assert item.destroyed_records == mine
        assert "left, as nobody declared it or it isn't within the scope: 1 " in item.evidence
        await setting.by_hand(name, "RecordDestruction", evidence="job-1")

        async def certified() -> bool:
            return bool((await setting.get(name)).state == T.STATE_CERTIFIED)

        await eventually(certified)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await download(world, item.return_request, setting.admin)
        assert reason_of(caught.value) == "BUNDLE_GONE"
