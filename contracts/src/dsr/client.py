"""A thin async client: typed stubs with authentication, deadlines and retries, and what they don't do by themselves.

async with connect("dsr.example:443", credential=Credential.load(path), actor="clerk-7") as platform:
    request = await platform.access.CreateAccessRequest(...)
    request = await platform.wait(request.name)
    await platform.download(request.name, Path("."))
"""

import asyncio
import ipaddress
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.descriptor import MethodDescriptor

from dsr.credentials import PLATFORM_AUDIENCE, Credential
from dsr.downloads import Download, Progress
from dsr.errors import DsrRpcError
from dsr.speaker import Speaker, StreamInterceptor, TokenSource, UnaryInterceptor
from dsr.v1 import access_pb2, erasure_pb2, portability_pb2, request_pb2
from dsr.v1.access_pb2_grpc import AccessServiceStub
from dsr.v1.backups_pb2_grpc import BackupServiceStub
from dsr.v1.breach_pb2_grpc import BreachServiceStub
from dsr.v1.connectors_pb2_grpc import ConnectorChangeServiceStub
from dsr.v1.correction_pb2_grpc import CorrectionServiceStub
from dsr.v1.erasure_pb2_grpc import ErasureServiceStub
from dsr.v1.governance_pb2_grpc import GovernanceServiceStub
from dsr.v1.ledger_pb2_grpc import LedgerServiceStub
from dsr.v1.location_pb2_grpc import LocationServiceStub
from dsr.v1.notifications_pb2_grpc import NotificationServiceStub
from dsr.v1.policy_pb2_grpc import PolicyServiceStub
from dsr.v1.portability_pb2_grpc import PortabilityServiceStub
from dsr.v1.recipient_pb2_grpc import RecipientServiceStub
from dsr.v1.records_pb2_grpc import RecordServiceStub
from dsr.v1.refusal_pb2_grpc import RefusalServiceStub
from dsr.v1.retention_pb2_grpc import RetentionServiceStub
from dsr.v1.sandbox_pb2_grpc import SandboxServiceStub
from dsr.v1.staff_pb2_grpc import StaffServiceStub
from dsr.v1.termination_pb2_grpc import TerminationServiceStub
from dsr.v1.transfer_pb2_grpc import TransferServiceStub

if TYPE_CHECKING:  # the typed stubs exist for type checkers only
    from dsr.v1.access_pb2_grpc import AccessServiceAsyncStub
    from dsr.v1.backups_pb2_grpc import BackupServiceAsyncStub
    from dsr.v1.breach_pb2_grpc import BreachServiceAsyncStub
    from dsr.v1.connectors_pb2_grpc import ConnectorChangeServiceAsyncStub
    from dsr.v1.correction_pb2_grpc import CorrectionServiceAsyncStub
    from dsr.v1.erasure_pb2_grpc import ErasureServiceAsyncStub
    from dsr.v1.governance_pb2_grpc import GovernanceServiceAsyncStub
    from dsr.v1.ledger_pb2_grpc import LedgerServiceAsyncStub
    from dsr.v1.location_pb2_grpc import LocationServiceAsyncStub
    from dsr.v1.notifications_pb2_grpc import NotificationServiceAsyncStub
    from dsr.v1.policy_pb2_grpc import PolicyServiceAsyncStub
    from dsr.v1.portability_pb2_grpc import PortabilityServiceAsyncStub
    from dsr.v1.recipient_pb2_grpc import RecipientServiceAsyncStub
    from dsr.v1.records_pb2_grpc import RecordServiceAsyncStub
    from dsr.v1.refusal_pb2_grpc import RefusalServiceAsyncStub
    from dsr.v1.retention_pb2_grpc import RetentionServiceAsyncStub
    from dsr.v1.sandbox_pb2_grpc import SandboxServiceAsyncStub
    from dsr.v1.staff_pb2_grpc import StaffServiceAsyncStub
    from dsr.v1.termination_pb2_grpc import TerminationServiceAsyncStub
    from dsr.v1.transfer_pb2_grpc import TransferServiceAsyncStub

SERVICES = ("access", "portability", "erasure", "governance")
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
RECONNECTS = 8
"""How often in a row a stream is resumed without having got any further."""

Request = access_pb2.AccessRequest | portability_pb2.PortabilityRequest | erasure_pb2.ErasureRequest
"""A request of any of the three rights."""

TERMINAL = frozenset(
    {
        request_pb2.REQUEST_STATE_COMPLETED,
        request_pb2.REQUEST_STATE_PARTIALLY_ERASED,
        request_pb2.REQUEST_STATE_REFUSED,
        request_pb2.REQUEST_STATE_CANCELLED,
    }
)
"""States in which a request is over."""

UNDECIDED = frozenset(
    {
        request_pb2.REQUEST_STATE_AWAITING_CONTROLLER,
        request_pb2.REQUEST_STATE_PLANNED,
        request_pb2.REQUEST_STATE_PLAN_CHANGED,
    }
)
"""States in which a request waits for the controller."""


class Platform:
    """The four public services. The stubs raise `DsrRpcError`; deadlines and retries are the contract's own.

    A method of a stub may be given `timeout=` in seconds and `metadata=`, as with any stub of gRPC.
    """

    access: "AccessServiceAsyncStub"
    portability: "PortabilityServiceAsyncStub"
    erasure: "ErasureServiceAsyncStub"
    governance: "GovernanceServiceAsyncStub"
    connectors: "ConnectorChangeServiceAsyncStub"
    corrections: "CorrectionServiceAsyncStub"
    backups: "BackupServiceAsyncStub"
    retention: "RetentionServiceAsyncStub"
    terminations: "TerminationServiceAsyncStub"
    breaches: "BreachServiceAsyncStub"
    notifications: "NotificationServiceAsyncStub"
    locations: "LocationServiceAsyncStub"
    records: "RecordServiceAsyncStub"
    transfers: "TransferServiceAsyncStub"
    refusals: "RefusalServiceAsyncStub"
    recipients: "RecipientServiceAsyncStub"
    policies: "PolicyServiceAsyncStub"
    staff: "StaffServiceAsyncStub"
    sandboxes: "SandboxServiceAsyncStub"
    ledger: "LedgerServiceAsyncStub"

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self.access = AccessServiceStub(channels["access"])
        self.portability = PortabilityServiceStub(channels["portability"])
        self.erasure = ErasureServiceStub(channels["erasure"])
        self.governance = GovernanceServiceStub(channels["governance"])
        self.connectors = ConnectorChangeServiceStub(channels["governance"])
        self.corrections = CorrectionServiceStub(channels["governance"])
        self.backups = BackupServiceStub(channels["governance"])
        self.retention = RetentionServiceStub(channels["governance"])
        self.terminations = TerminationServiceStub(channels["governance"])
        self.breaches = BreachServiceStub(channels["governance"])
        self.notifications = NotificationServiceStub(channels["governance"])
        self.locations = LocationServiceStub(channels["governance"])
        self.records = RecordServiceStub(channels["governance"])
        self.transfers = TransferServiceStub(channels["governance"])
        self.refusals = RefusalServiceStub(channels["governance"])
        self.recipients = RecipientServiceStub(channels["governance"])
        self.policies = PolicyServiceStub(channels["governance"])
        self.staff = StaffServiceStub(channels["governance"])
        self.sandboxes = SandboxServiceStub(channels["governance"])
        self.ledger = LedgerServiceStub(channels["governance"])
        self._stubs = {type(stub).__name__.removesuffix("Stub"): stub for stub in vars(self).values()}

    def method(self, rpc: MethodDescriptor) -> Any:
        """The typed stubs' method for a public RPC, by its descriptor."""
        return getattr(self._stubs[rpc.containing_service.name], rpc.name)

    async def get(self, name: str) -> Request:
        """The request of that name, of whichever right. ValueError for a name that is none of a request."""
        match right_of(name):
            case "access":
                return await self.access.GetAccessRequest(access_pb2.GetAccessRequestRequest(name=name))
            case "portability":
                return await self.portability.GetPortabilityRequest(
                    portability_pb2.GetPortabilityRequestRequest(name=name)
                )
            case _:
                return await self.erasure.GetErasureRequest(erasure_pb2.GetErasureRequestRequest(name=name))

    async def events(self, name: str, after_event: int = 0) -> AsyncGenerator[request_pb2.RequestEvent, None]:
        """What happens to a request until it is terminal, each event once, over as many connections as it takes."""
        attempts = 0
        while True:
            call = self._watch(name, after_event)
            try:
                async for item in call:
                    attempts = 0
                    after_event = item.event.event
                    yield item.event
                return
            except DsrRpcError as error:
                attempts += 1
                await _pause(error, attempts)
            finally:
                call.cancel()

    async def wait(
        self,
        name: str,
        until: Collection[int] = TERMINAL,
        *,
        on_event: Callable[[request_pb2.RequestEvent], None] | None = None,
    ) -> Request:
        """Waits until the request is in one of these states (or over) and returns it.

        `until` are values of `RequestState`; `TERMINAL | UNDECIDED` also stops where the controller must decide.
        `on_event` gets every event up to there, those of the past too.
        """
        request = await self.get(name)
        if request.state in until and on_event is None:
            return request
        async with aclosing(self.events(name)) as events:
            async for event in events:
                if on_event is not None:
                    on_event(event)
                # Events of the past may pass through a state long left; what counts is where the request stands now.
                if event.state in until and event.state not in TERMINAL:
                    request = await self.get(name)
                    if request.state == event.state or (request.state in until and on_event is None):
                        return request
        return await self.get(name)

    async def download(self, name: str, to: Path, *, on_progress: Progress | None = None) -> Path:
        """Downloads a request's bundle (of an erasure, its report) and returns the path of the file.

        `to` is a file, or a folder in which the file gets the name that the platform suggests. What a broken
        connection or an earlier call left is resumed, and the file appears only when its SHA-256 is right. It is
        readable by its owner alone. DsrRpcError; ValueError when the bytes are not those announced.
        """
        return await receive(lambda offset: self._download(name, offset), to, on_progress)

    async def certificate(self, name: str, to: Path, *, on_progress: Progress | None = None) -> Path:
        """Downloads an erasure's certificate, as `download` does. It is checked by `dsr.ledger.Certificate`."""

        def opened(offset: int) -> Any:
            message = erasure_pb2.DownloadErasureCertificateRequest(name=name, offset=offset)
            return self.erasure.DownloadErasureCertificate(message)

        return await receive(opened, to, on_progress)

    def _watch(self, name: str, after_event: int) -> Any:
        match right_of(name):
            case "access":
                return self.access.WatchAccessRequest(
                    access_pb2.WatchAccessRequestRequest(name=name, after_event=after_event)
                )
            case "portability":
                return self.portability.WatchPortabilityRequest(
                    portability_pb2.WatchPortabilityRequestRequest(name=name, after_event=after_event)
                )
            case _:
                return self.erasure.WatchErasureRequest(
                    erasure_pb2.WatchErasureRequestRequest(name=name, after_event=after_event)
                )

    def _download(self, name: str, offset: int) -> Any:
        match right_of(name):
            case "access":
                return self.access.DownloadAccessBundle(
                    access_pb2.DownloadAccessBundleRequest(name=name, offset=offset)
                )
            case "portability":
                return self.portability.DownloadPortabilityBundle(
                    portability_pb2.DownloadPortabilityBundleRequest(name=name, offset=offset)
                )
            case _:
                return self.erasure.DownloadErasureReport(
                    erasure_pb2.DownloadErasureReportRequest(name=name, offset=offset)
                )


@asynccontextmanager
async def connect(
    target: str | Mapping[str, str],
    *,
    credential: Credential | None = None,
    actor: str = "",
    role: str = "",
    audience: str = PLATFORM_AUDIENCE,
    token: TokenSource | None = None,
    root_certificates: bytes | None = None,
    certificate: tuple[bytes, bytes] | None = None,
) -> AsyncIterator[Platform]:
    """Opens the services at `target`: one `host:port` for all, or one for each of `SERVICES`.

    Every call carries a token of its own: made from `credential` for `actor` (in `role`: see `Speaker`), or got from
    `token`.
    TLS is checked against `root_certificates` (PEM; the system's when absent). `certificate` is the PEM chain that the
    platform asks for, and its key. Plaintext goes to loopback only, and not there either when one of both is given.
    ValueError when a target or both ways to a token are missing.
    """
    if token is None:
        if credential is None:
            raise ValueError("give a credential, or a source of tokens")
        token = Speaker(credential, actor, audience, role).token
    addresses = {name: target for name in SERVICES} if isinstance(target, str) else dict(target)
    missing = [name for name in SERVICES if not addresses.get(name)]
    if missing:
        raise ValueError(f"there is no target for {', '.join(missing)}")
    options = [
        ("grpc.service_config", resources.files("dsr").joinpath("grpc_service_config.json").read_text()),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
    interceptors = [UnaryInterceptor(token), StreamInterceptor(token)]
    chain, key = certificate or (None, None)
    secured = root_certificates is not None or certificate is not None
    async with AsyncExitStack() as stack:
        channels = {}
        for address in set(addresses.values()):
            if _is_loopback(address) and not secured:
                channel = grpc.aio.insecure_channel(address, options, interceptors=interceptors)
            else:
                credentials = grpc.ssl_channel_credentials(root_certificates, key, chain)
                channel = grpc.aio.secure_channel(address, credentials, options, interceptors=interceptors)
            channels[address] = await stack.enter_async_context(channel)
        yield Platform({name: channels[address] for name, address in addresses.items()})


def right_of(name: str) -> str:
    """`access`, `portability` or `erasure`, by the name of a request. ValueError for any other name."""
    pieces = name.split("/")
    if len(pieces) == 4 and pieces[0] == "partners" and pieces[2].endswith("Requests") and all(pieces):
        right = pieces[2].removesuffix("Requests")
        if right in SERVICES[:3]:
            return right
    raise ValueError("that is not the name of a request: partners/{partner}/accessRequests/{id} (or another right's)")


def _is_loopback(address: str) -> bool:
    if address.startswith("unix:"):
        return True
    host = address.removeprefix("dns:///").rsplit(":", 1)[0].strip("[]")
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


async def receive(open_stream: Callable[[int], Any], to: Path, on_progress: Progress | None = None) -> Path:
    """Downloads what the call opened at an offset sends, as `Platform.download` does, and returns the file's path."""
    download = Download(open_stream, to, on_progress)
    attempts = 0
    while True:
        before = download.received
        try:
            return await download.run()
        except DsrRpcError as error:
            attempts = 1 if download.received > before else attempts + 1
            await _pause(error, attempts)


async def _pause(error: DsrRpcError, attempts: int) -> None:
    """Waits before a stream is resumed; raises the error when resuming is no use."""
    if error.code() is not grpc.StatusCode.UNAVAILABLE or attempts > RECONNECTS:
        raise error
    delay = min(0.1 * 2**attempts, 5.0)
    if error.retry_after is not None and attempts > 1:
        delay = max(delay, error.retry_after.total_seconds())
    await asyncio.sleep(delay)
