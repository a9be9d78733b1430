"""Retention sweeps against the running services."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from dsr.v1 import erasure_pb2, governance_pb2
from dsr.v1 import retention_pb2 as pb

from tests.support.services import CRM, PARTNER, World, eventually, reason_of, state

OLD, NEW = "2020-01-01T00:00:00+00:00", datetime.now(UTC).isoformat()
S = pb.RetentionSweep


def admin(world: World) -> Any:
    return world.metadata("adam", "ROLE_ADMIN")


def approver(world: World) -> Any:
    return world.metadata("bob", "ROLE_APPROVER")


async def refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


def seen(world: World, times: dict[str, str | None]) -> None:
    for row in world.crm.tables["people"].rows:
        row["seen"] = times.get(row["email"], NEW)


def people(world: World) -> set[str]:
    return {row["email"] for row in world.crm.tables["people"].rows}


async def rule(world: World, **fields: Any) -> Any:
    wanted = pb.RetentionRule(
        **{"source": CRM, "collection": "people", "field": "seen", "identity_type": "email", **fields}
    )
    message = pb.CreateRetentionRuleRequest(parent=PARTNER, retention_rule=wanted, request_id=str(uuid.uuid4()))
    return await world.retention.CreateRetentionRule(message, metadata=admin(world))


async def sweep(world: World, name: str) -> Any:
    message = pb.CreateRetentionSweepRequest(parent=PARTNER, retention_sweep=S(rule=name), request_id=str(uuid.uuid4()))
    return await world.retention.CreateRetentionSweep(message, metadata=admin(world))


async def reach(world: World, name: str, *states: Any) -> Any:
    found: list[Any] = []

    async def there() -> bool:
        found.append(
            await world.retention.GetRetentionSweep(pb.GetRetentionSweepRequest(name=name), metadata=admin(world))
        )
        return found[-1].state in states

    await eventually(there)
    return found[-1]


async def approve(world: World, name: str, metadata: Any = None) -> Any:
    message = pb.ApproveRetentionSweepRequest(name=name, request_id=str(uuid.uuid4()))
    return await world.retention.ApproveRetentionSweep(message, metadata=metadata or approver(world))


async def instruct(world: World, name: str, *collections: str) -> Any:
    given = pb.RetentionRule.StandingInstruction(collections=collections, purpose="the customer relation is over")
    message = pb.InstructRetentionRequest(name=name, instruction=given, request_id=str(uuid.uuid4()))
    return await world.retention.InstructRetention(message, metadata=approver(world))


async def requests(world: World) -> list[Any]:
    page = await world.stub("erasure").ListErasureRequests(
        erasure_pb2.ListErasureRequestsRequest(parent=PARTNER), metadata=world.metadata()
    )
    return [await world.get("erasure", one.name) for one in page.erasure_requests]


async def ended(world: World, count: int) -> list[Any]:
    found: list[Any] = []

    async def all_over() -> bool:
        found[:] = await requests(world)
        return len(found) == count and all(state(r) in ("COMPLETED", "CANCELLED", "PLANNED") for r in found)

    await eventually(all_over, within=40)
    return found


@pytest.mark.policy("P6", "unused data is counted, shown, and erased like any request, once somebody approved")
async def test_from_the_count_to_the_erasure(world: World) -> None:
    seen(world, {"ann@example.com": OLD, "joann@example.com": None, "twin@example.com": NEW})
    made = await rule(world)
    assert made.months == 6
    counted = await reach(world, (await sweep(world, made.name)).name, S.STATE_COUNTED)
    assert (counted.people, counted.unknown) == (1, 1)
    assert list(counted.erased_collections) == ["people"]
    assert not await requests(world)
    assert await refused(approve(world, counted.name, world.metadata("adam", "ROLE_APPROVER"))) == "FOUR_EYES"
    assert await refused(approve(world, counted.name, world.metadata("carol", "ROLE_APPROVER"))) == "FOUR_EYES"
    approved = await approve(world, counted.name)
    assert (approved.approver, approved.standing) == ("urn:dsr:partner:acme#bob", False)
    done = await reach(world, counted.name, S.STATE_COMPLETED)
    assert done.created == 1
    (request,) = await ended(world, 1)
    assert state(request) == "COMPLETED"
    assert request.sweep == counted.name
    assert request.ground == erasure_pb2.ErasureRequest.GROUND_NON_NECESSITY
    assert request.approval.approver == "urn:dsr:partner:acme#bob"
    # Only the rule's source: what the shop holds of the person is not judged by it.
    assert [c.source for c in request.plan.collections] == [CRM]
    assert people(world) == {"joann@example.com", "twin@example.com"}
    # Erased once: the next sweep finds nobody, and there is nothing to approve.
    again = await reach(world, (await sweep(world, made.name)).name, S.STATE_COMPLETED)
    assert (again.people, again.approver) == (0, "")


@pytest.mark.long
@pytest.mark.policy("P6", "who is seen again after the approval is not erased")
async def test_somebody_who_comes_back_before_the_erasure_stays(world: World) -> None:
    seen(world, {"ann@example.com": OLD, "joann@example.com": OLD})
    made = await rule(world)
    counted = await reach(world, (await sweep(world, made.name)).name, S.STATE_COUNTED)
    world.crm.gate, world.crm.gated = asyncio.Event(), frozenset({"locate"})
    await approve(world, counted.name)
    await reach(world, counted.name, S.STATE_COMPLETED)
    seen(world, {"joann@example.com": OLD})
    world.crm.gate.set()
    found = await ended(world, 2)
    assert sorted(state(r) for r in found) == ["CANCELLED", "COMPLETED"]
    assert people(world) == {"ann@example.com", "twin@example.com"}


@pytest.mark.policy("P6", "a standing instruction is given by a second person, and erases without asking again")
async def test_a_standing_instruction(world: World) -> None:
    seen(world, {"ann@example.com": OLD})
    made = await rule(world)
    assert await refused(instruct(world, made.name, "orders")) == "FIELD_INVALID"
    given = await instruct(world, made.name, "people")
    assert given.instruction.instructor == "urn:dsr:partner:acme#bob"
    swept = await reach(world, (await sweep(world, made.name)).name, S.STATE_COMPLETED)
    assert swept.standing
    (request,) = await ended(world, 1)
    assert state(request) == "COMPLETED"
    assert "ann@example.com" not in people(world)


async def test_a_hold_keeps_everybody_and_a_cancelled_sweep_nobody_touches(world: World) -> None:
    seen(world, {"ann@example.com": OLD})
    made = await rule(world)
    first = await reach(world, (await sweep(world, made.name)).name, S.STATE_COUNTED)
    assert await refused(sweep(world, made.name)) == "STATE_CONFLICT"
    message = pb.CancelRetentionSweepRequest(name=first.name, request_id=str(uuid.uuid4()))
    cancelled = await world.retention.CancelRetentionSweep(message, metadata=approver(world))
    assert cancelled.state == S.STATE_CANCELLED
    assert await refused(approve(world, first.name)) == "STATE_CONFLICT"
    hold = governance_pb2.Hold(source=CRM, collection="people", reason="r", legal_reference="§ 147 AO")
    hold.review_time.FromDatetime(datetime.now(UTC) + timedelta(days=9))
    placed = governance_pb2.PlaceHoldRequest(parent=PARTNER, hold=hold, request_id=str(uuid.uuid4()))
    await world.governance.PlaceHold(placed, metadata=admin(world))
    held = await reach(world, (await sweep(world, made.name)).name, S.STATE_COMPLETED)
    assert (list(held.erased_collections), list(held.kept_collections)) == ([], ["people"])
    assert held.people == 1
    assert await refused(rule(world)) == "ALREADY_EXISTS"
    ended_ = pb.EndRetentionRuleRequest(name=made.name, request_id=str(uuid.uuid4()))
    assert (await world.retention.EndRetentionRule(ended_, metadata=admin(world))).HasField("end_time")
    assert await refused(sweep(world, made.name)) == "STATE_CONFLICT"
    failing = await reach(
        world, (await sweep(world, (await rule(world, identity_type="phone")).name)).name, S.STATE_FAILED
    )
    assert not failing.people
    assert not await requests(world)
    assert "ann@example.com" in people(world)
