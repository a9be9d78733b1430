"""Versions of the operator's policy, as its people make them."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from dsr.credentials import Credential
from dsr.v1 import governance_pb2, options_pb2, staff_pb2
from dsr.v1 import policy_pb2 as pb
from dsr.v1.policy_pb2_grpc import PolicyServiceStub
from dsr.v1.staff_pb2_grpc import StaffServiceStub

from tests.support.services import World

DIGEST = "0123456789abcdef" * 4


def staff(world: World, subject: str = "olga", role: str = "ROLE_OPERATOR", **claims: Any) -> Any:
    claims = {"actor_type": "person", **claims}
    token = Credential.load(world.folder / "operator.json").token("dsr", subject=subject, roles=[role], **claims)
    return (("authorization", f"Bearer {token}"),)


def stub(world: World) -> Any:
    return PolicyServiceStub(world.channel("governance"))


async def appoint(world: World, subject: str, role: str) -> str:
    """Grants a staff role, by two others; returns the grant's name."""
    roles: Any = StaffServiceStub(world.channel("governance"))
    wanted = governance_pb2.RoleGrant(grantee=f"urn:dsr:operator#{subject}", role=options_pb2.Role.Value(role))
    message = staff_pb2.GrantStaffRoleRequest(role_grant=wanted, request_id=str(uuid.uuid4()))
    proposed = await roles.GrantStaffRole(message, metadata=staff(world, "olga"))
    second = staff_pb2.ConfirmStaffRoleRequest(name=proposed.name, request_id=str(uuid.uuid4()))
    confirmed = await roles.ConfirmStaffRole(second, metadata=staff(world, "oskar"))
    return str(confirmed.name)


async def appoint_officers(world: World) -> None:
    """Petra is the privacy officer, Dora the data protection officer."""
    await appoint(world, "petra", "ROLE_PRIVACY_OFFICER")
    await appoint(world, "dora", "ROLE_DPO")


async def propose(world: World, **changed: Any) -> pb.PolicyVersion:
    version = pb.PolicyVersion(text_url="https://agency.example/policy", text_sha256=DIGEST, changes="Everything.")
    now = datetime.now(UTC)
    version.effective_time.FromDatetime(changed.get("effective", now - timedelta(hours=1)))
    version.answer_deadline.FromDatetime(changed.get("deadline", now + timedelta(days=30)))
    message = pb.ProposePolicyVersionRequest(policy_version=version, request_id=str(uuid.uuid4()))
    made: pb.PolicyVersion = await stub(world).ProposePolicyVersion(message, metadata=_petra(world))
    assert made == await stub(world).ProposePolicyVersion(message, metadata=_petra(world)), "the same once more"
    return made


def publish(world: World, version: pb.PolicyVersion, **who: Any) -> Any:
    message = pb.PublishPolicyVersionRequest(name=version.name, request_id=str(uuid.uuid4()))
    who = {"subject": "dora", "role": "ROLE_DPO", **who}
    return stub(world).PublishPolicyVersion(message, metadata=staff(world, **who))


def _petra(world: World) -> Any:
    return staff(world, "petra", "ROLE_PRIVACY_OFFICER")
