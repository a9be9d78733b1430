"""A sandbox and what is live never meet, whichever wall somebody stands before; what it hands out says what it is."""

import io
import json
import uuid
import zipfile
from typing import Any

import grpc
import pytest
from dsr.v1 import breach_pb2, erasure_pb2, records_pb2, sandbox_pb2, termination_pb2
from dsr.v1 import governance_pb2 as pb
from dsr.v1.records_pb2_grpc import RecordServiceStub
from google.protobuf import json_format

from deploy.local import sandbox
from dsrkit.errors import from_rpc_error
from dsrkit.watermark import WATERMARK
from services.governance.notifications.words import letter
from tests.integration.rights.test_rights_governance import receiver
from tests.integration.sandbox.conftest import Setting
from tests.support.memory import MemoryBackend
from tests.support.sandbox import backend, connect, create_partner, create_source, reset, serve, stub
from tests.support.services import CRM, DUBLIN, PARTNER, World, eventually, reason_of


@pytest.mark.policy("P1", "a sandbox gets sandboxes as data sources only, and nobody else gets one")
async def test_a_source_of_the_other_sort_is_not_registered(setting: Setting) -> None:
    source = json_format.ParseDict(sandbox.data_source(setting.address), pb.DataSource())
    source.name += "-2"
    source.sandbox = False
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await create_source(setting.world, source)
    assert reason_of(refused.value) == "SANDBOX_MISMATCH"
    info = from_rpc_error(refused.value)
    assert info is not None
    assert dict(info.metadata) == {"expected": "sandbox", "field": "data_source.sandbox"}
    live = pb.DataSource(
        name=f"{PARTNER}/dataSources/toys",
        display_name="x",
        custody=pb.DataSource.CUSTODY_OPERATOR,
        location=DUBLIN,
        sandbox=True,
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await create_source(setting.live, live)
    assert reason_of(refused.value) == "SANDBOX_MISMATCH"
    listed = await setting.world.governance.ListDataSources(
        pb.ListDataSourcesRequest(parent=sandbox.PARTNER), metadata=setting.world.metadata("adam", "ROLE_ADMIN")
    )
    assert [s.name for s in listed.data_sources] == [sandbox.SHOP]


@pytest.mark.policy("P1", "a live connector at a sandbox's address is asked for nobody")
async def test_nobody_is_looked_for_at_a_live_connector(setting: Setting) -> None:
    """Somebody configured a live backend under the sandbox's name; an ignorant connector says no more than it."""
    made = await create_partner(setting.live, "acme-mixed")
    source = "partners/acme-mixed/dataSources/shop"
    live = MemoryBackend(source, {})
    async with serve(made, source, live, []) as address:
        await connect(made, address)
        request = await made.create("access", identities=[("email", "ann@sandbox.example")])
        await made.until_waiting("access", request.name, "SANDBOX_MISMATCH")
        assert live.calls == []


async def test_a_sandbox_serves_a_request_and_begins_anew_when_it_is_reset(setting: Setting) -> None:
    made = setting.world
    request = await made.create("erasure", identities=[("email", "ann@sandbox.example")], validate_only=False)
    planned = await made.until("erasure", request.name, "PLANNED")
    counts = {c.collection: c.records for c in planned.plan.collections if c.records}
    assert counts == {"customers": 1, "orders": 3, "invoices": 1, "tickets": 2, "reviews": 1, "logs": 12}
    before = await stub(made).GetSandbox(
        sandbox_pb2.GetSandboxRequest(parent=sandbox.PARTNER), metadata=made.metadata("r", "ROLE_READER")
    )
    assert (before.resets, before.HasField("reset_time")) == (0, False)
    store = backend(made)._store  # type: ignore[attr-defined]  # the test looks at the file past the connector
    with store.transaction() as database:
        database.execute("DELETE FROM record")
    gone = await made.create("access", identities=[("email", "ann@sandbox.example")])
    assert not any(s.records for s in (await made.until("access", gone.name)).sources)
    after = await reset(made)
    assert after.resets == 1
    assert after.HasField("reset_time")
    again = await made.create("access", identities=[("email", "ann@sandbox.example")])
    done = await made.until("access", again.name)
    assert sum(c.records for c in done.bundle.collections) == 20


async def test_a_live_partner_has_no_sandbox(setting: Setting) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await reset(setting.live, PARTNER)
    assert reason_of(refused.value) == "SANDBOX_MISMATCH"
    source = await setting.live.governance.GetDataSource(
        pb.GetDataSourceRequest(name=CRM), metadata=setting.live.metadata("adam", "ROLE_ADMIN")
    )
    assert not source.sandbox


async def files(world: World, right: str, identity: tuple[str, str]) -> tuple[Any, dict[str, str]]:
    """The request, and the documents in its bundle."""
    made = await world.create(right, identities=[identity])
    done = await world.until(right, made.name)
    archive = zipfile.ZipFile(io.BytesIO(await world.download(right, made.name)))
    wanted = ("bag-info.txt", "index.html", "README.txt", "data/processing.json", "data/scope.json")
    found = {n.split("/", 1)[1]: archive.read(n).decode() for n in archive.namelist()}
    return done, {name: text for name, text in found.items() if name in wanted}


@pytest.mark.policy("P1", "what a sandbox hands out says that it proves nothing")
@pytest.mark.parametrize("right", ["access", "portability"])
async def test_bundles(setting: Setting, right: str) -> None:
    done, documents = await files(setting.world, right, ("email", "bea@sandbox.example"))
    assert len(documents) == 3
    assert all(WATERMARK in text for text in documents.values()), documents.keys()
    assert done.bundle.sandbox == WATERMARK
    done, documents = await files(setting.live, right, ("email", "ann@example.com"))
    assert len(documents) == 3
    assert not any("sandbox" in text.lower() for text in documents.values())
    assert done.bundle.sandbox == ""


async def test_an_erasure_report(setting: Setting) -> None:
    world = setting.world
    made = await world.create("erasure", identities=[("email", "notfound@sandbox.example")])
    await world.until("erasure", made.name)
    message = erasure_pb2.DownloadErasureReportRequest(name=made.name)
    document = b""
    async for part in world.stub("erasure").DownloadErasureReport(message, metadata=world.metadata()):
        document += part.data
    assert json.loads(document)["report"]["sandbox"] == WATERMARK


async def test_the_register_of_processing(setting: Setting) -> None:
    for world, marked in ((setting.world, True), (setting.live, False)):
        kind = records_pb2.DownloadProcessingRegisterRequest
        message = kind(parent=f"partners/{world.partner_id}", format=kind.FORMAT_HTML)
        page = b""
        stub = RecordServiceStub(world.channel("governance"))
        call: Any = stub.DownloadProcessingRegister(message, metadata=world.metadata("adam", "ROLE_ADMIN"))
        async for part in call:
            page += part.data
        assert (WATERMARK.encode() in page) is marked


@pytest.mark.parametrize("who", ["sandbox", "live"])
async def test_a_breach_and_what_is_told_of_it(setting: Setting, who: str) -> None:
    world, mark = (setting.world, WATERMARK) if who == "sandbox" else (setting.live, "")
    partner, admin = f"partners/{world.partner_id}", world.metadata("adam", "ROLE_ADMIN")
    async with receiver([]) as (url, got):
        hook = pb.CreateWebhookRequest(parent=partner, webhook=pb.Webhook(url=url), request_id=str(uuid.uuid4()))
        hooked = await world.governance.CreateWebhook(hook, metadata=admin)
        breach = breach_pb2.Breach(natures=[breach_pb2.Breach.NATURE_AVAILABILITY], description="lost")
        report = breach_pb2.ReportBreachRequest(parent=partner, breach=breach, request_id=str(uuid.uuid4()))
        made = await world.breaches.ReportBreach(report, metadata=admin)

        def told() -> bool:
            return any(json.loads(body)["data"]["resource"] == made.name for _, body in got)

        await eventually(told)
        await world.governance.DeleteWebhook(pb.DeleteWebhookRequest(name=hooked.name), metadata=admin)
        # Messages on their way arrive before the receiver goes.
        await eventually(lambda: not world.servers["governance"].in_hand)
    assert {json.loads(body)["data"].get("sandbox", "") for _, body in got} == {mark}
    listed = await world.breaches.ListBreaches(breach_pb2.ListBreachesRequest(parent=partner), metadata=admin)
    assert (made.sandbox, [one.sandbox for one in listed.breaches]) == (mark, [mark])
    for as_json in (True, False):
        call: Any = world.breaches.DownloadBreachReport(
            breach_pb2.DownloadBreachReportRequest(name=made.name, json=as_json), metadata=admin
        )
        document = b"".join([part.data async for part in call]).decode()
        assert (WATERMARK in document) is bool(mark)


async def test_a_termination_even_without_a_source(setting: Setting) -> None:
    empty = await create_partner(setting.live, "acme-empty")
    for world, mark in ((empty, WATERMARK), (setting.live, "")):
        admin = world.metadata("adam", "ROLE_ADMIN")
        message = termination_pb2.CreateTerminationRequest(
            parent=f"partners/{world.partner_id}", return_only=True, request_id=str(uuid.uuid4())
        )
        assert (await world.terminations.CreateTermination(message, metadata=admin)).sandbox == mark


def test_letters() -> None:
    told = ("request.state_changed", "partners/x/accessRequests/1", {"state": "COMPLETED"}, "Agency", "dpo@x")
    subject, text = letter(*told, WATERMARK)
    assert subject.startswith("[Sandbox] ")
    assert text.startswith(WATERMARK)
    assert WATERMARK not in "".join(letter(*told))
