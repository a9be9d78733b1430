"""Erasure, as the people of a partner go through it, and what must not happen on the way."""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from dsr.v1 import erasure_pb2, governance_pb2, options_pb2, request_pb2

from tests.support.services import APPROVER, CRM, PARTNER, SHOP, World, eventually, reason_of, state

OUTCOME = erasure_pb2.ErasureRequest.Outcome


def results(request: erasure_pb2.ErasureRequest) -> dict[str, str]:
    return {o.collection: OUTCOME.Result.Name(o.result).removeprefix("RESULT_") for o in request.report.outcomes}


def kinds(request: erasure_pb2.ErasureRequest) -> set[str]:
    names = erasure_pb2.ErasureRequest.PlanChange.Kind
    return {names.Name(c.kind).removeprefix("KIND_") for c in request.plan_changes}


async def planned(world: World, **fields: Any) -> erasure_pb2.ErasureRequest:
    created = await world.create("erasure", **fields)
    found: erasure_pb2.ErasureRequest = await world.until("erasure", created.name, "PLANNED", "PLAN_CHANGED")
    return found


async def refused(call: object) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return reason_of(caught.value)


@pytest.mark.policy("P11", "erasure: planned, approved, carried out, read back (Art. 17)")
async def test_plan_approval_erasure_and_report(world: World) -> None:
    others = [r for r in world.shop.tables["orders"].rows if r["customer"] != "7"]
    plan = await planned(world)
    assert {(c.collection, c.records) for c in plan.plan.collections} == {("people", 1), ("orders", 2), ("invoices", 1)}
    retained = next(c for c in plan.plan.collections if c.collection == "invoices")
    assert (retained.action, retained.legal_reference) == (erasure_pb2.ErasureRequest.ACTION_RETAIN, "TCA 1997 s. 886")
    assert world.crm.erase_runs == world.shop.erase_runs == 0
    await world.approve(plan)
    done = await world.until("erasure", plan.name)
    assert state(done) == "COMPLETED"
    assert results(done) == {"people": "ERASED", "orders": "ERASED", "invoices": "RETAINED"}
    assert world.shop.tables["orders"].rows == others
    assert [r["id"] for r in world.crm.tables["people"].rows] == ["2", "3", "4"]
    assert len(world.shop.tables["invoices"].rows) == 2
    # The register, which supplied the customer number, went last.
    assert world.shop.journal
    assert world.crm.journal

    async def forgotten() -> bool:
        return not (await world.get("erasure", plan.name)).identities

    await eventually(forgotten)


@pytest.mark.policy("P18", "the report of an erasure names the data protection officer")
async def test_the_report_is_a_document_without_data_of_the_person(world: World) -> None:
    plan = await planned(world)
    stub = world.stub("erasure")
    request = erasure_pb2.DownloadErasureReportRequest(name=plan.name)

    async def document() -> bytes:
        return b"".join([p.data async for p in stub.DownloadErasureReport(request, metadata=world.metadata())])

    assert await refused(document()) == "STATE_CONFLICT"
    await world.approve(plan)
    await world.until("erasure", plan.name)
    text = (await document()).decode()
    assert len(json.loads(text)["report"]["outcomes"]) == 3
    assert json.loads(text)["report"]["dpoContact"] == "dpo@agency.example"
    assert "ann@" not in text


@pytest.mark.policy("P16", "who created an erasure can't approve it")
async def test_four_eyes(world: World) -> None:
    plan = await planned(world)
    assert await refused(world.approve(plan, "alice")) == "FOUR_EYES", "the creator"
    assert await refused(world.approve(plan, "carol")) == "FOUR_EYES", "nobody granted her the role"
    acting = {"sub": "alice", "iss": "urn:dsr:partner:acme"}
    assert await refused(world.approve(plan, "bob", act=acting)) == "FOUR_EYES", "the creator, through another client"
    assert await refused(world.approve(plan, "bob", actor_type="service")) == "PERSON_REQUIRED"
    assert await refused(world.approve(plan, "bob", auth_time=1.0)) == "PERSON_REQUIRED"
    unapproved = await world.get("erasure", plan.name)
    assert state(unapproved) == "PLANNED"
    assert world.crm.erase_runs == 0


@pytest.mark.policy("P16", "the approver role needs two other people")
async def test_nobody_grants_a_role_to_themselves(world: World) -> None:
    grantee = "urn:dsr:partner:acme#carol"

    async def grant(who: str) -> governance_pb2.RoleGrant:
        message = governance_pb2.GrantRoleRequest(
            parent=PARTNER,
            request_id=str(uuid.uuid4()),
            role_grant=governance_pb2.RoleGrant(grantee=grantee, role=options_pb2.ROLE_APPROVER),
        )
        made: governance_pb2.RoleGrant = await world.governance.GrantRole(
            message, metadata=world.metadata(who, "ROLE_ADMIN")
        )
        return made

    async def confirm(name: str, who: str) -> governance_pb2.RoleGrant:
        message = governance_pb2.ConfirmRoleGrantRequest(name=name, request_id=str(uuid.uuid4()))
        made: governance_pb2.RoleGrant = await world.governance.ConfirmRoleGrant(
            message, metadata=world.metadata(who, "ROLE_ADMIN")
        )
        return made

    assert await refused(grant("carol")) == "FOUR_EYES"
    proposed = await grant("dave")
    assert await refused(confirm(proposed.name, "carol")) == "FOUR_EYES"
    assert await refused(confirm(proposed.name, "dave")) == "FOUR_EYES"
    plan = await planned(world)
    assert await refused(world.approve(plan, "carol")) == "FOUR_EYES"
    await confirm(proposed.name, "erin")
    await world.approve(plan, "carol")
    assert state(await world.until("erasure", plan.name)) == "COMPLETED"


@pytest.mark.long
@pytest.mark.policy("P16", "an approval needs a fresh sign-in, and its token is used once")
async def test_a_token_approves_once(world: World) -> None:
    first, second = await planned(world), await planned(world, identities=[("email", "joann@example.com")])
    metadata = world.metadata("bob", "ROLE_APPROVER")
    stub = world.stub("erasure")

    def approve(request: erasure_pb2.ErasureRequest) -> object:
        message = erasure_pb2.ApproveErasureRequestRequest(
            name=request.name, plan_digest=request.plan.digest, request_id=str(uuid.uuid4())
        )
        return stub.ApproveErasureRequest(message, metadata=metadata)

    await approve(first)  # type: ignore[misc]
    assert await refused(approve(second)) == "PERSON_REQUIRED"


async def test_approving_twice_erases_once(world: World) -> None:
    plan = await planned(world)
    request_id = str(uuid.uuid4())
    await asyncio.gather(*(world.approve(plan, request_id=request_id) for _ in range(1)), world.approve(plan))
    done = await world.until("erasure", plan.name)
    assert state(done) == "COMPLETED"
    assert (world.crm.erase_runs, world.shop.erase_runs) == (1, 1)
    assert state(await world.approve(plan)) == "COMPLETED"


async def test_a_stale_digest_is_refused_with_the_current_one(world: World) -> None:
    plan = await planned(world)
    stale = erasure_pb2.ErasureRequest(name=plan.name)
    stale.plan.digest = "0" * 64
    assert await refused(world.approve(stale)) == "PLAN_STALE"


async def test_a_preview_can_never_be_approved(world: World) -> None:
    plan = await planned(world, validate_only=True)
    assert plan.plan.collections
    assert await refused(world.approve(plan)) == "STATE_CONFLICT"


@pytest.mark.parametrize("change", ["collection", "cap", "hold", "identity"])
async def test_data_that_moved_on_stops_it_before_the_first_row(world: World, change: str) -> None:
    if change == "collection":
        world.shop.tables["invoices"].rows = [r for r in world.shop.tables["invoices"].rows if r["customer"] != "7"]
    plan = await planned(world)
    if change == "collection":
        world.shop.tables["invoices"].rows.append({"id": "99", "customer": "7", "total": "1"})
    elif change == "cap":
        more = [{"id": f"n{n}", "customer": "7", "item": "x", "seller": "S"} for n in range(20)]
        world.shop.tables["orders"].rows += more
    elif change == "identity":
        world.crm.tables["people"].rows[0]["number"] = "700"
    else:
        hold = governance_pb2.Hold(
            source=SHOP,
            collection="orders",
            reason="eu-gdpr:JustificationA17LegalClaims",
            legal_reference="GDPR Art. 17(3)(e)",
        )
        hold.review_time.FromDatetime(datetime.now(UTC) + timedelta(days=30))
        await world.governance.PlaceHold(
            governance_pb2.PlaceHoldRequest(parent=PARTNER, hold=hold, request_id=str(uuid.uuid4())),
            metadata=world.metadata("adam", "ROLE_ADMIN"),
        )
    await world.approve(plan)
    stopped = await world.until("erasure", plan.name, "PLAN_CHANGED")
    assert state(stopped) == "PLAN_CHANGED"
    expected = {
        "collection": "NEW_COLLECTION",
        "cap": "CAP_EXCEEDED",
        "hold": "ACTION_CHANGED",
        "identity": "NEW_IDENTITY",
    }
    assert expected[change] in kinds(stopped)
    assert world.crm.erase_runs == world.shop.erase_runs == 0
    assert stopped.plan.revision == 2
    assert stopped.plan.digest != plan.plan.digest
    assert await refused(world.approve(plan)) == "PLAN_STALE"
    await world.approve(stopped)
    done = await world.until("erasure", plan.name)
    assert state(done) == "COMPLETED"
    if change == "hold":
        assert results(done)["orders"] == "RETAINED"


@pytest.mark.long
async def test_growth_within_the_caps_goes_on(world: World) -> None:
    plan = await planned(world)
    world.shop.tables["orders"].rows.append({"id": "new", "customer": "7", "item": "x", "seller": "S"})
    await world.approve(plan)
    done = await world.until("erasure", plan.name)
    assert state(done) == "COMPLETED"
    assert next(o.erased for o in done.report.outcomes if o.collection == "orders") == 3


async def test_a_hold_placed_while_erasing_leaves_it_partial_and_says_so(world: World) -> None:
    plan = await planned(world)
    # The shop is erased first; the register supplied the number and waits for it. The hold falls in between.
    gate = asyncio.Event()
    original = world.shop.erase

    async def hold_then_erase(request: object, grant: object):  # type: ignore[no-untyped-def]
        async for message in original(request, grant):  # type: ignore[arg-type]
            yield message
        hold = governance_pb2.Hold(
            source=CRM,
            collection="people",
            reason="eu-gdpr:JustificationA17LegalClaims",
            legal_reference="GDPR Art. 17(3)(e)",
        )
        hold.review_time.FromDatetime(datetime.now(UTC) + timedelta(days=30))
        await world.governance.PlaceHold(
            governance_pb2.PlaceHoldRequest(parent=PARTNER, hold=hold, request_id=str(uuid.uuid4())),
            metadata=world.metadata("adam", "ROLE_ADMIN"),
        )
        gate.set()

    world.shop.erase = hold_then_erase  # type: ignore[method-assign]
    await world.approve(plan)
    done = await world.until("erasure", plan.name)
    assert gate.is_set()
    assert state(done) == "PARTIALLY_ERASED"
    assert "ACTION_CHANGED" in kinds(done)
    assert results(done)["orders"] == "ERASED"
    assert results(done)["people"] == "REMAINS"
    assert world.crm.erase_runs == 0


async def test_a_connector_that_deletes_nothing_is_caught_by_reading_back(world: World) -> None:
    world.shop.deletes_nothing = True
    plan = await planned(world)
    await world.approve(plan)
    done = await world.until("erasure", plan.name)
    assert state(done) == "PARTIALLY_ERASED"
    assert results(done)["orders"] == "REMAINS"
    assert next(o.remaining for o in done.report.outcomes if o.collection == "orders") == 2


async def test_a_connector_that_miscounts_is_never_reported_done(world: World) -> None:
    world.shop.miscounts = 1
    plan = await planned(world)
    await world.approve(plan)
    await world.until_waiting("erasure", plan.name, "SOURCE_INCONSISTENT")


@pytest.mark.long
async def test_a_connector_down_while_erasing_is_waited_for(world: World) -> None:
    plan = await planned(world)
    world.shop.down = True
    await world.approve(plan)
    await world.until_waiting("erasure", plan.name, "SOURCE_UNAVAILABLE")
    assert world.crm.erase_runs == 0
    world.shop.down = False
    assert state(await world.until("erasure", plan.name)) == "COMPLETED"
    assert (world.crm.erase_runs, world.shop.erase_runs) == (1, 1)


async def test_cancel_before_and_after_it_began(world: World) -> None:
    plan = await planned(world)
    gate = world.shop.gate = asyncio.Event()
    await world.approve(plan)
    await world.act("erasure", "Cancel", plan.name)
    gate.set()
    assert state(await world.get("erasure", plan.name)) == "CANCELLED"
    assert world.shop.erase_runs == world.crm.erase_runs == 0

    world.shop.gate = None
    again = await planned(world)
    entered = asyncio.Event()
    original = world.shop.erase

    async def slow(request: object, grant: object):  # type: ignore[no-untyped-def]
        entered.set()
        await release.wait()
        async for message in original(request, grant):  # type: ignore[arg-type]
            yield message

    release = asyncio.Event()
    world.shop.erase = slow  # type: ignore[method-assign]
    await world.approve(again)
    await asyncio.wait_for(entered.wait(), 20)
    assert await refused(world.act("erasure", "Cancel", again.name)) == "STATE_CONFLICT"
    release.set()
    assert state(await world.until("erasure", again.name)) == "COMPLETED"


async def test_unknown_subject_is_done_without_anything_to_approve(world: World) -> None:
    created = await world.create("erasure", identities=[("email", "nobody@example.com")])
    done = await world.until("erasure", created.name)
    assert state(done) == "COMPLETED"
    assert not done.report.outcomes


@pytest.mark.long
async def test_a_copy_in_progress_holds_the_erasure(world: World) -> None:
    plan = await planned(world)
    gate, world.shop.gated = asyncio.Event(), frozenset({"export"})
    world.shop.gate = gate
    copy = await world.create("access")
    await world.until("access", copy.name, "EXPORTING")
    await world.approve(plan)
    await world.until_waiting("erasure", plan.name, "COPY_IN_PROGRESS")
    assert world.crm.erase_runs == 0
    gate.set()
    world.shop.gate = None
    copied = await world.until("access", copy.name)
    assert {c.collection: c.records for c in copied.bundle.collections}["orders"] == 2
    assert state(await world.until("erasure", plan.name)) == "COMPLETED"


@pytest.mark.long
async def test_an_erasure_ends_older_bundles_for_good(world: World) -> None:
    copied = await world.until("access", (await world.create("access")).name)
    assert await world.download("access", copied.name)
    plan = await planned(world)
    await world.approve(plan)
    done = await world.until("erasure", plan.name)
    assert done.report.bundles_ended == 1
    ended = await world.get("access", copied.name)
    assert ended.bundle.state == request_pb2.Bundle.STATE_ENDED_BY_ERASURE
    assert await refused(world.download("access", copied.name)) == "BUNDLE_GONE"
    assert not list((world.folder / "state" / "access").rglob("*.age"))
    assert not list((world.folder / "keys" / "access").rglob("*.key"))


@pytest.mark.long
async def test_two_erasures_of_one_person_coalesce(world: World) -> None:
    first = await planned(world)
    second = await world.create("erasure", identities=[("customer_number", "7")])
    await world.until_waiting("erasure", second.name, "ERASURE_IN_PROGRESS")
    await world.approve(first)
    assert state(await world.until("erasure", first.name)) == "COMPLETED"
    done = await world.until("erasure", second.name)
    assert state(done) == "COMPLETED", "nothing is left to approve"
    assert set(results(done).values()) <= {"RETAINED"}
    assert (world.crm.erase_runs, world.shop.erase_runs) == (1, 1)


@pytest.mark.policy("P16", "a revoked approver approves nothing")
async def test_a_revoked_approver_approves_nothing(world: World) -> None:
    listed = await world.governance.ListRoleGrants(
        governance_pb2.ListRoleGrantsRequest(parent=PARTNER), metadata=world.metadata("adam", "ROLE_ADMIN")
    )
    assert [g.grantee for g in listed.role_grants] == [APPROVER]
    await world.governance.RevokeRoleGrant(
        governance_pb2.RevokeRoleGrantRequest(name=listed.role_grants[0].name, request_id=str(uuid.uuid4())),
        metadata=world.metadata("adam", "ROLE_ADMIN"),
    )
    plan = await planned(world)
    assert await refused(world.approve(plan)) == "FOUR_EYES"
