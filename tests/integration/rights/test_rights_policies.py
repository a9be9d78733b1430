"""Versions of the operator's policy: published by two, told to every partner, accepted or not (policy P17)."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from dsr.v1 import notifications_pb2, request_pb2
from dsr.v1 import policy_pb2 as pb
from dsr.v1.notifications_pb2_grpc import NotificationServiceStub

from services.governance.policies.chores import follow
from tests.integration.rights.test_rights_notifications import tools_at
from tests.support.policies import DIGEST, appoint, appoint_officers, propose, publish, staff, stub
from tests.support.services import PARTNER, World, eventually, reason_of


async def outcome(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
    return "OK"


def answer(world: World, verb: str, number: int, role: str = "ROLE_ADMIN", **claims: Any) -> Any:
    kind = getattr(pb, f"{verb}PolicyVersionRequest")
    message = kind(name=f"{PARTNER}/policyAgreements/{number}", request_id=str(uuid.uuid4()))
    if verb == "Accept":
        message.text_sha256 = claims.pop("digest", DIGEST)
    return getattr(stub(world), f"{verb}PolicyVersion")(message, metadata=world.metadata("adam", role, **claims))


async def agreements(world: World) -> dict[int, tuple[str, bool]]:
    message = pb.ListPolicyAgreementsRequest(parent=PARTNER)
    page = await stub(world).ListPolicyAgreements(message, metadata=world.metadata("rita", "ROLE_READER"))
    states = pb.PolicyAgreement.State
    return {
        a.policy_version.version: (states.Name(a.state).removeprefix("STATE_"), a.in_force)
        for a in page.policy_agreements
    }


async def notices(world: World, kind: str) -> list[str]:
    message = notifications_pb2.ListNoticesRequest(parent=PARTNER, kind=kind)
    notified: Any = NotificationServiceStub(world.channel("governance"))
    page = await notified.ListNotices(message, metadata=world.metadata("adam", "ROLE_ADMIN"))
    return [notice.resource for notice in page.notices]


@pytest.mark.policy("P17", "a version is published by another person than who proposed it, with time enough to answer")
@pytest.mark.policy("P16", "publishing the operator's policy takes two of its people")
@pytest.mark.policy("P18", "the data protection officer signs off a version of the policy, or it isn't published")
async def test_it_takes_two_to_publish(world: World) -> None:
    await appoint_officers(world)
    await appoint(world, "petra", "ROLE_DPO")
    first = await propose(world)
    assert (first.name, first.state) == ("policyVersions/1", pb.PolicyVersion.STATE_PROPOSED)
    assert await agreements(world) == {}, "nobody is asked about a proposal"
    assert await outcome(answer(world, "Accept", 1)) == "NOT_FOUND"
    assert await outcome(publish(world, first, subject="petra")) == "FOUR_EYES"
    assert await outcome(publish(world, first, subject="olga", role="ROLE_OPERATOR")) == "ROLE_REQUIRED"
    assert await outcome(publish(world, first, actor_type="service")) == "PERSON_REQUIRED"
    hasty = await propose(world, deadline=datetime.now(UTC) + timedelta(days=13))
    assert await outcome(publish(world, hasty)) == "DEADLINE_PASSED"
    published = await publish(world, first)
    assert (published.state, published.publisher) == (pb.PolicyVersion.STATE_PUBLISHED, "urn:dsr:operator#dora")
    assert await outcome(publish(world, first)) == "STATE_CONFLICT"
    page = await stub(world).ListPolicyVersions(pb.ListPolicyVersionsRequest(page_size=1), metadata=staff(world))
    assert [v.version for v in page.policy_versions] == [2]
    more = pb.ListPolicyVersionsRequest(page_token=page.next_page_token)
    page = await stub(world).ListPolicyVersions(more, metadata=staff(world))
    assert ([v.version for v in page.policy_versions], page.next_page_token) == ([1], "")


@pytest.mark.policy("P17", "partners are told of every version; processing follows the one accepted, silence is none")
@pytest.mark.policy("P18", "partners know the operator's data protection officer")
async def test_processing_follows_the_version_that_was_accepted(world: World) -> None:
    await appoint_officers(world)
    assert (await world.create("access")).policy_version == 0, "nothing was published"
    await publish(world, await propose(world))
    await eventually(lambda: told(world, 1))
    refused = await world.create("erasure")
    assert (refused.state, refused.refusal.rule) == (request_pb2.REQUEST_STATE_REFUSED, "POLICY_NOT_ACCEPTED")
    assert "dpo@agency.example" in refused.refusal.objection

    assert await outcome(answer(world, "Accept", 1, role="ROLE_REQUESTER")) == "ROLE_REQUIRED"
    assert await outcome(answer(world, "Accept", 1, actor_type="service")) == "PERSON_REQUIRED"
    assert await outcome(answer(world, "Accept", 1, digest="f" * 64)) == "FIELD_INVALID"
    accepted = await answer(world, "Accept", 1)
    assert (accepted.state, accepted.in_force) == (pb.PolicyAgreement.STATE_ACCEPTED, True)
    assert accepted.answerer == "urn:dsr:partner:acme#adam"
    assert accepted.policy_version.proposer == ""
    assert await outcome(answer(world, "Reject", 1)) == "STATE_CONFLICT"
    done = await world.until("access", (await world.create("access")).name)
    assert (done.state, done.policy_version) == (request_pb2.REQUEST_STATE_COMPLETED, 1)

    await publish(world, await propose(world))
    await eventually(lambda: told(world, 2))
    rejected = await answer(world, "Reject", 2)
    assert (rejected.state, rejected.in_force) == (pb.PolicyAgreement.STATE_REJECTED, False)
    assert (await world.create("access")).policy_version == 1, "a rejection leaves the one before in force"

    later = await propose(world, effective=datetime.now(UTC) + timedelta(days=60))
    await publish(world, later)
    await answer(world, "Accept", later.version)
    assert await agreements(world) == {1: ("ACCEPTED", True), 2: ("REJECTED", False), 3: ("ACCEPTED", False)}
    now = [datetime.now(UTC) + timedelta(days=90)]
    async with tools_at(world, now) as tools:
        await publish(world, await propose(world, deadline=datetime.now(UTC) + timedelta(days=20)))
        await eventually(lambda: told(world, 4))
        await follow(tools)
        await follow(tools)
    assert await agreements(world) == {
        1: ("ACCEPTED", True),
        2: ("REJECTED", False),
        3: ("ACCEPTED", False),
        4: ("UNANSWERED", False),
    }
    assert await notices(world, "policy.unanswered") == [f"{PARTNER}/policyAgreements/4"]
    assert (await answer(world, "Accept", 4)).in_force, "an acceptance that is said late is one"
    message = pb.GetOperatorRequest(parent=PARTNER)
    operator = await stub(world).GetOperator(message, metadata=world.metadata("rita", "ROLE_READER"))
    assert (operator.dpo_contact, operator.policy_version) == ("dpo@agency.example", 4)


async def told(world: World, number: int) -> bool:
    return f"{PARTNER}/policyAgreements/{number}" in await notices(world, "policy.published")
