"""What requests owe to recipients, and objections to sub-processors (policy P15), asked of the running services."""

import uuid
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import grpc
import pytest
from dsr.v1 import correction_pb2, governance_pb2, request_pb2
from dsr.v1 import recipient_pb2 as pb

from dsrkit.errors import from_rpc_error
from services.governance.recipients.chores import announce
from services.governance.recipients.domain import REGISTER
from tests.integration.rights.test_rights_notifications import notices, tools_at
from tests.support.services import CRM, PARTNER, SHOP, World, data_map, reason_of, state, subject, timestamp


async def map_recipients(world: World, people: str = "Mailchimp, for newsletters") -> None:
    """People go to a newsletter and to a printer, orders to a carrier, invoices to the tax office."""
    told = data_map()
    names = {"people": [people, "Print Co"], "orders": ["DHL"], "invoices": ["Revenue"]}
    for source in told.sources:
        for collection in source.collections:
            collection.recipients.extend(names[collection.collection])
    message = governance_pb2.CreateDataMapRequest(parent=PARTNER, data_map=told, request_id=str(uuid.uuid4()))
    await world.governance.CreateDataMap(message, metadata=world.metadata("adam", "ROLE_ADMIN"))


async def listed(world: World, **filters: Any) -> list[Any]:
    message = pb.ListRecipientTasksRequest(parent=PARTNER, **filters)
    metadata = world.metadata("rita", "ROLE_READER")
    return list((await world.recipients.ListRecipientTasks(message, metadata=metadata)).recipient_tasks)


async def complete(world: World, task: Any, evidence: str = "ticket-1") -> Any:
    message = pb.CompleteRecipientTaskRequest(name=task.name, evidence=evidence, request_id=str(uuid.uuid4()))
    return await world.recipients.CompleteRecipientTask(message, metadata=world.metadata())


@pytest.mark.long
@pytest.mark.policy("P15", "an erasure ends with a task for each recipient of the data, and its report says which")
async def test_an_erasure_owes_its_recipients_a_word(world: World) -> None:
    await map_recipients(world)
    planned = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
    assert await listed(world) == [], "nothing is owed before anything was done"
    foreseen = {task.recipient: task for task in planned.plan.recipient_tasks}
    await world.approve(planned)
    done = await world.until("erasure", planned.name)
    assert state(done) == "COMPLETED"
    owed = {task.recipient: task for task in done.report.recipient_tasks}
    assert set(owed) == {"Mailchimp", "Print Co", "DHL"}, "invoices were kept: the tax office has nothing to forget"
    assert {t.recipient: (t.mode, t.how, list(t.collections)) for t in foreseen.values()} == {
        t.recipient: (t.mode, t.how, list(t.collections)) for t in owed.values()
    }, "the plan has said so"
    mailchimp = owed["Mailchimp"]
    assert (mailchimp.mode, mailchimp.done, mailchimp.kind) == (
        pb.RecipientTask.MODE_MANUAL,
        False,
        pb.RecipientTask.KIND_ERASURE,
    )
    assert list(mailchimp.collections) == ["crm/people"]
    assert "permanently" in mailchimp.how
    assert mailchimp.sub_processor == f"{PARTNER}/subProcessors/mailchimp"
    assert (mailchimp.owner, mailchimp.due_time) == (done.creator, done.clock.due_time)

    assert [t.name for t in await listed(world, request=done.name)] == [t.name for t in await listed(world)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await complete(world, mailchimp, evidence=" ")
    assert reason_of(caught.value) == "FIELD_INVALID"
    completed = await complete(world, mailchimp)
    assert (completed.done, completed.evidence, completed.completer) == (True, "ticket-1", done.creator)
    assert (await complete(world, mailchimp, "ticket-2")).evidence == "ticket-1"
    left = await listed(world, filter=pb.ListRecipientTasksRequest.FILTER_OPEN)
    assert {task.recipient for task in left} == {"Print Co", "DHL"}


@pytest.mark.policy(
    "P15", "a plan says before approval who will hear of it, and which connectors the request leaves out"
)
async def test_a_plan_foresees_whom_it_will_concern(world: World) -> None:
    assert await register(world) == ""
    await map_recipients(world, people="Slack")
    created = await world.create("erasure", data_sources=[CRM, SHOP])
    planned = await world.until("erasure", created.name, "PLANNED")
    foreseen = {task.recipient: task for task in planned.plan.recipient_tasks}
    assert set(foreseen) == {"Slack", "Print Co", "DHL"}
    slack = foreseen["Slack"]
    assert (slack.name, slack.mode, slack.request) == ("", pb.RecipientTask.MODE_MANUAL, created.name)
    assert slack.how == f"It has a connector: make a request that includes {PARTNER}/dataSources/slack."
    assert not planned.plan.findings, "the controller decides: it is said, and stops nothing"
    assert await listed(world) == []


@pytest.mark.policy("P15", "a rectification and a restriction owe recipients a word, too; an objection doesn't")
async def test_corrections_owe_their_recipients_a_word(world: World) -> None:
    await map_recipients(world)
    kinds = correction_pb2.CorrectionRequest
    change = kinds.FieldChange(source=SHOP, collection="orders", field="item", value="coffee")
    restriction = kinds.Restriction(ground=kinds.Restriction.GROUND_ACCURACY_CONTESTED)
    for fields, recipients in (
        ({"kind": kinds.KIND_RECTIFICATION, "changes": [change]}, {"DHL"}),
        (
            {"kind": kinds.KIND_RESTRICTION, "restriction": restriction, "data_sources": [CRM]},
            {"Mailchimp", "Print Co"},
        ),
        ({"kind": kinds.KIND_OBJECTION, "purposes": ["fulfilling orders"], "direct_marketing": True}, set()),
    ):
        wanted = kinds(
            subject=subject([("email", "ann@example.com")]),
            clock=request_pb2.Clock(received_time=timestamp()),
            **fields,  # type: ignore[arg-type]
        )
        made = await world.corrections.CreateCorrectionRequest(
            correction_pb2.CreateCorrectionRequestRequest(
                parent=PARTNER, correction_request=wanted, request_id=str(uuid.uuid4())
            ),
            metadata=world.metadata(),
        )
        assert await listed(world, request=made.name) == []
        for task in made.tasks:
            message = correction_pb2.CompleteCorrectionTaskRequest(
                name=made.name, source=task.source, evidence="e", request_id=str(uuid.uuid4())
            )
            made = await world.corrections.CompleteCorrectionTask(message, metadata=world.metadata())
        assert made.state == kinds.STATE_COMPLETED
        assert {task.recipient for task in await listed(world, request=made.name)} == recipients


@pytest.mark.policy("P15", "a partner objects to a sub-processor: nothing is handed to it from then on")
async def test_a_partner_objects_to_a_sub_processor(world: World) -> None:
    admin = world.metadata("adam", "ROLE_ADMIN")
    page = await world.recipients.ListSubProcessors(pb.ListSubProcessorsRequest(parent=PARTNER), metadata=admin)
    assert len(page.sub_processors) == 12
    slack = next(entry for entry in page.sub_processors if entry.display_name == "Slack")
    assert (slack.country, slack.state) == ("IE", pb.SubProcessor.STATE_IN_USE)
    message = pb.ObjectToSubProcessorRequest(name=slack.name, reference="letter-1", request_id=str(uuid.uuid4()))
    objected = await world.recipients.ObjectToSubProcessor(message, metadata=admin)
    assert (objected.state, objected.objection_reference) == (pb.SubProcessor.STATE_OBJECTED, "letter-1")
    assert await register(world) == "SUB_PROCESSOR_OBJECTED"
    withdraw = pb.WithdrawSubProcessorObjectionRequest(name=slack.name, request_id=str(uuid.uuid4()))
    taken_back = await world.recipients.WithdrawSubProcessorObjection(withdraw, metadata=admin)
    assert taken_back.state == pb.SubProcessor.STATE_IN_USE
    assert await register(world) == ""


@pytest.mark.policy("P15", "a new sub-processor is announced to every partner, once, before it takes effect")
async def test_a_new_sub_processor_is_announced_once(world: World) -> None:
    coming = replace(REGISTER[0], id="new", name="New One", announced=date(2027, 1, 1), effective=date(2027, 2, 1))
    now = [datetime(2026, 12, 31, 23, tzinfo=UTC)]
    async with tools_at(world, now) as tools:
        await announce(tools, [coming])
        assert await notices(world, "sub_processor.announced") == []
        for later in (datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 1, 9, tzinfo=UTC)):
            now[0] = later
            await announce(tools, [*REGISTER, coming])
    (told,) = await notices(world, "sub_processor.announced")
    assert told.resource == f"{PARTNER}/subProcessors/new"


async def register(world: World) -> str:
    source = governance_pb2.DataSource(
        name=f"{PARTNER}/dataSources/slack",
        display_name="Slack",
        connector_address="127.0.0.1:9",
        custody=governance_pb2.DataSource.CUSTODY_SUB_PROCESSOR,
        location=governance_pb2.Location(provider="Slack", site="Dublin", country="IE"),
    )
    message = governance_pb2.CreateDataSourceRequest(parent=PARTNER, data_source=source, request_id=str(uuid.uuid4()))
    try:
        await world.governance.CreateDataSource(message, metadata=world.metadata("adam", "ROLE_ADMIN"))
    except grpc.aio.AioRpcError as error:
        info = from_rpc_error(error)
        assert info is not None
        return str(info.metadata["rule"])
    return ""
