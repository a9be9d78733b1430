"""Releases meet: N runs on the schema of N+1, and beside its processes (docs/operating.md, upgrade)."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import grpc
import pytest
from dsr.authority.v1 import authority_pb2
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceStub
from dsr.credentials import AUTHORITY_AUDIENCE, Credential
from dsr.v1 import correction_pb2

from deploy.local.postgres import Cluster
from dsrkit.channels import Channels
from dsrkit.errors import DsrError
from dsrkit.interceptors import ErrorInterceptor
from dsrkit.requests.authority import Authority
from services.erasure.domain import RIGHT
from tests.integration.rights.test_rights_amendments import declare, rectify, refused, task
from tests.integration.rights.test_rights_corrections import get
from tests.support.services import CRM, PARTNER, World, eventually, state

A = correction_pb2.CorrectionRequest.Amendment


async def test_columns_of_the_next_release_are_passed_over(world: World, postgres: Cluster) -> None:
    owner = await asyncpg.connect(postgres.dsn(urlsplit(world.dsn("access")).path.removeprefix("/")))
    try:
        for schema in ("access", "portability", "erasure"):
            for table in ("request", "task", "event", "mutation", "outbox"):
                await owner.execute(f"ALTER TABLE {schema}.{table} ADD COLUMN of_the_next_release text DEFAULT 'x'")
    finally:
        await owner.close()
    for right in ("access", "portability", "erasure"):
        created = await world.create(right)
        done = await world.until(right, created.name, "COMPLETED", "PLANNED")
        assert state(done) in ("COMPLETED", "PLANNED")


@asynccontextmanager
async def former_governance() -> AsyncIterator[str]:
    """One that knows none of the calls; yields its address."""
    server = grpc.aio.server(interceptors=[ErrorInterceptor()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def test_what_the_former_governance_does_not_know_waits(world: World) -> None:
    """Whom a plan will concern, and why a correction waits: neither may come to it as something else."""
    delay = authority_pb2.DelayAmendmentRequest(request=f"{PARTNER}/correctionRequests/x", source=CRM)
    request: Any = SimpleNamespace(partner=PARTNER, id=uuid.uuid4(), data_map_revision=1, data_sources=[CRM])
    async with former_governance() as address, Channels(Credential.load(world.folder / "erasure.json")) as channels:
        authority = Authority(channels, address, RIGHT, None)
        for call in (authority.delay_amendment(delay), authority.foresee_recipients(request, {CRM: ["people"]})):
            with pytest.raises(DsrError) as error:
                await call
            assert error.value.reason == "GOVERNANCE_UNAVAILABLE"


async def test_what_the_former_erasure_service_asks_of_corrections_waits(world: World) -> None:
    """It asks for grants without names, and takes none for a source that can't amend: it is refused, and asks again."""
    declare(world)
    key = Credential.load(world.folder / "erasure.json")
    token = key.token(AUTHORITY_AUDIENCE, subject="erasure", roles=["ROLE_SERVICE"])
    stub, sender = AuthorityServiceStub(world.channel("governance")), (("authorization", f"Bearer {token}"),)
    world.crm.down = True
    made = await rectify(world)
    for flags in ([], [authority_pb2.DeclaredFlag(collection="people", flag="restriction", field="held")]):
        message = authority_pb2.IssueAmendmentGrantRequest(request=made.name, source=CRM, flags=flags)
        assert await refused(stub.IssueAmendmentGrant(message, metadata=sender)) == "FIELD_INVALID"
    found = task(await get(world, made.name, "ROLE_READER")).amendment
    assert found.state == A.STATE_PREVIEWING
    world.crm.down = False


async def test_bundles_that_cannot_be_ended_hide_no_others(world: World) -> None:
    """More of them than a page has, of requests that aren't there: those behind them are ended all the same."""
    made = await world.create("access")
    await world.until("access", made.name, "COMPLETED")
    connection = await asyncpg.connect(world.dsn("governance"))
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('dsr.partner', $1, true)", PARTNER)
            await connection.execute(
                """INSERT INTO governance.obligation (partner, id, request, "right", erasure)
                SELECT $1, lpad(to_hex(n), 32, '0')::uuid, $1 || '/accessRequests/' || gen_random_uuid(), 1, 'e'
                FROM generate_series(1, 250) AS n
                UNION ALL SELECT $1, 'ffffffff-ffff-4fff-8fff-ffffffffffff', $2, 1, 'e'""",
                PARTNER,
                made.name,
            )

        async def ended() -> bool:
            async with connection.transaction():
                await connection.execute("SELECT set_config('dsr.partner', $1, true)", PARTNER)
                query = "SELECT acknowledge_time IS NOT NULL FROM governance.obligation WHERE request = $1"
                return bool(await connection.fetchval(query, made.name))

        await eventually(ended)
    finally:
        await connection.close()
