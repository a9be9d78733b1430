"""Runs a real connector host in this process: real server, real interceptors, real tokens, real grants."""

import base64
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.connector_pb2_grpc import ConnectorServiceStub
from dsr.connector.v1.connector_pb2_grpc import add_ConnectorServiceServicer_to_server as add_servicer
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant, SignedGrant
from dsr.credentials import Credential
from dsr.v1.subject_pb2 import Identity

from connectors import config as host_config
from connectors.backend import Backend
from connectors.host import SERVICE_NAME, ConnectorHost
from dsrkit.auth import Authenticator, TrustStore
from dsrkit.errors import from_rpc_error
from dsrkit.grants import GrantSigner, GrantVerifier
from dsrkit.issuer import TrustFile
from dsrkit.server import open_server

if TYPE_CHECKING:
    from dsr.connector.v1.connector_pb2_grpc import ConnectorServiceAsyncStub

PARTNER = "partners/acme"


@dataclass(frozen=True)
class Keys:
    """Trust file, a service's credential, governance's signing key: as an installation has them, in one folder."""

    folder: Path
    signing_key: Ed25519PrivateKey

    @classmethod
    def make(cls, folder: Path) -> "Keys":
        TrustFile(folder / "trust.json").add_service("erasure", folder / "erasure.json")
        key = Ed25519PrivateKey.generate()
        jwk = {"kty": "OKP", "crv": "Ed25519", "kid": "test", "x": _b64(key.public_key().public_bytes_raw())}
        (folder / "grants.json").write_text(json.dumps({"keys": [jwk]}))
        (folder / "grant-key.json").write_text(
            json.dumps({"key_id": "test", "private_key": _b64(key.private_bytes_raw())})
        )
        return cls(folder, key)

    @property
    def credential(self) -> Credential:
        return Credential.load(self.folder / "erasure.json")

    def write_config(self, sources: Mapping[str, Mapping[str, Any]]) -> Path:
        path = self.folder / "sources.yaml"
        path.write_text(yaml.safe_dump({"grant_keys": "grants.json", "sources": dict(sources)}))
        return path

    def sign(self, grant: Grant) -> SignedGrant:
        return GrantSigner("test", self.signing_key).sign(grant, datetime.now(UTC))


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@asynccontextmanager
async def serve(
    keys: Keys,
    backends: Mapping[str, Backend],
    sandboxes: Collection[str] = (),
    tls: grpc.ServerCredentials | None = None,
) -> AsyncIterator[str]:
    """Serves backends; yields `host:port`."""
    host = ConnectorHost(
        backends,
        GrantVerifier(host_config.GrantKeys(keys.folder / "grants.json")),
        lambda: datetime.now(UTC),
        sandboxes=sandboxes,
    )
    async with open_server(
        listen="127.0.0.1:0",
        registrations=[lambda server: add_servicer(host, server)],
        service_names=[SERVICE_NAME],
        authenticator=Authenticator(TrustStore(keys.folder / "trust.json"), audiences=frozenset(backends)),
        tls=tls,
    ) as running:
        yield f"127.0.0.1:{running.port}"
    await host.close()


def open_backends(keys: Keys, sources: Mapping[str, Mapping[str, Any]]) -> dict[str, Backend]:
    """Backends through the configuration file, as the process opens them."""
    path = keys.write_config(sources)
    return host_config.open_backends(path, host_config.load(path), keys.folder / "state")


@dataclass
class Client:
    """Calls one source, with everything right unless told otherwise."""

    channel: grpc.aio.Channel
    keys: Keys
    source: str
    audience: str = ""
    timeout: float = 20
    stub: "ConnectorServiceAsyncStub" = field(init=False)

    def __post_init__(self) -> None:
        self.stub = ConnectorServiceStub(self.channel)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.keys.credential.token(self.audience or self.source)}"),)

    async def describe(self) -> pb.DescribeResponse:
        return await self.stub.Describe(
            pb.DescribeRequest(source=self.source), metadata=self.metadata, timeout=self.timeout
        )

    async def probe(self) -> pb.ProbeResponse:
        return await self.stub.Probe(pb.ProbeRequest(source=self.source), metadata=self.metadata, timeout=self.timeout)

    async def locate(self, *subjects: pb.Subject, with_anchors: bool = False) -> list[pb.LocateResponse]:
        request = pb.LocateRequest(source=self.source, subjects=subjects, with_anchors=with_anchors)
        return [m async for m in self.stub.Locate(request, metadata=self.metadata, timeout=self.timeout)]

    async def located(self, *subjects: pb.Subject) -> list[pb.Located]:
        return [m.located for m in await self.locate(*subjects) if m.HasField("located")]

    async def export(self, subject: pb.Subject, grant: Grant) -> list[pb.ExportResponse]:
        request = pb.ExportRequest(grant=self.keys.sign(grant), subject=subject)
        return [m async for m in self.stub.Export(request, metadata=self.metadata, timeout=self.timeout)]

    async def erase(self, grant: Grant, *subjects: pb.EraseSubject) -> list[pb.Erased]:
        request = pb.EraseRequest(grant=self.keys.sign(grant), subjects=subjects)
        stream = self.stub.Erase(request, metadata=self.metadata, timeout=self.timeout)
        return [m.erased async for m in stream if m.HasField("erased")]

    async def verify(
        self, instructions: Sequence[CollectionInstruction], *subjects: pb.VerifySubject
    ) -> list[pb.Verified]:
        request = pb.VerifyRequest(source=self.source, subjects=subjects, instructions=instructions)
        stream = self.stub.Verify(request, metadata=self.metadata, timeout=self.timeout)
        return [m.verified async for m in stream if m.HasField("verified")]

    def grant(
        self,
        operation: "Grant.Operation.ValueType",
        *instructions: CollectionInstruction,
        task: str = "task-1",
        attempt: int = 1,
    ) -> Grant:
        return Grant(source=self.source, operation=operation, task=task, attempt=attempt, instructions=instructions)


@asynccontextmanager
async def connect(keys: Keys, target: str, source: str) -> AsyncIterator[Client]:
    async with grpc.aio.insecure_channel(target) as channel:
        yield Client(channel, keys, source)


def person(reference: str, **identities: str) -> pb.Subject:
    return pb.Subject(
        subject_ref=reference, identities=[Identity(type=kind, value=value) for kind, value in identities.items()]
    )


def delete(collection: str, cap: int = 1_000) -> CollectionInstruction:
    return CollectionInstruction(collection=collection, action=CollectionInstruction.ACTION_DELETE, cap=cap)


def retain(collection: str) -> CollectionInstruction:
    return CollectionInstruction(collection=collection, action=CollectionInstruction.ACTION_RETAIN, reason="test")


def reason(error: grpc.aio.AioRpcError) -> tuple[str, str]:
    """(code, reason) of an error."""
    info = from_rpc_error(error)
    return error.code().name, info.reason if info else "-"
