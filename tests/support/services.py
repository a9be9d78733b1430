"""The four services in this process, on real sockets and a real PostgreSQL, with backends in memory."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from dsr.connector.v1.connector_pb2_grpc import add_ConnectorServiceServicer_to_server
from dsr.credentials import Credential
from dsr.v1 import access_pb2, erasure_pb2, governance_pb2, portability_pb2, request_pb2, subject_pb2, transfer_pb2
from dsr.v1.access_pb2_grpc import AccessServiceStub
from dsr.v1.backups_pb2_grpc import BackupServiceStub
from dsr.v1.breach_pb2_grpc import BreachServiceStub
from dsr.v1.connectors_pb2_grpc import ConnectorChangeServiceStub
from dsr.v1.correction_pb2_grpc import CorrectionServiceStub
from dsr.v1.erasure_pb2_grpc import ErasureServiceStub
from dsr.v1.error_reason_pb2 import ErrorReason
from dsr.v1.governance_pb2_grpc import GovernanceServiceStub
from dsr.v1.location_pb2_grpc import LocationServiceStub
from dsr.v1.portability_pb2_grpc import PortabilityServiceStub
from dsr.v1.recipient_pb2_grpc import RecipientServiceStub
from dsr.v1.refusal_pb2_grpc import RefusalServiceStub
from dsr.v1.retention_pb2_grpc import RetentionServiceStub
from dsr.v1.termination_pb2_grpc import TerminationServiceStub
from dsr.v1.transfer_pb2_grpc import TransferServiceStub
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

import services.access.__main__ as access
import services.erasure.__main__ as erasure
import services.governance.__main__ as governance
import services.portability.__main__ as portability
from connectors.backend import Backend
from connectors.config import GrantKeys
from connectors.host import SERVICE_NAME, ConnectorHost
from deploy.database import SCHEMAS, migrate_all
from deploy.local.postgres import free_port
from dsrkit import recording
from dsrkit.auth import Authenticator, TrustStore
from dsrkit.errors import from_rpc_error
from dsrkit.grants import GrantVerifier
from dsrkit.issuer import TrustFile, make_grant_key, make_ledger_key
from dsrkit.requests import runtime
from dsrkit.requests.runtime import Config as RightConfig
from dsrkit.server import RunningServer, open_server
from dsrkit.tls import TlsFiles
from services.governance.config import Config as GovernanceConfig
from services.governance.ledger.ledger import Ledger
from services.governance.policies import chores as policies
from services.governance.store import GovernanceStore
from tests.support.memory import MemoryBackend, Table

PARTNER = "partners/acme"
SHOP, CRM = f"{PARTNER}/dataSources/shop", f"{PARTNER}/dataSources/crm"
APPROVER = "urn:dsr:partner:acme#bob"
DUBLIN = governance_pb2.Location(provider="Amazon Web Services", site="Dublin", country="IE")
LEEDS = governance_pb2.Location(provider="Brightbox", site="Leeds", country="GB")
# Often enough that nobody waits for long; oftener, asking is most of what services at rest do. Records are awaited by
# every test that ends.
erasure.ORDER_SECONDS = 0.3
erasure.SWEEP_SECONDS = portability.ORDER_SECONDS = access.COUNT_SECONDS = 1.0
runtime.TERMINATION_SECONDS = policies.SECONDS = 1.0
recording.INTERVAL = 0.05
_MODULES = {"access": access, "portability": portability, "erasure": erasure}
_STUBS: Mapping[str, Any] = {
    "access": AccessServiceStub,
    "portability": PortabilityServiceStub,
    "erasure": ErasureServiceStub,
}
_PB: Mapping[str, Any] = {"access": access_pb2, "portability": portability_pb2, "erasure": erasure_pb2}
DONE = frozenset({"COMPLETED", "PARTIALLY_ERASED", "REFUSED", "CANCELLED"})


@dataclass
class World:
    """Everything a test talks to."""

    folder: Path
    dsn: Callable[[str], str]
    ports: dict[str, int]
    crm: MemoryBackend = field(init=False)
    shop: MemoryBackend = field(init=False)
    starts: int = 0
    """How often a service was started."""
    servers: dict[str, RunningServer] = field(default_factory=dict)
    running: dict[str, AsyncExitStack] = field(default_factory=dict)
    channels: dict[str, grpc.aio.Channel] = field(default_factory=dict)
    heartbeat_seconds: float = 10.0
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    """By which governance decides."""
    tls: TlsFiles | None = None
    governance_settings: dict[str, Any] = field(default_factory=dict)
    bundle_location: str = "Amazon Web Services/Dublin/IE"
    telemetry: dict[str, Any] = field(default_factory=dict)
    partner_id: str = "acme"
    """Whose people call, unless told otherwise."""

    def credential(self, partner: str = "") -> Credential:
        return Credential.load(self.folder / f"{partner or self.partner_id}.json")

    def metadata(self, subject: str = "alice", *roles: str, partner: str = "", **claims: Any) -> Any:
        """Call metadata of somebody of the partner."""
        token = self.credential(partner).token(
            "dsr", subject=subject, roles=roles or ("ROLE_REQUESTER",), **{"actor_type": "person", **claims}
        )
        return (("authorization", f"Bearer {token}"),)

    def operator(self, subject: str = "olga") -> Any:
        """Call metadata of the operator's staff."""
        token = Credential.load(self.folder / "operator.json").token(
            "dsr", subject=subject, roles=["ROLE_OPERATOR"], actor_type="person"
        )
        return (("authorization", f"Bearer {token}"),)

    def channel(self, name: str) -> grpc.aio.Channel:
        if name not in self.channels:
            target = f"127.0.0.1:{self.ports[name]}"
            self.channels[name] = (
                grpc.aio.secure_channel(target, self.tls.channel()) if self.tls else grpc.aio.insecure_channel(target)
            )
        return self.channels[name]

    @property
    def governance(self) -> Any:
        return GovernanceServiceStub(self.channel("governance"))

    @property
    def recipients(self) -> Any:
        return RecipientServiceStub(self.channel("governance"))

    @property
    def refusals(self) -> Any:
        return RefusalServiceStub(self.channel("governance"))

    @property
    def transfers(self) -> Any:
        return TransferServiceStub(self.channel("governance"))

    async def attest(self, country: str) -> Any:
        """The partner's word for a country: data there is in good hands, and its subjects know."""
        word = transfer_pb2.TransferAttestation(country=country, compliant=True, subjects_told_time=timestamp())
        word.notice_reference, word.notice_sha256 = "notice-1", "0" * 64
        message = transfer_pb2.CreateTransferAttestationRequest(
            parent=PARTNER, transfer_attestation=word, request_id=str(uuid.uuid4())
        )
        return await self.transfers.CreateTransferAttestation(message, metadata=self.metadata("adam", "ROLE_ADMIN"))

    @property
    def locations(self) -> Any:
        return LocationServiceStub(self.channel("governance"))

    @property
    def connectors(self) -> Any:
        return ConnectorChangeServiceStub(self.channel("governance"))

    @property
    def corrections(self) -> Any:
        return CorrectionServiceStub(self.channel("governance"))

    @property
    def backups(self) -> Any:
        return BackupServiceStub(self.channel("governance"))

    @property
    def breaches(self) -> Any:
        return BreachServiceStub(self.channel("governance"))

    @property
    def retention(self) -> Any:
        return RetentionServiceStub(self.channel("governance"))

    @property
    def terminations(self) -> Any:
        return TerminationServiceStub(self.channel("governance"))

    def stub(self, right: str) -> Any:
        return _STUBS[right](self.channel(right))

    def ledger(self, store: GovernanceStore) -> Ledger:
        """The ledger, over another connection."""
        return Ledger.of(store, self.folder / "ledger.json", self.folder / "keys" / "governance")

    async def start(self, name: str) -> None:
        """Starts (again) one service on its port."""
        stack = AsyncExitStack()
        listen = f"127.0.0.1:{self.ports[name]}"
        if name == "governance":
            config = GovernanceConfig(
                listen=listen,
                database_url=self.dsn(name),
                trust=self.folder / "trust.json",
                signing_key=self.folder / "grant.json",
                ledger_key=self.folder / "ledger.json",
                keys_dir=self.folder / "keys" / name,
                dpo_contact="dpo@agency.example",
                operators="urn:dsr:operator#olga,urn:dsr:operator#oskar",
                private_egress="127.0.0.0/8",
                **self.tls_settings(),
                **self.telemetry,
                **self.governance_settings,
            )
            opened = governance.open_service(config, lambda: self.clock())
        else:
            opened = _MODULES[name].open_service(self.config(name))
        self.servers[name] = await stack.enter_async_context(opened)
        self.running[name] = stack
        self.starts += 1

    def config(self, name: str) -> RightConfig:
        return RightConfig(
            listen=f"127.0.0.1:{self.ports[name]}",
            database_url=self.dsn(name),
            trust=self.folder / "trust.json",
            credential=self.folder / f"{name}.json",
            governance_address=f"127.0.0.1:{self.ports['governance']}",
            state_dir=self.folder / "state" / name,
            keys_dir=self.folder / "keys" / name,
            heartbeat_seconds=self.heartbeat_seconds,
            bundle_location=self.bundle_location,
            private_egress="127.0.0.0/8",
            **self.tls_settings(),
            **self.telemetry,
        )

    def tls_settings(self) -> dict[str, Any]:
        if self.tls is None:
            return {}
        return {
            "tls_certificate": str(self.tls.certificate),
            "tls_key": str(self.tls.key),
            "tls_ca": str(self.tls.authority),
        }

    async def stop(self, name: str) -> None:
        """Stops one service."""
        await self.running.pop(name).aclose()

    async def close(self) -> None:
        for channel in self.channels.values():
            await channel.close()
        for name in list(self.running)[::-1]:
            await self.stop(name)

    async def create(self, right: str, request_id: str = "", metadata: Any = None, **fields: Any) -> Any:
        """Creates a request of a right about `ann@example.com`, or `identities=[(type, value)]`."""
        message = self.create_message(right, request_id, **fields)
        method = getattr(self.stub(right), f"Create{right.title()}Request")
        return await method(message, metadata=metadata or self.metadata())

    def create_message(
        self, right: str, request_id: str = "", identities: Any = (("email", "ann@example.com"),), **fields: Any
    ) -> Any:
        pb, title = _PB[right], right.title()
        if right == "erasure":
            fields.setdefault("ground", erasure_pb2.ErasureRequest.GROUND_CONSENT_WITHDRAWN)
        resource = getattr(pb, f"{title}Request")(
            subject=subject(identities), clock=request_pb2.Clock(received_time=timestamp()), **fields
        )
        kwargs = {f"{right}_request": resource}
        kind = getattr(pb, f"Create{title}RequestRequest")
        return kind(parent=f"partners/{self.partner_id}", request_id=request_id or str(uuid.uuid4()), **kwargs)

    async def get(self, right: str, name: str, **claims: Any) -> Any:
        kind = getattr(_PB[right], f"Get{right.title()}RequestRequest")
        method = getattr(self.stub(right), f"Get{right.title()}Request")
        return await method(kind(name=name), metadata=self.metadata(**claims))

    async def until(self, right: str, name: str, *states: str) -> Any:
        """The request, as soon as it is in one of these states (or terminal), by watching it."""
        kind = getattr(_PB[right], f"Watch{right.title()}RequestRequest")
        call = getattr(self.stub(right), f"Watch{right.title()}Request")(kind(name=name), metadata=self.metadata())
        wanted = set(states) | DONE
        async with asyncio.timeout(40):
            async for item in call:
                current = state(item.event)
                if current in wanted:
                    found = await self.get(right, name)
                    if state(found) in wanted:
                        call.cancel()
                        return found
        raise AssertionError(f"{name} ended without {wanted}")

    async def until_waiting(self, right: str, name: str, reason: str) -> None:
        """Returns when an event says that something waits for this reason."""
        kind = getattr(_PB[right], f"Watch{right.title()}RequestRequest")
        call = getattr(self.stub(right), f"Watch{right.title()}Request")(kind(name=name), metadata=self.metadata())
        async with asyncio.timeout(40):
            async for item in call:
                if item.event.progress.waiting_reason == reason_number(reason):
                    call.cancel()
                    return
        raise AssertionError(f"{name} never waited for {reason}")

    async def approve(self, request: Any, subject: str = "bob", request_id: str = "", **claims: Any) -> Any:
        message = erasure_pb2.ApproveErasureRequestRequest(
            name=request.name, plan_digest=request.plan.digest, request_id=request_id or str(uuid.uuid4())
        )
        metadata = self.metadata(subject, "ROLE_APPROVER", **claims)
        return await self.stub("erasure").ApproveErasureRequest(message, metadata=metadata)

    async def download(self, right: str, name: str, offset: int = 0, length: int = 0) -> bytes:
        kind = getattr(_PB[right], f"Download{right.title()}BundleRequest")
        method = getattr(self.stub(right), f"Download{right.title()}Bundle")
        data = b""
        async for part in method(kind(name=name, offset=offset, length=length), metadata=self.metadata()):
            data += part.data
        return data

    async def act(self, right: str, verb: str, name: str, **fields: Any) -> Any:
        """Cancel, Extend…Deadline, Resolve…Identities."""
        title = right.title()
        rpc = {"Cancel": f"Cancel{title}Request", "Extend": f"Extend{title}RequestDeadline"}.get(
            verb, f"Resolve{title}RequestIdentities"
        )
        kind = getattr(_PB[right], f"{rpc}Request")
        fields.setdefault("request_id", str(uuid.uuid4()))
        metadata = fields.pop("metadata", None) or self.metadata()
        return await getattr(self.stub(right), rpc)(kind(name=name, **fields), metadata=metadata)


def subject(identities: Any) -> subject_pb2.Subject:
    return subject_pb2.Subject(
        identities=[subject_pb2.Identity(type=t, value=v) for t, v in identities],
        capacity=subject_pb2.REQUESTER_CAPACITY_SELF,
        verification=subject_pb2.IdentityVerification(
            method=subject_pb2.IdentityVerification.METHOD_ACCOUNT_LOGIN, verifier="portal", verify_time=timestamp()
        ),
    )


def timestamp() -> Timestamp:
    """Now."""
    now = Timestamp()
    now.GetCurrentTime()
    return now


def state(message: Any) -> str:
    name: str = request_pb2.RequestState.Name(message.state)
    return name.removeprefix("REQUEST_STATE_")


def reason_number(reason: str) -> int:
    return ErrorReason.Value(f"ERROR_REASON_{reason}")


def reason_of(error: grpc.aio.AioRpcError) -> str:
    info = from_rpc_error(error)
    assert info is not None, f"no ErrorInfo on {error.code()}"
    assert info.domain == "dsr.v1"
    return str(info.reason)


def crm_backend() -> MemoryBackend:
    """The customer register: people by e-mail, each with a customer number. Authoritative for both."""
    people = Table({"email": ("email", True), "number": ("customer_number", True)}, people=True)
    people.rows = [
        {"id": "1", "email": "ann@example.com", "number": "7", "name": "Ann"},
        {"id": "2", "email": "joann@example.com", "number": "70", "name": "Joann"},
        {"id": "3", "email": "twin@example.com", "number": "81", "name": "Twin A"},
        {"id": "4", "email": "twin@example.com", "number": "82", "name": "Twin B"},
    ]
    return MemoryBackend(CRM, {"people": people})


def shop_backend() -> MemoryBackend:
    """Orders and invoices, known by customer number only."""
    orders = Table({"customer": ("customer_number", False)})
    bought = enumerate(["7", "7", "70", "81"])
    orders.rows = [{"id": str(n), "customer": c, "item": "tea", "seller": "S"} for n, c in bought]
    invoices = Table({"customer": ("customer_number", False)})
    invoices.rows = [{"id": str(n), "customer": c, "total": "9"} for n, c in enumerate(["7", "70"])]
    return MemoryBackend(SHOP, {"orders": orders, "invoices": invoices})


def collection_map(name: str, **fields: Any) -> governance_pb2.CollectionMap:
    defaults: dict[str, Any] = {
        "title": name.title(),
        "purposes": ["fulfilling orders"],
        "category": "order data",
        "retention": "two years",
        "lawful_basis": governance_pb2.LAWFUL_BASIS_CONTRACT,
        "origin": governance_pb2.ORIGIN_PROVIDED,
        "erase_action": governance_pb2.ERASE_ACTION_DELETE,
    }
    return governance_pb2.CollectionMap(collection=name, **{**defaults, **fields})


def data_map() -> governance_pb2.DataMap:
    """The map of both sources: invoices are retained by tax law, an order's seller is somebody else."""
    invoices = collection_map(
        "invoices",
        erase_action=governance_pb2.ERASE_ACTION_RETAIN,
        lawful_basis=governance_pb2.LAWFUL_BASIS_LEGAL_OBLIGATION,
        retain_reason="eu-gdpr:JustificationA17LegallyRequired",
        legal_reference="TCA 1997 s. 886",
    )
    orders = collection_map("orders", fields=[governance_pb2.FieldMap(field="seller", third_party=True)])
    return governance_pb2.DataMap(
        sources=[
            governance_pb2.SourceMap(
                source=CRM, authoritative_for=["email", "customer_number"], collections=[collection_map("people")]
            ),
            governance_pb2.SourceMap(source=SHOP, collections=[orders, invoices]),
        ]
    )


async def eventually(condition: Callable[[], Any], within: float = 20.0) -> None:
    """Returns as soon as `condition` (sync or async) holds; AssertionError when it doesn't in time."""
    ends = asyncio.get_running_loop().time() + within
    while asyncio.get_running_loop().time() < ends:
        result = condition()
        if await result if asyncio.iscoroutine(result) else result:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not become true in time")


def seconds(count: float) -> Duration:
    return Duration(seconds=int(count), nanos=int(count % 1 * 1e9))


@asynccontextmanager
async def open_services(
    folder: Path, cluster: Any, database: str, tls: TlsFiles | None = None, telemetry: Mapping[str, Any] | None = None
) -> AsyncIterator[World]:
    """Starts the services, without any partner. `telemetry`: settings of every service."""
    passwords = {schema: f"{schema}-secret" for schema in SCHEMAS}
    await migrate_all(cluster.dsn(database), passwords)
    trust = TrustFile(folder / "trust.json")
    for name in ("acme", "globex"):
        trust.add_partner(name, folder / f"{name}.json")
    trust.add_operator(folder / "operator.json")
    for name in _MODULES:
        trust.add_service(name, folder / f"{name}.json")
    make_grant_key(folder / "grant.json", folder / "grants.jwks")
    make_ledger_key(folder / "ledger.json", folder / "ledger.vkey")
    ports = {name: free_port() for name in ("governance", *_MODULES)}

    def dsn(name: str) -> str:
        return str(cluster.dsn(database, user=f"dsr_{name}", password=passwords[name]))

    world = World(folder, dsn, ports, tls=tls, telemetry=dict(telemetry or {}))
    try:
        for name in ports:
            await world.start(name)
        yield world
    finally:
        await world.close()


@asynccontextmanager
async def connected(world: World, backends: Mapping[str, Backend] | None = None, **partner: Any) -> AsyncIterator[None]:
    """One partner with two sources and a data map, on services that know none yet.

    `backends`: others than those in memory, by source.
    """
    world.crm, world.shop = crm_backend(), shop_backend()
    host = ConnectorHost(
        {CRM: world.crm, SHOP: world.shop, **(backends or {})},
        GrantVerifier(GrantKeys(world.folder / "grants.jwks")),
        lambda: datetime.now(UTC),
        {CRM: "memory", SHOP: "memory"},
    )
    async with open_server(
        listen="127.0.0.1:0",
        registrations=[lambda server: add_ConnectorServiceServicer_to_server(host, server)],
        service_names=[SERVICE_NAME],
        authenticator=Authenticator(TrustStore(world.folder / "trust.json"), [CRM, SHOP]),
        tls=world.tls.server() if world.tls else None,
    ) as connectors:
        await settle_partner(world, f"127.0.0.1:{connectors.port}", **partner)
        try:
            yield
        finally:
            for backend in (world.crm, world.shop):
                if backend.gate is not None:
                    backend.gate.set()


@asynccontextmanager
async def open_world(
    folder: Path,
    cluster: Any,
    database: str,
    tls: TlsFiles | None = None,
    telemetry: Mapping[str, Any] | None = None,
    backends: Mapping[str, Backend] | None = None,
    **partner: Any,
) -> AsyncIterator[World]:
    """Starts everything, with one partner, two sources and a data map.

    `telemetry`: settings of every service. `backends`: others than those in memory, by source.
    """
    async with open_services(folder, cluster, database, tls, telemetry) as world:
        async with connected(world, backends, **partner):
            yield world


async def settle_partner(world: World, address: str, **fields: Any) -> None:
    """Creates the partner, its sources and its data map, as the operator and the partner's admin do."""
    operator = Credential.load(world.folder / "operator.json").token("dsr", subject="olga", roles=["ROLE_OPERATOR"])
    partner = governance_pb2.Partner(
        **{
            "name": PARTNER,
            "display_name": "Acme",
            "country": "IE",
            "time_zone": "Europe/Dublin",
            "privacy_contact": "privacy@acme.example",
            "supervisory_authority": "Data Protection Commission",
            "contract_approvers": [APPROVER],
            "contract_locations": [DUBLIN, LEEDS],
            "erasure_grace_period": seconds(0),
            **fields,
        }
    )
    await world.governance.CreatePartner(
        governance_pb2.CreatePartnerRequest(partner=partner, request_id=str(uuid.uuid4())),
        metadata=(("authorization", f"Bearer {operator}"),),
    )
    admin = world.metadata("adam", "ROLE_ADMIN")
    for source in (CRM, SHOP):
        await world.governance.CreateDataSource(
            governance_pb2.CreateDataSourceRequest(
                parent=PARTNER,
                request_id=str(uuid.uuid4()),
                data_source=governance_pb2.DataSource(
                    name=source,
                    display_name=source.split("/")[-1],
                    connector_address=address,
                    custody=governance_pb2.DataSource.CUSTODY_OPERATOR,
                    location=DUBLIN,
                ),
            ),
            metadata=admin,
        )
    await world.governance.CreateDataMap(
        governance_pb2.CreateDataMapRequest(parent=PARTNER, request_id=str(uuid.uuid4()), data_map=data_map()),
        metadata=admin,
    )
