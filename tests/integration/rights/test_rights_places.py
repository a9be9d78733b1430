"""Where data may be and go, asked of the running services."""

import asyncio
import json
import uuid
from typing import Any

import asyncpg
import grpc
import pytest
from dsr.v1 import governance_pb2 as pb

from dsrkit.errors import from_rpc_error
from tests.support.services import PARTNER, World, state


async def move_partner(world: World, country: str) -> None:
    connection = await asyncpg.connect(world.dsn("governance"))
    try:
        await connection.execute("SELECT set_config('dsr.partner', $1, false)", PARTNER)
        body = json.loads(await connection.fetchval("SELECT body FROM governance.partner"))
        await connection.execute("UPDATE governance.partner SET body = $1", json.dumps({**body, "country": country}))
    finally:
        await connection.close()


@pytest.mark.policy(
    "P12", "a copy for a partner outside the EEA is refused as an outcome; running work stops at its grant"
)
async def test_a_partner_that_moves_away_gets_no_copy_and_can_still_erase(world: World) -> None:
    world.crm.gate = asyncio.Event()
    running = await world.create("access")
    await move_partner(world, "US")
    refused = await world.create("access")
    assert state(refused) == "REFUSED"
    assert refused.refusal.rule == "TRANSFER_WITHOUT_BASIS"
    assert "Art. 44" in refused.refusal.article
    assert "country outside the EEA: US" in refused.refusal.facts
    assert "dpo@agency.example" in refused.refusal.objection
    world.crm.gate.set()
    await world.until_waiting("access", running.name, "INSTRUCTION_REFUSED")
    await move_partner(world, "IE")
    assert state(await world.until("access", running.name)) == "COMPLETED"
    await move_partner(world, "US")
    erasure = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
    assert state(erasure) == "PLANNED"


@pytest.mark.policy("P3", "a data source at a place that is not named, or without a basis, is not registered")
async def test_where_a_source_may_be(world: World) -> None:
    for custody, place, rule in (
        (pb.DataSource.CUSTODY_OPERATOR, ("Amazon Web Services", "Paris", "FR"), "LOCATION_NOT_NAMED"),
        (pb.DataSource.CUSTODY_OPERATOR, ("Rackspace", "London", "GB"), "LOCATION_NOT_AGREED"),
        (pb.DataSource.CUSTODY_SUB_PROCESSOR, ("Mailchimp", "Atlanta", "US"), "TRANSFER_WITHOUT_BASIS"),
        (pb.DataSource.CUSTODY_PARTNER, ("Own", "Mumbai", "IN"), ""),
        (pb.DataSource.CUSTODY_OPERATOR, ("Brightbox", "Leeds", "GB"), ""),
    ):
        assert await register(world, custody, place) == rule


async def register(world: World, custody: Any, place: tuple[str, str, str]) -> str:
    """The rule by which a source is refused; empty when it is registered."""
    provider, site, country = place
    source = pb.DataSource(
        name=f"{PARTNER}/dataSources/{site.lower()}",
        display_name="Away",
        connector_address="127.0.0.1:9",
        custody=custody,
        location=pb.Location(provider=provider, site=site, country=country),
    )
    message = pb.CreateDataSourceRequest(parent=PARTNER, data_source=source, request_id=str(uuid.uuid4()))
    admin = world.metadata("adam", "ROLE_ADMIN")
    try:
        created = await world.governance.CreateDataSource(message, metadata=admin)
    except grpc.aio.AioRpcError as error:
        info = from_rpc_error(error)
        assert info is not None
        assert info.reason == "INSTRUCTION_REFUSED"
        page = await world.governance.ListDataSources(pb.ListDataSourcesRequest(parent=PARTNER), metadata=admin)
        assert source.name not in [found.name for found in page.data_sources]
        return str(info.metadata["rule"])
    assert created.name == source.name
    return ""
