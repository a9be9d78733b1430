"""A sandbox beside the world of tests: the partner as the operator makes it, its source in a host of its own."""

import dataclasses
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from dsr.connector.v1.connector_pb2_grpc import add_ConnectorServiceServicer_to_server
from dsr.v1 import correction_pb2, request_pb2, retention_pb2, sandbox_pb2
from dsr.v1 import governance_pb2 as pb
from dsr.v1.sandbox_pb2_grpc import SandboxServiceStub
from google.protobuf import json_format

from connectors.backend import Backend, SourceConfig
from connectors.config import GrantKeys
from connectors.host import SERVICE_NAME, ConnectorHost
from connectors.sandbox import open_backend
from deploy.local import sandbox
from dsrkit.auth import Authenticator, TrustStore
from dsrkit.grants import GrantVerifier
from dsrkit.issuer import TrustFile
from dsrkit.server import open_server
from tests.support.services import World, eventually, subject, timestamp


def backend(world: World, source: str = sandbox.SHOP) -> Backend:
    """The kind's own."""
    state = world.folder / "state" / source
    state.mkdir(parents=True, exist_ok=True)
    return open_backend(SourceConfig(source, "sandbox", {}, b"k" * 32, state))


@asynccontextmanager
async def serve(world: World, source: str, served: Backend, sandboxes: Sequence[str]) -> AsyncIterator[str]:
    """A connector host for one source; yields its address."""
    verifier = GrantVerifier(GrantKeys(world.folder / "grants.jwks"))
    host = ConnectorHost({source: served}, verifier, lambda: datetime.now(UTC), sandboxes=sandboxes)
    async with open_server(
        listen="127.0.0.1:0",
        registrations=[lambda server: add_ConnectorServiceServicer_to_server(host, server)],
        service_names=[SERVICE_NAME],
        authenticator=Authenticator(TrustStore(world.folder / "trust.json"), [source]),
    ) as running:
        yield f"127.0.0.1:{running.port}"
    await host.close()


def stub(world: World) -> Any:
    return SandboxServiceStub(world.channel("governance"))


async def create_partner(world: World, identifier: str = "acme-sandbox", **fields: Any) -> World:
    """The sandbox's world: the same services, called by the sandbox's people."""
    TrustFile(world.folder / "trust.json").add_partner(identifier, world.folder / f"{identifier}.json")
    partner = json_format.ParseDict({**sandbox.partner(), **fields}, pb.Partner())
    partner.name = f"partners/{identifier}"
    partner.contract_approvers[:] = [f"urn:dsr:partner:{identifier}#manager-2"]
    message = pb.CreatePartnerRequest(partner=partner, request_id=str(uuid.uuid4()))
    await world.governance.CreatePartner(message, metadata=world.operator())
    return dataclasses.replace(world, partner_id=identifier)


async def create_source(world: World, source: pb.DataSource) -> None:
    """In the name of the source's partner."""
    partner = source.name.split("/dataSources/")[0]
    message = pb.CreateDataSourceRequest(parent=partner, data_source=source, request_id=str(uuid.uuid4()))
    await world.governance.CreateDataSource(message, metadata=world.metadata("adam", "ROLE_ADMIN"))


async def connect(world: World, address: str) -> None:
    """Its source, and what its data are for."""
    partner = f"partners/{world.partner_id}"
    source = json_format.ParseDict(sandbox.data_source(address), pb.DataSource())
    data_map = sandbox.data_map()
    source.name = data_map.sources[0].source = f"{partner}/dataSources/shop"
    await create_source(world, source)
    message = pb.CreateDataMapRequest(parent=partner, data_map=data_map, request_id=str(uuid.uuid4()))
    await world.governance.CreateDataMap(message, metadata=world.metadata("adam", "ROLE_ADMIN"))


async def clock(world: World) -> sandbox_pb2.Sandbox:
    """What time it is there, and whether every service goes by it."""
    message = sandbox_pb2.GetSandboxRequest(parent=f"partners/{world.partner_id}")
    found: sandbox_pb2.Sandbox = await stub(world).GetSandbox(message, metadata=world.metadata("r", "ROLE_READER"))
    return found


async def advance(world: World, to: datetime, partner: str = sandbox.PARTNER) -> None:
    """Until every service has followed."""
    message = sandbox_pb2.AdvanceSandboxClockRequest(parent=partner, request_id=str(uuid.uuid4()))
    message.time.FromDatetime(to)
    told = await stub(world).AdvanceSandboxClock(message, metadata=world.metadata("adam", "ROLE_ADMIN"))
    assert abs(told.time.ToDatetime(UTC) - to) < timedelta(seconds=5)

    async def settled() -> bool:
        return (await clock(world)).settled

    await eventually(settled)


async def reset(world: World, partner: str = sandbox.PARTNER) -> sandbox_pb2.Sandbox:
    """Its data are as if the sandbox began now."""
    message = sandbox_pb2.ResetSandboxRequest(parent=partner, request_id=str(uuid.uuid4()))
    answer: sandbox_pb2.Sandbox = await stub(world).ResetSandbox(message, metadata=world.metadata("adam", "ROLE_ADMIN"))
    return answer


async def create_rule(world: World) -> Any:
    """Who hasn't logged in for six months is unused."""
    parent = f"partners/{world.partner_id}"
    wanted = retention_pb2.RetentionRule(
        source=f"{parent}/dataSources/shop", collection="customers", field="last_login_time", identity_type="email"
    )
    message = retention_pb2.CreateRetentionRuleRequest(
        parent=parent, retention_rule=wanted, request_id=str(uuid.uuid4())
    )
    return await world.retention.CreateRetentionRule(message, metadata=world.metadata("adam", "ROLE_ADMIN"))


async def sweep(world: World, rule: str) -> Any:
    """A sweep, counted."""
    parent, request_id = f"partners/{world.partner_id}", str(uuid.uuid4())
    wanted = retention_pb2.RetentionSweep(rule=rule)
    message = retention_pb2.CreateRetentionSweepRequest(parent=parent, retention_sweep=wanted, request_id=request_id)
    made = await world.retention.CreateRetentionSweep(message, metadata=world.metadata("adam", "ROLE_ADMIN"))
    return await until_swept(world, made.name, retention_pb2.RetentionSweep.STATE_COUNTED)


async def until_swept(world: World, name: str, state: int) -> Any:
    """The sweep, as soon as it is in this state."""
    found: list[Any] = []

    async def there() -> bool:
        message = retention_pb2.GetRetentionSweepRequest(name=name)
        found[:] = [await world.retention.GetRetentionSweep(message, metadata=world.metadata("adam", "ROLE_ADMIN"))]
        return bool(found[0].state == state)

    await eventually(there)
    return found[0]


async def rectify(world: World, email: str, value: str = "Right Name", field: str = "name") -> Any:
    """A correction of one field of a customer."""
    parent, kind = f"partners/{world.partner_id}", correction_pb2.CorrectionRequest
    change = kind.FieldChange(source=f"{parent}/dataSources/shop", collection="customers", field=field, value=value)
    wanted = kind(
        subject=subject([("email", email)]),
        clock=request_pb2.Clock(received_time=timestamp()),
        kind=kind.KIND_RECTIFICATION,
        changes=[change],
    )
    message = correction_pb2.CreateCorrectionRequestRequest(
        parent=parent, correction_request=wanted, request_id=str(uuid.uuid4())
    )
    return await world.corrections.CreateCorrectionRequest(message, metadata=world.metadata())


async def until_amended(world: World, name: str, *states: int) -> Any:
    """The amendment of a correction's one task, as soon as it is in one of these states."""
    found: list[Any] = []

    async def there() -> bool:
        message = correction_pb2.GetCorrectionRequestRequest(name=name)
        metadata = world.metadata("r", "ROLE_READER")
        found[:] = [(await world.corrections.GetCorrectionRequest(message, metadata=metadata)).tasks[0].amendment]
        return found[0].state in states

    await eventually(there)
    return found[0]


async def approve_amendment(world: World, name: str, shown: Any) -> None:
    """By a second person."""
    source = f"partners/{world.partner_id}/dataSources/shop"
    message = correction_pb2.ApproveCorrectionTaskRequest(
        name=name, source=source, plan_digest=shown.plan_digest, request_id=str(uuid.uuid4())
    )
    await world.corrections.ApproveCorrectionTask(message, metadata=world.metadata("manager-2", "ROLE_APPROVER"))
