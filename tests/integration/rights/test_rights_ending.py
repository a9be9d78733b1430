"""The end of a contract: holds and revoked roles stop what was confirmed, erasures outdate what was returned."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from dsr.authority.v1 import authority_pb2
from dsr.connector.v1.grant_pb2 import Grant
from dsr.v1 import governance_pb2, options_pb2
from dsr.v1 import termination_pb2 as pb

from tests.integration.attacks.test_attacks_meeting import authority
from tests.integration.rights.test_rights_leaving import download
from tests.integration.rights.test_rights_termination import admin, begin, confirm, destroy, get, refused
from tests.support.clock import virtual_time
from tests.support.services import APPROVER, CRM, PARTNER, SHOP, World, eventually, reason_of, state

T = pb.Termination
EFFECTIVE = timedelta(minutes=6)
FRANK = "urn:dsr:partner:acme#frank"


async def returned(world: World) -> Any:
    """A termination with everything returned by the platform."""
    world.crm.whole = world.shop.whole = True
    name = (await begin(world)).name

    async def all_of_it() -> bool:
        return all(item.packages for item in (await get(world, name)).items)

    await eventually(all_of_it)
    return await get(world, name)


async def item(world: World, name: str, source: str) -> Any:
    return next(item for item in (await get(world, name)).items if item.source == source)


async def place_hold(world: World) -> Any:
    hold = governance_pb2.Hold(
        source=SHOP,
        collection="orders",
        reason="eu-gdpr:JustificationA17LegalClaims",
        legal_reference="GDPR Art. 17(3)(e)",
        subject=governance_pb2.HoldSubject(type="customer_number", value="7"),
    )
    hold.review_time.FromDatetime(datetime.now(UTC) + timedelta(days=30))
    message = governance_pb2.PlaceHoldRequest(parent=PARTNER, hold=hold, request_id=str(uuid.uuid4()))
    return await world.governance.PlaceHold(message, metadata=admin(world))


async def release(world: World, name: str) -> None:
    message = governance_pb2.ReleaseHoldRequest(name=name, request_id=str(uuid.uuid4()))
    await world.governance.ReleaseHold(message, metadata=admin(world))


async def make_approver(world: World, subject: str) -> None:
    """Two other people grant the role."""
    role = governance_pb2.RoleGrant(grantee=f"urn:dsr:partner:acme#{subject}", role=options_pb2.ROLE_APPROVER)
    proposal = governance_pb2.GrantRoleRequest(parent=PARTNER, role_grant=role, request_id=str(uuid.uuid4()))
    made = await world.governance.GrantRole(proposal, metadata=world.metadata("dave", "ROLE_ADMIN"))
    message = governance_pb2.ConfirmRoleGrantRequest(name=made.name, request_id=str(uuid.uuid4()))
    await world.governance.ConfirmRoleGrant(message, metadata=world.metadata("erin", "ROLE_ADMIN"))


async def revoke(world: World, grantee: str) -> None:
    listing = governance_pb2.ListRoleGrantsRequest(parent=PARTNER)
    grants = (await world.governance.ListRoleGrants(listing, metadata=admin(world))).role_grants
    (name,) = [g.name for g in grants if g.grantee == grantee]
    message = governance_pb2.RevokeRoleGrantRequest(name=name, request_id=str(uuid.uuid4()))
    await world.governance.RevokeRoleGrant(message, metadata=admin(world))


def ask_for_grant(world: World, name: str, source: str, *, count_only: bool = False) -> Any:
    stub, metadata = authority(world, "erasure")
    message = authority_pb2.IssueDestructionGrantRequest(termination=name, source=source, count_only=count_only)
    return stub.IssueDestructionGrant(message, metadata=metadata)


async def cancel(world: World, name: str) -> Any:
    message = pb.CancelTerminationRequest(name=name, request_id=str(uuid.uuid4()))
    return await world.terminations.CancelTermination(message, metadata=admin(world))


async def add_source(world: World) -> Any:
    source = governance_pb2.DataSource(
        name=f"{PARTNER}/dataSources/late",
        display_name="Late",
        custody=governance_pb2.DataSource.CUSTODY_PARTNER,
        location=governance_pb2.Location(provider="Acme", site="Dublin", country="IE"),
    )
    message = governance_pb2.CreateDataSourceRequest(parent=PARTNER, data_source=source, request_id=str(uuid.uuid4()))
    return await world.governance.CreateDataSource(message, metadata=admin(world))


async def standing(world: World) -> int:
    partner = await world.governance.GetPartner(governance_pb2.GetPartnerRequest(name=PARTNER), metadata=admin(world))
    return int(partner.standing)


@pytest.mark.policy("P14", "a source on which a hold is in force isn't destroyed, by nobody, until it is released")
@pytest.mark.policy(
    "P16", "once its confirmer's role is revoked nothing more is destroyed until somebody else confirms"
)
async def test_a_hold_and_a_revoked_confirmer_stop_what_is_left(world: World) -> None:
    hold = await place_hold(world)
    async with virtual_time(world, datetime.now(UTC)) as let_pass:
        there = await returned(world)
        name = there.name
        (shown,) = (await item(world, name, SHOP)).holds
        assert (shown.name, shown.legal_reference, shown.review_time) == (
            hold.name,
            hold.legal_reference,
            hold.review_time,
        )
        assert any(line.startswith(SHOP) for line in there.kept)
        await confirm(world, name, there.manifest_digest)
        await let_pass(EFFECTIVE)

        async def destroyed(source: str) -> bool:
            return bool((await item(world, name, source)).HasField("destroy_time"))

        await eventually(lambda: destroyed(CRM))
        assert await refused(ask_for_grant(world, name, SHOP)) == "STATE_CONFLICT"
        assert await refused(destroy(world, name, SHOP)) == "STATE_CONFLICT"
        kept = await get(world, name)
        assert (kept.state, world.shop.calls.count("destroy")) == (T.STATE_DESTROYING, 0)
        assert (await item(world, name, SHOP)).holds_in_force == 1

        await revoke(world, APPROVER)
        await release(world, hold.name)
        assert await refused(destroy(world, name, SHOP)) == "FOUR_EYES"
        assert await refused(ask_for_grant(world, name, SHOP)) == "STATE_CONFLICT"
        stopped = await get(world, name)
        assert (stopped.state, stopped.confirmer, stopped.kept) == (T.STATE_DESTROYING, "", stopped.kept[:2])
        assert world.shop.tables["orders"].rows
        await make_approver(world, "frank")
        assert await refused(confirm(world, name, "0" * 64, "frank")) == "PLAN_STALE"
        await confirm(world, name, there.manifest_digest, "frank")
        assert await refused(destroy(world, name, SHOP)) == "STATE_CONFLICT"  # within five minutes it may lapse

        # What a first confirmation destroyed isn't there to be returned: a second that lapses in time undoes nothing.
        await revoke(world, FRANK)
        assert await refused(destroy(world, name, SHOP)) == "FOUR_EYES"
        stopped = await get(world, name)
        assert (stopped.state, stopped.manifest_digest) == (T.STATE_DESTROYING, there.manifest_digest)
        assert await refused(cancel(world, name)) == "STATE_CONFLICT"
        assert await standing(world) == governance_pb2.Partner.STANDING_SUSPENDED
        assert await refused(add_source(world)) == "STATE_CONFLICT"  # it could never be returned

        await make_approver(world, "grace")
        await confirm(world, name, there.manifest_digest, "grace")
        world.shop.gate, world.shop.gated = asyncio.Event(), frozenset({"destroy"})
        await let_pass(EFFECTIVE)
        await eventually(lambda: "destroy" in world.shop.calls)
        # A hold that comes while the source is being destroyed can't have what went counted as kept.
        await place_hold(world)
        assert await refused(ask_for_grant(world, name, SHOP)) == "STATE_CONFLICT"
        counting = await ask_for_grant(world, name, SHOP, count_only=True)
        assert not Grant.FromString(counting.grant.grant).instructions
        world.shop.gate.set()
        await eventually(lambda: destroyed(SHOP))
        assert not world.shop.tables["orders"].rows


@pytest.mark.policy(
    "P16", "a confirmation is undone wholly when its confirmer's role is revoked before it takes effect"
)
async def test_a_confirmation_that_lapses_in_time_changes_nothing(world: World) -> None:
    there = await returned(world)
    name = there.name
    await confirm(world, name, there.manifest_digest)
    assert await standing(world) == governance_pb2.Partner.STANDING_SUSPENDED
    await revoke(world, APPROVER)

    async def undone() -> bool:
        return bool((await get(world, name)).state == T.STATE_RETURNING)

    await eventually(undone)
    after = await get(world, name)
    assert (after.confirmer, after.manifest_digest) == ("", there.manifest_digest)
    assert [f for f in ("confirm_time", "effective_time") if after.HasField(f)] == []
    assert await standing(world) == governance_pb2.Partner.STANDING_GOOD

    # What staff decided meanwhile, for whatever reason, stands.
    await make_approver(world, "frank")
    await confirm(world, name, there.manifest_digest, "frank")
    suspend = governance_pb2.SetPartnerStandingRequest(name=PARTNER, standing=governance_pb2.Partner.STANDING_SUSPENDED)
    await world.governance.SetPartnerStanding(suspend, metadata=world.operator())
    await revoke(world, FRANK)
    await eventually(undone)
    assert await standing(world) == governance_pb2.Partner.STANDING_SUSPENDED
    assert (await cancel(world, name)).state == T.STATE_CANCELLED


@pytest.mark.policy("P2", "an erasure ends packages of whole sources that hold the person; they are made anew without")
async def test_an_erasure_outdates_what_was_returned(world: World) -> None:
    there = await returned(world)
    name, first = there.name, {i.source: i.return_request for i in there.items}
    plan = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
    await world.approve(plan)
    done = await world.until("erasure", plan.name)
    assert done.report.bundles_ended == 2
    for request in first.values():
        with pytest.raises(grpc.aio.AioRpcError) as gone:
            await download(world, request, admin(world))
        assert reason_of(gone.value) == "BUNDLE_GONE"
    assert await refused(confirm(world, name, there.manifest_digest)) in ("STATE_CONFLICT", "PLAN_STALE")

    async def anew() -> bool:
        return all(i.packages and i.return_request != first[i.source] for i in (await get(world, name)).items)

    await eventually(anew)
    again = await get(world, name)
    assert all(i.HasField("outdate_time") for i in again.items)
    assert {c.collection: c.records for i in again.items for c in i.returned} == {
        "people": 3,
        "orders": 2,
        "invoices": 2,
    }
    assert await refused(confirm(world, name, there.manifest_digest)) == "PLAN_STALE"
    assert await download(world, again.items[0].return_request, admin(world))


@pytest.mark.policy("P2", "a package that is being made while somebody in it is erased is not handed out")
async def test_an_erasure_outdates_what_is_being_returned(world: World) -> None:
    plan = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
    world.crm.whole = world.shop.whole = True
    world.crm.gate, world.crm.gated = asyncio.Event(), frozenset({"return"})
    name = (await begin(world)).name
    await eventually(lambda: "return" in world.crm.calls)
    await world.approve(plan)
    await world.until_waiting("erasure", plan.name, "BUNDLES_ENDING")
    world.crm.gate.set()
    assert state(await world.until("erasure", plan.name)) == "COMPLETED"

    async def there() -> bool:
        return bool((await item(world, name, CRM)).packages)

    await eventually(there)
    assert {c.collection: c.records for c in (await item(world, name, CRM)).returned} == {"people": 3}
    assert world.crm.calls.count("return") == 2
