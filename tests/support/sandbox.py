"""A sandbox beside the world of tests: the partner as the operator makes it, its source in a host of its own."""

import dataclasses
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from dsr.connector.v1.connector_pb2_grpc import add_ConnectorServiceServicer_to_server
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
from tests.support.services import World


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
