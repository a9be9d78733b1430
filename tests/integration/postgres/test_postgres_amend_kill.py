"""The connector is killed in the middle of an amendment: nothing is half done, and the next attempt does it once."""

import asyncio
from pathlib import Path

import asyncpg
import grpc
import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.connector_pb2_grpc import ConnectorServiceStub

from tests.conformance.harness import Client, Keys, connect
from tests.integration.host.test_host_process import host
from tests.integration.postgres.harness import SOURCE, blocked, rows
from tests.integration.postgres.test_postgres_amend import ANN, FLAGS, OPTIONS, grant, put

HOLD = 7
TRIGGER = (
    "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS"
    f" $$BEGIN PERFORM pg_advisory_xact_lock({HOLD}); RETURN new; END$$;"
    "CREATE TRIGGER hold AFTER UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION hold()"
)


async def amend(client: Client, attempt: int, located: pb.Located) -> pb.Amended:
    permission = grant(put("customers", name="Anna"), put("addresses", postcode="AB1 2CD"), attempt=attempt)
    request = pb.AmendRequest(grant=client.keys.sign(permission), subject=ANN, expected=located.collections)
    stream = ConnectorServiceStub(client.channel).Amend(request, metadata=client.metadata, timeout=30)
    (answer,) = [m.amended async for m in stream if m.HasField("amended")]
    return answer


@pytest.mark.long
@pytest.mark.policy("P11", "a connector that is killed while it amends leaves nothing half done, and does it once")
async def test_killed_in_the_middle_of_an_amendment(tmp_path: Path, shop: str, connection: asyncpg.Connection) -> None:
    await connection.execute(FLAGS)
    await connection.execute(TRIGGER)
    customers = {**OPTIONS["collections"]["public.customers"], "acknowledged": ["hold"]}
    collections = {**OPTIONS["collections"], "public.customers": customers}
    options = {**OPTIONS, "collections": collections, "dsn": shop, "lock_timeout": 20}
    keys = Keys.make(tmp_path)
    keys.write_config({SOURCE: {"kind": "postgres", "options": options}})
    before = await rows(connection)
    await connection.execute("SELECT pg_advisory_lock($1)", HOLD)
    with host(tmp_path) as (process, port):
        async with connect(keys, f"127.0.0.1:{port}", SOURCE) as client:
            (located,) = await client.located(ANN)
            work = asyncio.create_task(amend(client, 1, located))
            await blocked(connection)
            process.kill()
            with pytest.raises(grpc.aio.AioRpcError):
                await work
    await connection.execute("SELECT pg_advisory_unlock($1)", HOLD)
    with host(tmp_path) as (_, port):
        async with connect(keys, f"127.0.0.1:{port}", SOURCE) as client:
            (again,) = await client.located(ANN)
            assert again.collections == located.collections
            assert await rows(connection) == before
            amended = await amend(client, 2, again)
            assert amended.outcome == pb.Amended.OUTCOME_AMENDED
            after = await rows(connection)
            replayed = await amend(client, 3, located)
            assert replayed.outcome == pb.Amended.OUTCOME_REPLAYED
            assert replayed.collections == amended.collections
            assert await rows(connection) == after
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"public.customers", "public.addresses"}
