"""What happens to a person's data while an erasure of theirs is under way, and who may say that something happened."""

import asyncio
import hashlib
import secrets
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from dsr.authority.v1 import authority_pb2
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceStub
from dsr.connector.v1 import connector_pb2
from dsr.credentials import AUTHORITY_AUDIENCE, Credential
from dsr.v1 import access_pb2, erasure_pb2, governance_pb2, request_pb2, subject_pb2

from tests.support.services import PARTNER, SHOP, World, eventually, reason_of, state

CHANGES = erasure_pb2.ErasureRequest.PlanChange.Kind


async def planned(world: World, **fields: Any) -> Any:
    created = await world.create("erasure", **fields)
    return await world.until("erasure", created.name, "PLANNED")


async def held_while_erasing(world: World) -> tuple[Any, asyncio.Event]:
    """An erasure whose shop is just about to erase, and the event that lets it."""
    plan = await planned(world)
    gate = world.shop.gate = asyncio.Event()
    world.shop.gated = frozenset({"erase"})
    await world.approve(plan)
    await eventually(lambda: "erase" in world.shop.calls)
    return plan, gate


async def refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


@pytest.mark.policy("P11", "a person who appears after an erasure's check stops it (Art. 17)")
async def test_somebody_else_who_appears_after_the_check_is_not_erased(world: World) -> None:
    plan, gate = await held_while_erasing(world)
    stranger = {"id": "99", "email": "ann@example.com", "number": "99", "name": "Anna, another person"}
    world.crm.tables["people"].rows.append(stranger)
    gate.set()
    done = await world.until("erasure", plan.name)
    assert stranger in world.crm.tables["people"].rows
    assert state(done) == "PARTIALLY_ERASED"
    assert {CHANGES.Name(c.kind) for c in done.plan_changes} == {"KIND_NEW_PERSON", "KIND_NEW_IDENTITY"}


@pytest.mark.long
async def test_a_copy_made_while_erasing_ends_with_the_erasure(world: World) -> None:
    plan, gate = await held_while_erasing(world)
    world.crm.gate, world.crm.gated = asyncio.Event(), frozenset({"export"})
    copy = await world.create("access")
    await eventually(lambda: "export" in world.crm.calls)
    gate.set()
    await world.until_waiting("erasure", plan.name, "COPY_IN_PROGRESS")
    world.crm.gate.set()
    assert state(await world.until("access", copy.name)) == "COMPLETED"
    done = await world.until("erasure", plan.name)
    assert done.report.bundles_ended == 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.download("access", copy.name)
    assert reason_of(caught.value) == "BUNDLE_GONE"


@pytest.mark.long
async def test_a_download_under_way_ends_with_its_bundle(world: World) -> None:
    def rows() -> bytes:
        return b"".join(b'{"id": "%s"}\n' % secrets.token_hex(4000).encode() for _ in range(200))

    async def export(request: Any, grant: Any) -> AsyncIterator[connector_pb2.ExportResponse]:
        pb, parts = connector_pb2, [rows() for _ in range(40)]
        whole = b"".join(parts)
        fields = [pb.Field(name="id", type="string")]
        yield pb.ExportResponse(header=pb.CollectionHeader(collection="orders", fields=fields))
        for part in parts:
            for start in range(0, len(part), 2**20):
                yield pb.ExportResponse(data=part[start : start + 2**20])
        size, digest = len(whole), hashlib.sha256(whole).digest()
        yield pb.ExportResponse(trailer=pb.CollectionTrailer(records=8000, bytes=size, sha256=digest))
        totals = pb.ExportTotals(collections=1, records=8000, bytes=size)
        totals.snapshot_time.GetCurrentTime()
        yield pb.ExportResponse(totals=totals)

    world.shop.export = export  # type: ignore[method-assign]
    copy = await world.create("access")
    size = (await world.until("access", copy.name)).bundle.size_bytes
    call = world.stub("access").DownloadAccessBundle(
        access_pb2.DownloadAccessBundleRequest(name=copy.name), metadata=world.metadata()
    )
    await call.read()
    plan = await planned(world)
    await world.approve(plan)
    assert (await world.until("erasure", plan.name)).report.bundles_ended == 1
    got = []

    async def rest() -> None:
        while (piece := await call.read()) is not grpc.aio.EOF:
            got.append(len(piece.data))

    assert await refused(rest()) == "BUNDLE_GONE"
    assert sum(got) < size / 2


@pytest.mark.long
async def test_an_erasure_that_finds_nothing_ends_older_copies_too(world: World) -> None:
    copy = await world.create("access")
    await world.until("access", copy.name)
    for rows in (world.crm.tables["people"].rows, world.shop.tables["orders"].rows):
        rows.clear()
    created = await world.create("erasure")
    done = await world.until("erasure", created.name)
    assert state(done) == "COMPLETED"
    assert done.report.bundles_ended == 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.download("access", copy.name)
    assert reason_of(caught.value) == "BUNDLE_GONE"


@pytest.mark.policy("P16", "an approver whose role was revoked erases nothing, also after approving")
async def test_an_approver_revoked_before_the_first_grant_erases_nothing(world: World) -> None:
    plan = await planned(world)
    world.shop.gate, world.shop.gated = asyncio.Event(), frozenset({"locate"})
    world.shop.calls.clear()
    await world.approve(plan)
    await eventually(lambda: "locate" in world.shop.calls)
    admin = world.metadata("adam", "ROLE_ADMIN")
    listed = await world.governance.ListRoleGrants(governance_pb2.ListRoleGrantsRequest(parent=PARTNER), metadata=admin)
    for granted in listed.role_grants:
        message = governance_pb2.RevokeRoleGrantRequest(name=granted.name, request_id=str(uuid.uuid4()))
        await world.governance.RevokeRoleGrant(message, metadata=admin)
    world.shop.gate.set()
    await world.until_waiting("erasure", plan.name, "FOUR_EYES")
    assert world.shop.erase_runs == world.crm.erase_runs == 0


def authority(world: World, service: str) -> tuple[Any, Any]:
    key = Credential.load(world.folder / f"{service}.json")
    token = key.token(AUTHORITY_AUDIENCE, subject=service, roles=["ROLE_SERVICE"])
    return AuthorityServiceStub(world.channel("governance")), (("authorization", f"Bearer {token}"),)


@pytest.mark.policy("P16", "each service speaks for its own right alone")
async def test_a_service_speaks_for_its_own_right_alone(world: World) -> None:
    stub, access = authority(world, "access")
    request, right = f"{PARTNER}/erasureRequests/{uuid.uuid4()}", authority_pb2.RIGHT_ERASURE
    change = authority_pb2.StateChange(request=request, right=right, state=request_pb2.REQUEST_STATE_COMPLETED)
    entry = authority_pb2.ReportEntry(partner=PARTNER, id=str(uuid.uuid4()), change=change)
    entry.change.change_time.GetCurrentTime()
    obligation = f"{PARTNER}/portabilityRequests/{uuid.uuid4()}"
    token = dict(world.metadata("bob", "ROLE_APPROVER"))["authorization"].removeprefix("Bearer ")
    pb, ann = authority_pb2, subject_pb2.Identity(type="email", value="ann@example.com")
    calls = [
        stub.Authorize(
            pb.AuthorizeRequest(
                partner=PARTNER,
                right=right,
                request_id=str(uuid.uuid4()),
                principal="x",
                capacity=subject_pb2.REQUESTER_CAPACITY_SELF,
                identity_types=["email"],
                verification=subject_pb2.IdentityVerification.METHOD_ACCOUNT_LOGIN,
            ),
            metadata=access,
        ),
        stub.GetInstructions(
            pb.GetInstructionsRequest(partner=PARTNER, right=right, data_map_revision=1, data_sources=[SHOP]),
            metadata=access,
        ),
        stub.RecordApproval(
            pb.RecordApprovalRequest(request=request, plan_digest="d", token=token, creators=["x#y"]), metadata=access
        ),
        stub.RegisterWork(pb.RegisterWorkRequest(request=request, right=right, identities=[ann]), metadata=access),
        stub.CloseWork(pb.CloseWorkRequest(request=request), metadata=access),
        stub.ObligeBundleEnd(pb.ObligeBundleEndRequest(request=request), metadata=access),
        stub.ListObligations(pb.ListObligationsRequest(right=pb.RIGHT_PORTABILITY), metadata=access),
        stub.AcknowledgeObligation(
            pb.AcknowledgeObligationRequest(id=str(uuid.uuid4()), request=obligation), metadata=access
        ),
        stub.Report(pb.ReportRequest(entries=[entry]), metadata=access),
    ]
    for call in calls:
        assert await refused(call) == "ROLE_REQUIRED", call
    mixed = pb.RegisterWorkRequest(request=request, right=pb.RIGHT_ACCESS, identities=[ann])
    assert await refused(stub.RegisterWork(mixed, metadata=access)) == "FIELD_INVALID"


async def test_work_that_was_closed_is_not_opened_by_a_late_registration(world: World) -> None:
    stub, access = authority(world, "access")
    ghost = f"{PARTNER}/accessRequests/{uuid.uuid4()}"
    ann = subject_pb2.Identity(type="email", value="ann@example.com")
    await stub.CloseWork(authority_pb2.CloseWorkRequest(request=ghost), metadata=access)
    late = authority_pb2.RegisterWorkRequest(request=ghost, right=authority_pb2.RIGHT_ACCESS, identities=[ann])
    await stub.RegisterWork(late, metadata=access)
    plan = await planned(world)
    await world.approve(plan)
    assert state(await world.until("erasure", plan.name)) == "COMPLETED"


@pytest.mark.parametrize("collection", ["ordres", "ORDERS", "orders ", "*"])
async def test_a_hold_on_what_is_not_mapped_is_refused(world: World, collection: str) -> None:
    assert await refused(hold(world, collection)) == "FIELD_INVALID"


async def test_a_hold_of_a_type_that_nobody_looks_up_is_refused(world: World) -> None:
    assert await refused(hold(world, "orders", governance_pb2.HoldSubject(type="e-mail", value="x"))) == "FIELD_INVALID"


async def test_a_hold_holds_its_person_in_any_spelling(world: World) -> None:
    await hold(world, "orders", governance_pb2.HoldSubject(type="email", value=" Ann@Example.com"))
    plan = await planned(world)
    actions = {c.collection: erasure_pb2.ErasureRequest.Action.Name(c.action) for c in plan.plan.collections}
    assert actions["orders"] == "ACTION_RETAIN"


def hold(world: World, collection: str, subject: governance_pb2.HoldSubject | None = None) -> Any:
    message = governance_pb2.PlaceHoldRequest(
        parent=PARTNER,
        request_id=str(uuid.uuid4()),
        hold=governance_pb2.Hold(source=SHOP, collection=collection, reason="r", legal_reference="l", subject=subject),
    )
    message.hold.review_time.FromDatetime(datetime.now(UTC) + timedelta(days=9))
    return world.governance.PlaceHold(message, metadata=world.metadata("adam", "ROLE_ADMIN"))
