"""Agreements about places (policy P4), asked of the running services."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import grpc
import pytest
from dsr.v1 import governance_pb2, notifications_pb2
from dsr.v1 import location_pb2 as pb
from dsr.v1.notifications_pb2_grpc import NotificationServiceStub

from dsrkit.errors import from_rpc_error
from tests.support.services import CRM, DUBLIN, LEEDS, PARTNER, World, reason_of, state

FRANKFURT = governance_pb2.Location(provider="Amazon Web Services", site="Frankfurt", country="DE")
_USE = pb.LocationAgreement.Use


async def propose(world: World, use: Any, place: governance_pb2.Location, hours: float = 1, **fields: Any) -> Any:
    wanted = pb.LocationAgreement(use=use, location=place, **fields)
    wanted.effective_time.FromDatetime(datetime.now(UTC) + timedelta(hours=hours))
    message = pb.ProposeLocationRequest(parent=PARTNER, location_agreement=wanted, request_id=str(uuid.uuid4()))
    return await world.locations.ProposeLocation(message, metadata=world.operator())


async def answer(world: World, verb: str, agreement: Any, metadata: Any = None) -> Any:
    kind = {"Complete": "CompleteLocationChange"}.get(verb, f"{verb}LocationAgreement")
    message = getattr(pb, f"{kind}Request")(name=agreement.name, request_id=str(uuid.uuid4()))
    operators = verb in ("Complete", "Withdraw")
    metadata = metadata or (world.operator() if operators else world.metadata("adam", "ROLE_ADMIN"))
    return await getattr(world.locations, kind)(message, metadata=metadata)


async def list_all(world: World) -> list[Any]:
    page = await world.locations.ListLocationAgreements(
        pb.ListLocationAgreementsRequest(parent=PARTNER), metadata=world.metadata("rita", "ROLE_READER")
    )
    return list(page.location_agreements)


async def let_time_come(world: World, agreement: Any) -> None:
    """As if `effective_time` had passed: what it stands for is the proposal's own time, not the clock of this test."""
    connection = await asyncpg.connect(world.dsn("governance"))
    try:
        await connection.execute("SELECT set_config('dsr.partner', $1, false)", PARTNER)
        text = "UPDATE governance.location_agreement SET effective_time = now() WHERE id = $1"
        await connection.execute(text, uuid.UUID(agreement.name.split("/")[-1]))
    finally:
        await connection.close()


async def reason(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


@pytest.mark.long
@pytest.mark.policy("P4", "bundles move only once a person of the partner has accepted, and the old place ends")
async def test_bundles_move_to_another_place(world: World) -> None:
    first = await world.until("access", (await world.create("access")).name)
    assert first.bundle.location == DUBLIN
    # At deployment the partner was told, and the services keep bundles where the contract says.
    told = [a for a in await list_all(world) if a.use == _USE.USE_BUNDLES]
    assert {(a.location.site, a.proposer, a.state) for a in told} == {
        ("Dublin", "contract", 2),
        ("Leeds", "contract", 2),
    }
    dublin = next(a for a in told if a.location == DUBLIN)
    notices = await NotificationServiceStub(world.channel("governance")).ListNotices(
        notifications_pb2.ListNoticesRequest(parent=PARTNER, kind="location.told"),
        metadata=world.metadata("adam", "ROLE_ADMIN"),
    )
    assert dublin.name in {notice.resource for notice in notices.notices}

    # The operator moves first and asks later: no copy is made there, as an outcome.
    await world.stop("access")
    world.bundle_location = "Amazon Web Services/Frankfurt/DE"
    await world.start("access")
    refused = await world.create("access")
    assert (state(refused), refused.refusal.rule) == ("REFUSED", "LOCATION_NOT_AGREED")
    assert "place: Amazon Web Services, Frankfurt, DE" in refused.refusal.facts
    assert await world.download("access", first.name)

    # A service that doesn't say where it is gets no copy made either.
    await world.stop("access")
    world.bundle_location = ""
    await world.start("access")
    unsaid = await world.create("access")
    assert (state(unsaid), unsaid.refusal.rule) == ("REFUSED", "LOCATION_NOT_AGREED")
    await world.stop("access")
    world.bundle_location = "Amazon Web Services/Frankfurt/DE"
    await world.start("access")

    proposal = await propose(world, _USE.USE_BUNDLES, FRANKFURT, replaces=dublin.name)
    assert (proposal.state, proposal.contact) == (pb.LocationAgreement.STATE_PROPOSED, "dpo@agency.example")
    assert state(await world.create("access")) == "REFUSED"
    accepted = await answer(world, "Accept", proposal)
    assert (accepted.state, accepted.decider) == (pb.LocationAgreement.STATE_ACCEPTED, "urn:dsr:partner:acme#adam")
    assert state(await world.create("access")) == "REFUSED", "its time has not come"
    assert await reason(answer(world, "Complete", proposal)) == "STATE_CONFLICT"
    await let_time_come(world, proposal)
    second = await world.until("access", (await world.create("access")).name)
    assert second.bundle.location == FRANKFURT

    # Until the move is done both places are agreed; then what is still at the old one is not served.
    assert await world.download("access", first.name)
    assert (await answer(world, "Complete", proposal)).HasField("complete_time")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.download("access", first.name)
    info = from_rpc_error(caught.value)
    assert info is not None
    assert (info.reason, info.metadata["rule"]) == ("INSTRUCTION_REFUSED", "LOCATION_NOT_AGREED")
    assert await world.download("access", second.name)


@pytest.mark.long
@pytest.mark.policy("P4", "a data source is moved by agreement; running work stops while it is where it may not be")
async def test_a_source_moves_and_one_at_no_agreed_place_gets_no_grant(world: World) -> None:
    admin = world.metadata("adam", "ROLE_ADMIN")
    source = governance_pb2.DataSource(
        name=f"{PARTNER}/dataSources/lake",
        display_name="Lake",
        connector_address="127.0.0.1:9",
        custody=governance_pb2.DataSource.CUSTODY_OPERATOR,
        location=FRANKFURT,
    )
    create = governance_pb2.CreateDataSourceRequest(parent=PARTNER, data_source=source, request_id=str(uuid.uuid4()))
    assert await reason(world.governance.CreateDataSource(create, metadata=admin)) == "INSTRUCTION_REFUSED"

    proposal = await propose(world, _USE.USE_DATA_SOURCES, FRANKFURT, source=CRM)
    await answer(world, "Accept", proposal)
    await let_time_come(world, proposal)
    await answer(world, "Complete", proposal)
    moved = await world.governance.GetDataSource(governance_pb2.GetDataSourceRequest(name=CRM), metadata=admin)
    assert moved.location == FRANKFURT
    # What was agreed for one source says nothing of another.
    assert await reason(world.governance.CreateDataSource(create, metadata=admin)) == "INSTRUCTION_REFUSED"

    # An agreement that ends while work is running: the next grant is refused, and the work waits.
    await world.attest("GB")
    world.crm.gate = asyncio.Event()
    running = await world.create("access")
    dublin = next(a for a in await list_all(world) if (a.use, a.location) == (_USE.USE_BUNDLES, DUBLIN))
    away = await propose(world, _USE.USE_BUNDLES, LEEDS, replaces=dublin.name)
    await answer(world, "Accept", away)
    await let_time_come(world, away)
    await answer(world, "Complete", away)
    world.crm.gate.set()
    await world.until_waiting("access", running.name, "INSTRUCTION_REFUSED")
    back = await propose(world, _USE.USE_BUNDLES, DUBLIN)
    await answer(world, "Accept", back)
    await let_time_come(world, back)
    assert state(await world.until("access", running.name)) == "COMPLETED"


async def test_who_may_answer_and_what_a_proposal_must_be(world: World) -> None:
    proposal = await propose(world, _USE.USE_BACKUPS, FRANKFURT, source=CRM)
    service = world.metadata("robot", "ROLE_ADMIN", actor_type="service")
    assert await reason(answer(world, "Accept", proposal, service)) == "PERSON_REQUIRED"
    assert await reason(answer(world, "Accept", proposal, world.metadata("rita", "ROLE_READER"))) == "ROLE_REQUIRED"
    assert await reason(answer(world, "Accept", proposal, world.operator())) == "ROLE_REQUIRED"
    assert await reason(answer(world, "Withdraw", proposal, world.metadata("adam", "ROLE_ADMIN"))) == "ROLE_REQUIRED"
    token = world.metadata("adam", "ROLE_ADMIN")
    other = await propose(world, _USE.USE_BACKUPS, DUBLIN)
    await answer(world, "Reject", other, token)
    assert await reason(answer(world, "Accept", proposal, token)) == "PERSON_REQUIRED", "one token, one answer"
    withdrawn = await answer(world, "Withdraw", proposal)
    assert withdrawn.state == pb.LocationAgreement.STATE_WITHDRAWN
    assert await reason(answer(world, "Accept", proposal)) == "STATE_CONFLICT"
    paris = governance_pb2.Location(provider="Amazon Web Services", site="Paris", country="FR")
    assert await reason(propose(world, _USE.USE_BUNDLES, paris)) == "FIELD_INVALID"
    assert await reason(propose(world, _USE.USE_BUNDLES, FRANKFURT, hours=-1)) == "FIELD_INVALID"
    assert await reason(propose(world, _USE.USE_BUNDLES, FRANKFURT, source=CRM)) == "FIELD_INVALID"
    assert await reason(propose(world, _USE.USE_BACKUPS, FRANKFURT, source=f"{PARTNER}/dataSources/no")) == "NOT_FOUND"
    assert await reason(propose(world, _USE.USE_BUNDLES, FRANKFURT, replaces=other.name)) == "FIELD_INVALID"
    every = next(a for a in await list_all(world) if (a.use, a.location) == (_USE.USE_DATA_SOURCES, DUBLIN))
    one = propose(world, _USE.USE_DATA_SOURCES, FRANKFURT, source=CRM, replaces=every.name)
    assert await reason(one) == "FIELD_INVALID", "the move of one source ends nothing that was agreed for all"
