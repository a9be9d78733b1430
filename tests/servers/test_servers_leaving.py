"""A partner whose data are objects leaves: a bucket and a container are returned, confirmed, destroyed and counted."""

import io
import json
import uuid
import zipfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import get_session  # type: ignore[import-untyped]
from dsr.v1 import termination_pb2 as pb

from deploy.local.postgres import Cluster
from tests.integration.rights.test_rights_leaving import download
from tests.servers import test_servers_s3, test_servers_swift
from tests.support.clock import virtual_time
from tests.support.services import CRM, PARTNER, SHOP, World, eventually, open_world

pytestmark = pytest.mark.servers
T = pb.Termination
NUMBER = {"customer_number": {"unique": True}}
COLLECTIONS: Mapping[str, Any] = {
    "avatars": {"objects": "acme/avatars/{customer_number}.png", "identity": NUMBER},
    "events": {"lake": "acme/events/*", "format": "jsonl", "identity": {"customer_number": {"field": "id"}}},
}


@pytest.fixture
async def stores(
    radosgw: Mapping[str, str], swift: Mapping[str, str], tmp_path: Path
) -> AsyncIterator[tuple[test_servers_s3.Bucket, test_servers_swift.Container]]:
    async with AsyncExitStack() as stack:
        client: Any = await stack.enter_async_context(
            get_session().create_client(
                "s3",
                endpoint_url=radosgw["endpoint"],
                aws_access_key_id=radosgw["access_key_id"],
                aws_secret_access_key=radosgw["secret_access_key"],
                region_name="us-east-1",
            )
        )
        (tmp_path / "s3").mkdir()
        (tmp_path / "swift").mkdir()
        bucket = await test_servers_s3.make(client, radosgw, tmp_path / "s3", "versioned")
        async for container in test_servers_swift.make(swift, tmp_path / "swift"):
            yield bucket, container


async def terminate(world: World, verb: str, role: str, **fields: Any) -> Any:
    message = getattr(pb, f"{verb}TerminationRequest" if verb == "Create" else f"{verb}Request")
    call = getattr(world.terminations, f"{verb}Termination" if verb == "Create" else verb)
    who = world.metadata("adam" if role == "ROLE_ADMIN" else "bob", role)
    return await call(message(request_id=str(uuid.uuid4()), **fields), metadata=who)


@pytest.mark.policy("P14", "objects are returned in every version as files, then destroyed and certified, end to end")
async def test_a_bucket_and_a_container_are_returned_then_destroyed(
    stores: tuple[test_servers_s3.Bucket, test_servers_swift.Container],
    postgres: Cluster,
    tmp_path: Path,
) -> None:
    bucket, container = stores
    for body in (b"one", b"two"):
        await bucket.put("acme/avatars/7.png", body, ContentType="image/png", Metadata={"owner": "crm"})
        await container.put("acme/avatars/7.png", body)
    await bucket.client.delete_object(Bucket=bucket.name, Key="acme/avatars/7.png")
    for store in stores:
        await store.put("acme/events/a.jsonl", b'{"id": "7"}\n')
        await store.put("acme-2/avatars/7.png", b"theirs")
    backends = {CRM: bucket.source(COLLECTIONS).backend, SHOP: container.source(COLLECTIONS).backend}
    name = f"leaving_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    (tmp_path / "world").mkdir()
    async with open_world(tmp_path / "world", postgres, name, backends=backends) as world:
        admin = world.metadata("adam", "ROLE_ADMIN")
        termination = (await terminate(world, "Create", "ROLE_ADMIN", parent=PARTNER)).name

        async def now() -> Any:
            return await world.terminations.GetTermination(pb.GetTerminationRequest(name=termination), metadata=admin)

        async with virtual_time(world, datetime.now(UTC)) as let_pass:

            async def returned() -> bool:
                return all(item.packages for item in (await now()).items)

            await eventually(returned, within=60)
            items = {item.source: item for item in (await now()).items}
            told = {source: {r.collection: r.records for r in item.returned} for source, item in items.items()}
            assert told == {CRM: {"avatars": 3, "events": 1}, SHOP: {"avatars": 1, "events": 1}}
            bag = zipfile.ZipFile(io.BytesIO(await download(world, items[CRM].return_request, admin)))
            (lines,) = [bag.read(n).splitlines() for n in bag.namelist() if n.endswith("avatars.jsonl")]
            records = [json.loads(line) for line in lines]
            assert [record["state"] for record in records] == ["DELETE_MARKER", "NONCURRENT", "NONCURRENT"]
            assert records[1]["metadata"]["owner"] == "crm"
            files = [bag.read(n) for n in bag.namelist() if "/files/" in n and n.endswith(".png")]
            assert sorted(files) == [b"one", b"two"]
            assert not any("acme-2" in n for n in bag.namelist())

            digest = (await now()).manifest_digest
            await terminate(world, "ConfirmReceipt", "ROLE_APPROVER", name=termination, manifest_digest=digest)
            await let_pass(timedelta(minutes=6))

            async def certified() -> bool:
                return bool((await now()).state == T.STATE_CERTIFIED)

            await eventually(certified, within=60)
        assert {item.source: item.destroyed_records for item in (await now()).items} == {CRM: 4, SHOP: 2}
    assert {key for key, _ in await bucket.versions()} == {"acme-2/avatars/7.png"}
    assert await container.keys() == ["acme-2/avatars/7.png"]
    for backend in backends.values():
        await backend.close()
    postgres.drop_database(name)
