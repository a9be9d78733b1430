"""Cancelled in the middle of each step: what the step brings afterwards changes nothing, and nothing is left."""

import asyncio
import time
import uuid
from typing import Any

import grpc
import pytest
from dsr.authority.v1 import authority_pb2
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceStub
from dsr.credentials import AUTHORITY_AUDIENCE, Credential

from tests.support.services import PARTNER, World, eventually, reason_of, state

RIGHTS = ("access", "portability", "erasure")


async def in_the_middle(world: World, right: str, call: str) -> tuple[str, asyncio.Event]:
    """A request whose shop is being asked this, and the event that lets the shop answer."""
    gate = asyncio.Event()
    if right == "erasure" and call == "relocate":
        created = await world.create(right)
        plan = await world.until(right, created.name, "PLANNED")
        world.shop.gate, world.shop.calls = gate, []
        await world.approve(plan)
        call = "locate"
    else:
        world.shop.gate, world.shop.gated = gate, frozenset({call})
        created = await world.create(right)
    await eventually(lambda: call in world.shop.calls)
    return created.name, gate


@pytest.mark.long
@pytest.mark.parametrize(
    ("right", "call"),
    [(right, "locate") for right in RIGHTS] + [(right, "export") for right in RIGHTS[:2]] + [("erasure", "relocate")],
)
async def test_cancelled_in_the_middle_of_a_step(world: World, right: str, call: str) -> None:
    name, gate = await in_the_middle(world, right, call)
    assert state(await world.act(right, "Cancel", name)) == "CANCELLED"
    gate.set()
    identifier = name.split("/")[-1]
    await eventually(lambda: not (world.folder / "keys" / right / "acme" / f"{identifier}.key").exists())

    def kept() -> list[str]:
        return [f.name for f in (world.folder / "state" / right).rglob("*") if f.is_file()]

    await eventually(lambda: not kept())
    after = await world.get(right, name)
    assert state(after) == "CANCELLED"
    assert not after.identities
    assert world.shop.erase_runs == world.crm.erase_runs == 0
    assert state(await world.act(right, "Cancel", name)) == "CANCELLED", "cancelling again is no error"


async def refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


class Captured:
    """Whoever holds the erasure service's key, and what an approver's token lets them do with it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stub: Any = AuthorityServiceStub(world.channel("governance"))

    def _metadata(self, service: str) -> tuple[tuple[str, str], ...]:
        key = Credential.load(self._world.folder / f"{service}.json")
        return (("authorization", f"Bearer {key.token(AUTHORITY_AUDIENCE, subject=service, roles=['ROLE_SERVICE'])}"),)

    def token(self, subject: str = "bob", *roles: str, partner: str = "acme", **claims: Any) -> str:
        claims = {"actor_type": "person", "auth_time": time.time(), **claims}
        return self._world.credential(partner).token(
            "dsr", subject=subject, roles=roles or ("ROLE_APPROVER",), **claims
        )

    def record(self, request: str, digest: str, token: str, service: str = "erasure") -> Any:
        message = authority_pb2.RecordApprovalRequest(
            request=request, plan_digest=digest, token=token, creators=["urn:dsr:partner:acme#alice"]
        )
        return self._stub.RecordApproval(message, metadata=self._metadata(service))

    def grant(self, request: str, digest: str, service: str = "erasure") -> Any:
        message = authority_pb2.IssueGrantRequest(
            right=authority_pb2.RIGHT_ERASURE,
            request=request,
            source=f"{PARTNER}/dataSources/shop",
            task=str(uuid.uuid4()),
            attempt=1,
            plan_digest=digest,
            data_map_revision=1,
        )
        return self._stub.IssueGrant(message, metadata=self._metadata(service))


async def test_an_approval_is_of_one_plan_of_one_request_by_one_person(world: World) -> None:
    captured = Captured(world)
    mine, other = (f"{PARTNER}/erasureRequests/{uuid.uuid4()}" for _ in range(2))
    token = captured.token()
    await captured.record(mine, "d1", token)
    await captured.record(mine, "d1", token)
    assert await refused(captured.record(mine, "d2", token)) == "PERSON_REQUIRED", "a token approves one plan"
    assert await refused(captured.record(other, "d1", token)) == "PERSON_REQUIRED"
    assert await refused(captured.grant(mine, "d2")) == "FOUR_EYES"
    assert await refused(captured.grant(other, "d1")) == "FOUR_EYES"
    assert await refused(captured.grant(mine, "d1", "access")) == "ROLE_REQUIRED"


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        ({"subject": "alice"}, "FOUR_EYES"),
        ({"subject": "bob", "act": {"sub": "alice"}}, "FOUR_EYES"),
        ({"subject": "carol"}, "FOUR_EYES"),
        ({"subject": "bob", "actor_type": "service"}, "PERSON_REQUIRED"),
        ({"subject": "bob", "auth_time": time.time() - 3600}, "PERSON_REQUIRED"),
        ({"subject": "bob", "partner": "globex"}, "ROLE_REQUIRED"),
    ],
)
async def test_an_approval_by_the_wrong_person(world: World, who: dict[str, Any], reason: str) -> None:
    captured = Captured(world)
    request = f"{PARTNER}/erasureRequests/{uuid.uuid4()}"
    assert await refused(captured.record(request, "d1", captured.token(**who))) == reason
    assert await refused(captured.grant(request, "d1")) == "FOUR_EYES"
