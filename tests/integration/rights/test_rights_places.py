"""Where data may be and go, asked of the running services."""

import asyncio
import json
import uuid
from typing import Any

import asyncpg
import grpc
import pytest
from dsr.v1 import governance_pb2 as pb
from dsr.v1 import transfer_pb2

from dsrkit.errors import from_rpc_error
from tests.support.services import PARTNER, World, state, timestamp


async def move_partner(world: World, country: str) -> None:
    connection = await asyncpg.connect(world.dsn("governance"))
    try:
        await connection.execute("SELECT set_config('dsr.partner', $1, false)", PARTNER)
        body = json.loads(await connection.fetchval("SELECT body FROM governance.partner"))
        await connection.execute("UPDATE governance.partner SET body = $1", json.dumps({**body, "country": country}))
    finally:
        await connection.close()


async def safeguard(world: World, instrument: Any, **changes: Any) -> Any:
    """A safeguard on record, of the partner itself in the United States."""
    fields = {"recipient": PARTNER, "country": "US", "document_reference": "c-1", "document_sha256": "0" * 64}
    given = transfer_pb2.TransferSafeguard(**{**fields, **changes}, instrument=instrument, begin_time=timestamp())
    message = transfer_pb2.CreateTransferSafeguardRequest(
        parent=PARTNER, transfer_safeguard=given, request_id=str(uuid.uuid4())
    )
    return await world.transfers.CreateTransferSafeguard(message, metadata=world.metadata("adam", "ROLE_ADMIN"))


async def end(world: World, resource: Any) -> Any:
    kind = type(resource).DESCRIPTOR.name
    message = getattr(transfer_pb2, f"End{kind}Request")(name=resource.name, request_id=str(uuid.uuid4()))
    return await getattr(world.transfers, f"End{kind}")(message, metadata=world.metadata("adam", "ROLE_ADMIN"))


async def refused_download(world: World, name: str) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.download("access", name)
    info = from_rpc_error(caught.value)
    assert info is not None
    assert info.reason == "INSTRUCTION_REFUSED"
    assert info.metadata["refusal"].startswith(f"{PARTNER}/refusals/")
    return str(info.metadata["rule"])


@pytest.mark.long
@pytest.mark.policy(
    "P12", "no copy for a partner outside the EEA, nor a download, without basis, attestation and notice"
)
async def test_a_partner_that_moves_away_gets_no_copy_until_all_is_on_record(world: World) -> None:
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
    erasure = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
    assert state(erasure) == "PLANNED"
    await world.act("erasure", "Cancel", erasure.name)

    certified = await safeguard(world, transfer_pb2.TRANSFER_INSTRUMENT_COVERED_RECIPIENT)
    assert certified.article == "GDPR Art. 45(3)"
    assert (await world.create("access")).refusal.rule == "TRANSFER_NOT_ATTESTED"
    word = await world.attest("US")
    done = await world.until("access", running.name)
    assert state(done) == "COMPLETED"
    assert await world.download("access", done.name)

    # What is taken back counts at once, for a bundle that lies there too.
    assert (await end(world, word)).HasField("end_time")
    assert await refused_download(world, done.name) == "TRANSFER_NOT_ATTESTED"
    await world.attest("US")
    assert (await end(world, certified)).HasField("end_time")
    assert await refused_download(world, done.name) == "TRANSFER_WITHOUT_BASIS"
    await safeguard(world, transfer_pb2.TRANSFER_INSTRUMENT_STANDARD_CLAUSES)
    assert await world.download("access", done.name)
    listed = await world.transfers.ListTransferSafeguards(
        transfer_pb2.ListTransferSafeguardsRequest(parent=PARTNER), metadata=world.metadata("rita", "ROLE_READER")
    )
    assert [s.article for s in listed.transfer_safeguards] == ["GDPR Art. 46(2)(c)", "GDPR Art. 45(3)"]


@pytest.mark.policy("P3", "a data source at a place that is not named, or without a basis, is not registered")
async def test_where_a_source_may_be(world: World) -> None:
    for custody, place, rule in (
        (pb.DataSource.CUSTODY_OPERATOR, ("Amazon Web Services", "Paris", "FR"), "LOCATION_NOT_NAMED"),
        (pb.DataSource.CUSTODY_OPERATOR, ("Rackspace", "London", "GB"), "LOCATION_NOT_AGREED"),
        (pb.DataSource.CUSTODY_SUB_PROCESSOR, ("Mailchimp", "Atlanta", "US"), "TRANSFER_WITHOUT_BASIS"),
        (pb.DataSource.CUSTODY_SUB_PROCESSOR, ("Acme Mail", "Cork", "IE"), "SUB_PROCESSOR_NOT_REGISTERED"),
        (pb.DataSource.CUSTODY_PARTNER, ("Own", "Mumbai", "IN"), ""),
        (pb.DataSource.CUSTODY_OPERATOR, ("Brightbox", "Leeds", "GB"), "TRANSFER_NOT_ATTESTED"),
    ):
        assert await register(world, custody, place) == rule
    await world.attest("GB")
    assert await register(world, pb.DataSource.CUSTODY_OPERATOR, ("Brightbox", "Leeds", "GB")) == ""


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
