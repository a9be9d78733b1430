"""Both refusals as resources (policy P13), asked of the running services."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import grpc
import pytest
from dsr.v1 import governance_pb2, subject_pb2
from dsr.v1 import refusal_pb2 as pb
from dsr.v1.request_pb2 import Refusal

from dsrkit.errors import from_rpc_error
from tests.support.services import PARTNER, World, eventually, reason_of, state, timestamp

BOTH = [pb.SubjectRefusal.REMEDY_COMPLAINT, pb.SubjectRefusal.REMEDY_JUDICIAL]


async def listed(world: World, **filters: Any) -> list[Any]:
    message = pb.ListRefusalsRequest(parent=PARTNER, **filters)
    return list((await world.refusals.ListRefusals(message, metadata=world.metadata("rita", "ROLE_READER"))).refusals)


async def suspend(world: World, standing: Any) -> None:
    message = governance_pb2.SetPartnerStandingRequest(name=PARTNER, standing=standing)
    await world.governance.SetPartnerStanding(message, metadata=world.operator())


def act(verb: str, name: str, **fields: Any) -> Any:
    return getattr(pb, f"{verb}Request")(name=name, request_id=str(uuid.uuid4()), **fields)


async def reason(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


@pytest.mark.policy("P13", "an operator's refusal is a resource for the controller, who may object and is answered")
async def test_an_operators_refusal_is_kept_objected_to_and_answered(world: World) -> None:
    weak = world.create_message("access")
    weak.access_request.subject.verification.method = subject_pb2.IdentityVerification.METHOD_CONTACT_CONFIRMED
    refused = await world.stub("access").CreateAccessRequest(weak, metadata=world.metadata())
    assert state(refused) == "REFUSED"
    (record,) = await listed(world, kind=Refusal.KIND_INSTRUCTION)
    assert refused.refusal.name == record.name
    assert record.refusal == refused.refusal
    assert (record.request, record.operation, record.times) == (refused.name, "Authorize", 1)
    assert record.addressee == pb.RefusalRecord.ADDRESSEE_CONTROLLER
    assert (record.contact, record.state) == ("dpo@agency.example", pb.RefusalRecord.STATE_STANDING)
    assert [r.name for r in await listed(world, request=refused.name)] == [record.name]
    assert await listed(world, request=f"{PARTNER}/accessRequests/{uuid.uuid4()}") == []

    object_to = act("ObjectToRefusal", record.name, reference="letter-7")
    robot = world.metadata("robot", "ROLE_ADMIN", actor_type="service")
    assert await reason(world.refusals.ObjectToRefusal(object_to, metadata=robot)) == "PERSON_REQUIRED"
    objected = await world.refusals.ObjectToRefusal(object_to, metadata=world.metadata("adam", "ROLE_ADMIN"))
    assert (objected.state, objected.objection.reference) == (pb.RefusalRecord.STATE_OBJECTED, "letter-7")
    waiting = await world.refusals.ListOpenObjections(pb.ListOpenObjectionsRequest(), metadata=world.operator())
    assert list(waiting.refusals) == [record.name]
    upheld = pb.AnswerObjectionRequest.ANSWER_UPHELD
    answer = act("AnswerObjection", record.name, answer=upheld, reference="file-3")
    assert await reason(world.refusals.AnswerObjection(answer, metadata=world.metadata())) == "ROLE_REQUIRED"
    answered = await world.refusals.AnswerObjection(answer, metadata=world.operator())
    assert (answered.state, answered.objection.answerer) == (pb.RefusalRecord.STATE_UPHELD, "urn:dsr:operator#olga")
    waiting = await world.refusals.ListOpenObjections(pb.ListOpenObjectionsRequest(), metadata=world.operator())
    assert not waiting.refusals
    again = act("ObjectToRefusal", record.name, reference="letter-8")
    admin = world.metadata("adam", "ROLE_ADMIN")
    assert await reason(world.refusals.ObjectToRefusal(again, metadata=admin)) == "STATE_CONFLICT"


@pytest.mark.policy("P13", "work that is refused again and again is one refusal, counted; the error names it")
async def test_wherever_the_gate_refuses_there_is_a_resource(world: World) -> None:
    world.crm.gate = asyncio.Event()
    running = await world.create("access")
    await suspend(world, governance_pb2.Partner.STANDING_SUSPENDED)
    world.crm.gate.set()
    await world.until_waiting("access", running.name, "INSTRUCTION_REFUSED")

    async def repeated() -> bool:
        found = await listed(world, request=running.name)
        return len(found) == 1 and found[0].times >= 3  # both sources at once, and one of them again

    await eventually(repeated)
    (record,) = await listed(world, request=running.name)
    assert record.refusal.rule == "PARTNER_SUSPENDED"
    assert record.operation in ("GetInstructions", "IssueGrant")
    assert record.last_time.ToDatetime() > record.create_time.ToDatetime()
    await suspend(world, governance_pb2.Partner.STANDING_GOOD)
    assert state(await world.until("access", running.name)) == "COMPLETED"

    source = governance_pb2.DataSource(
        name=f"{PARTNER}/dataSources/paris",
        display_name="Paris",
        connector_address="127.0.0.1:9",
        custody=governance_pb2.DataSource.CUSTODY_OPERATOR,
        location=governance_pb2.Location(provider="Amazon Web Services", site="Paris", country="FR"),
    )
    message = governance_pb2.CreateDataSourceRequest(parent=PARTNER, data_source=source, request_id=str(uuid.uuid4()))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.governance.CreateDataSource(message, metadata=world.metadata("adam", "ROLE_ADMIN"))
    info = from_rpc_error(caught.value)
    assert info is not None
    get = pb.GetRefusalRequest(name=info.metadata["refusal"])
    kept = await world.refusals.GetRefusal(get, metadata=world.metadata())
    assert (kept.refusal.rule, kept.operation) == ("LOCATION_NOT_NAMED", "CreateDataSource")
    assert kept.creator == "urn:dsr:partner:acme#adam"


@pytest.mark.policy("P13", "the controller's refusal of a person is recorded with its reason and remedies")
async def test_the_controllers_refusal_of_a_person(world: World) -> None:
    received = timestamp()
    received.FromDatetime(received.ToDatetime() - timedelta(days=40))
    given = pb.SubjectRefusal(
        right="A17",
        reason="eu-gdpr:JustificationA17LegalClaims",
        received_time=received,
        subject_told_time=timestamp(),
        remedies=BOTH,
        reference="letter-9",
    )
    message = pb.CreateSubjectRefusalRequest(parent=PARTNER, subject_refusal=given, request_id=str(uuid.uuid4()))
    made = await world.refusals.CreateSubjectRefusal(message, metadata=world.metadata())
    assert made == await world.refusals.CreateSubjectRefusal(message, metadata=world.metadata())
    assert made.addressee == pb.RefusalRecord.ADDRESSEE_SUBJECT
    assert (made.refusal.rule, made.refusal.article) == (given.reason, "GDPR Art. 17(3)(e)")
    assert made.told_late, "forty days are more than a month"
    assert made.subject_refusal == given
    assert not made.refusal.objection
    object_to = act("ObjectToRefusal", made.name, reference="x")
    admin = world.metadata("adam", "ROLE_ADMIN")
    assert await reason(world.refusals.ObjectToRefusal(object_to, metadata=admin)) == "STATE_CONFLICT"
    given.ClearField("remedies")
    given.remedies.append(pb.SubjectRefusal.REMEDY_COMPLAINT)
    message = pb.CreateSubjectRefusalRequest(parent=PARTNER, subject_refusal=given, request_id=str(uuid.uuid4()))
    assert await reason(world.refusals.CreateSubjectRefusal(message, metadata=world.metadata())) == "FIELD_INVALID"
