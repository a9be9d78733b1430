"""The operator's staff: a role in the credential, a grant of two others, every call visible to the partner (P16)."""

import uuid
from typing import Any

import grpc
import pytest
from dsr.v1 import access_pb2, governance_pb2, options_pb2, staff_pb2
from dsr.v1.staff_pb2_grpc import StaffServiceStub

from dsrkit.db import open_pool
from dsrkit.tasks import TaskStore
from services.governance.staff.first import begin
from services.governance.store import SCHEMA, GovernanceStore
from tests.support.policies import appoint, staff
from tests.support.services import PARTNER, World, eventually, reason_of


async def outcome(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
    return "OK"


@pytest.mark.policy("P16", "a staff role needs a grant by two other people, and ends with it")
@pytest.mark.policy("P16", "every access of staff to a partner's data is recorded, and the partner sees it")
async def test_support_sees_states_and_is_seen(world: World) -> None:
    request = await world.until("access", (await world.create("access")).name)
    susan = "urn:dsr:operator#susan"

    def look() -> Any:
        message = access_pb2.GetAccessRequestRequest(name=request.name)
        return world.stub("access").GetAccessRequest(message, metadata=staff(world, "susan", "ROLE_SUPPORT"))

    assert await outcome(look()) == "FOUR_EYES", "the credential alone is not enough"
    roles: Any = StaffServiceStub(world.channel("governance"))
    wanted = governance_pb2.RoleGrant(grantee=susan, role=options_pb2.ROLE_SUPPORT)
    grant = staff_pb2.GrantStaffRoleRequest(role_grant=wanted, request_id=str(uuid.uuid4()))
    proposed = await roles.GrantStaffRole(grant, metadata=staff(world, "olga"))
    confirm = staff_pb2.ConfirmStaffRoleRequest(name=proposed.name, request_id=str(uuid.uuid4()))
    for nobody in ("olga", "susan"):
        assert await outcome(roles.ConfirmStaffRole(confirm, metadata=staff(world, nobody))) == "FOUR_EYES"
    assert await outcome(look()) == "FOUR_EYES", "one person is not enough"
    await roles.ConfirmStaffRole(confirm, metadata=staff(world, "oskar"))
    own = staff_pb2.GrantStaffRoleRequest(
        role_grant=governance_pb2.RoleGrant(grantee="urn:dsr:operator#olga", role=options_pb2.ROLE_DPO),
        request_id=str(uuid.uuid4()),
    )
    assert await outcome(roles.GrantStaffRole(own, metadata=staff(world, "olga"))) == "FOUR_EYES"

    seen = await look()
    assert (seen.state, list(seen.identities), list(seen.candidates)) == (request.state, [], [])
    download = access_pb2.DownloadAccessBundleRequest(name=request.name)
    stream = world.stub("access").DownloadAccessBundle(download, metadata=staff(world, "susan", "ROLE_SUPPORT"))
    assert await outcome(stream.read()) == "ROLE_REQUIRED"

    async def recorded() -> bool:
        message = governance_pb2.ListProcessingRecordsRequest(parent=PARTNER, request=request.name)
        page = await world.governance.ListProcessingRecords(message, metadata=world.metadata("adam", "ROLE_ADMIN"))
        found = [(r.operation, r.outcome) for r in page.processing_records if r.actor == susan]
        return sorted(found) == [
            ("DownloadAccessBundle", "ROLE_REQUIRED"),
            ("GetAccessRequest", "FOUR_EYES"),
            ("GetAccessRequest", "FOUR_EYES"),
            ("GetAccessRequest", "OK"),
        ]

    await eventually(recorded)
    revoke = staff_pb2.RevokeStaffRoleRequest(name=proposed.name, request_id=str(uuid.uuid4()))
    await roles.RevokeStaffRole(revoke, metadata=staff(world, "oskar"))
    assert await outcome(look()) == "FOUR_EYES"
    await appoint(world, "dora", "ROLE_DPO")
    page = await roles.ListStaffGrants(staff_pb2.ListStaffGrantsRequest(page_size=1), metadata=staff(world))
    assert [g.grantee for g in page.role_grants] == ["urn:dsr:operator#dora"]
    more = staff_pb2.ListStaffGrantsRequest(page_token=page.next_page_token)
    page = await roles.ListStaffGrants(more, metadata=staff(world, "dora", "ROLE_DPO"))
    found = [(g.grantee, g.proposer, g.state) for g in page.role_grants]
    assert found[0] == (susan, "urn:dsr:operator#olga", governance_pb2.RoleGrant.STATE_REVOKED)
    confirmed = governance_pb2.RoleGrant.STATE_CONFIRMED
    assert set(found[1:]) == {(f"urn:dsr:operator#{who}", "configuration", confirmed) for who in ("olga", "oskar")}


@pytest.mark.policy("P16", "operators need a grant, too: two are named by the deployment, and grant the role to others")
async def test_an_operator_needs_a_grant_too(world: World) -> None:
    roles: Any = StaffServiceStub(world.channel("governance"))
    everything = staff_pb2.ListStaffGrantsRequest()

    async def may(who: str) -> str:
        return await outcome(roles.ListStaffGrants(everything, metadata=staff(world, who)))

    async def revoke(name: str, by: str) -> None:
        message = staff_pb2.RevokeStaffRoleRequest(name=name, request_id=str(uuid.uuid4()))
        await roles.RevokeStaffRole(message, metadata=staff(world, by))

    async def deployed(*people: str) -> None:
        """As governance's next start does it."""
        async with open_pool(world.dsn("governance"), SCHEMA) as pool:
            await begin(GovernanceStore(pool, TaskStore(pool, SCHEMA)), [f"urn:dsr:operator#{who}" for who in people])

    assert await may("omar") == "FOUR_EYES", "the credential alone is not enough"
    await deployed("omar", "ona")
    assert await may("omar") == "FOUR_EYES", "two hold the role: the setting counts no more"
    granted = await appoint(world, "omar", "ROLE_OPERATOR")
    assert await may("omar") == "OK"
    await revoke(granted, "oskar")
    assert await may("omar") == "FOUR_EYES"

    page = await roles.ListStaffGrants(everything, metadata=staff(world))
    (oskars,) = [g.name for g in page.role_grants if g.grantee.endswith("#oskar")]
    await revoke(oskars, "olga")
    await deployed("oskar", "omar", "ona")
    assert [await may(who) for who in ("olga", "oskar", "omar", "ona")] == ["OK", "FOUR_EYES", "FOUR_EYES", "OK"]
