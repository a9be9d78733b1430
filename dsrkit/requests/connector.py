"""Connectors, as the rights services call them. What a connector answers is checked, never believed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from dsr.authority.v1 import authority_pb2
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.connector_pb2_grpc import ConnectorServiceStub
from dsr.connector.v1.grant_pb2 import Sandbox
from dsr.v1 import governance_pb2

from dsrkit.channels import Channels
from dsrkit.egress import EgressGuard, host_and_port
from dsrkit.errors import CODES, DsrError, from_rpc_error
from dsrkit.requests.model import Found

if TYPE_CHECKING:
    from dsr.connector.v1.connector_pb2_grpc import ConnectorServiceAsyncStub

FROM_CONNECTORS = frozenset(
    {
        "SOURCE_UNAVAILABLE",
        "SOURCE_TIMEOUT",
        "SOURCE_REJECTED",
        "SOURCE_INCONSISTENT",
        "SOURCE_BUSY",
        "CAP_EXCEEDED",
        "ATTEMPT_SUPERSEDED",
        "GRANT_INVALID",
        "FINGERPRINT_CHANGED",
        "BACKEND_UNENCRYPTED",
        "METHOD_UNKNOWN",
        "NOT_COUNTABLE",
        "RATE_LIMITED",
        "SANDBOX_MISMATCH",
    }
)
"""Reasons that a connector may give."""
_NAMES_A_FIELD = frozenset({"FIELD_NOT_AMENDABLE", "VALUE_UNFIT"})
_LONGEST_NAME = 1_000
MAX_ANCHOR_BYTES = 8 * 1024 * 1024
# What gRPC itself says when TLS could not be agreed on: our own library's words, not the other side's.
_UNTRUSTED = ("Tls handshake failed", "verification check failed")
_LONG = frozenset({"Export", "ListInactive", "Return"})
"""Streams that may bring whole collections."""
_WHOLE = frozenset({"Return", "Destroy"})
"""Streams that last as long as a source is large."""
_LEAST_MESSAGE = 1024
"""What a message counts at least: a stream of empty ones costs us, too."""


@dataclass(frozen=True)
class Connector:
    """Where a data source's connector is, and by what it is known, as two people of the partner said."""

    source: str
    address: str
    """`host:port`; empty while nobody has confirmed any."""
    name: str
    """What its certificate must name; empty: the host of `address`, by a certificate of ours."""
    authority: str
    """PEM of the one authority that is believed."""
    sandbox: Sandbox | None = None
    """The mark of a partner that is a sandbox; its source has to be one as well."""

    @classmethod
    def of(cls, source: str, told: governance_pb2.DataSource | authority_pb2.IssueGrantResponse) -> "Connector":
        """As governance tells it."""
        identity = told.connector_identity
        reset = told.sandbox_reset_time if told.HasField("sandbox_reset_time") else None
        mark = Sandbox(resets=told.sandbox_resets, reset_time=reset) if told.sandbox else None
        return cls(source, told.connector_address, identity.server_name, identity.authority, mark)


@dataclass(frozen=True)
class Limits:
    """How long a connector may keep us waiting, in seconds, and how much it may send in one call, in bytes."""

    unary: float = 20.0
    idle: float = 60.0
    total: float = 3600.0
    whole: float = 24 * 3600.0
    """As `total`, for what concerns a whole source."""
    answer: int = 64 * 1024**2
    export: int = 64 * 1024**3


class Connectors:
    """A client of `ConnectorService` at any address that the guard lets pass."""

    def __init__(self, channels: Channels, egress: EgressGuard, limits: Limits | None = None) -> None:
        self._channels = channels
        self._egress = egress
        self._limits = limits or Limits()

    async def _stub(self, connector: Connector) -> "ConnectorServiceAsyncStub":
        """At every call: the name may lead elsewhere by now. What is dialled is what was checked."""
        source = connector.source
        if not connector.address:
            text = "A second person has to confirm the data source's connector first."
            raise DsrError("CONNECTOR_UNCONFIRMED", text, source=source)
        host, port = host_and_port(connector.address, "connector_address")
        try:
            resolving = self._egress.resolve(host, port, "connector_address")
            addresses = await asyncio.wait_for(resolving, self._limits.unary)
            channel = self._channels.dial(addresses, port, connector.name or connector.address, connector.authority)
        except ValueError:
            raise DsrError("BACKEND_UNENCRYPTED", "The connector's address needs TLS.", source=source) from None
        except DsrError as error:
            if error.metadata.get("why") == "NO_ADDRESS":
                raise _unavailable(source) from None
            raise
        except TimeoutError:
            raise _unavailable(source) from None
        return ConnectorServiceStub(channel)

    async def describe(self, connector: Connector) -> pb.DescribeResponse:
        """What the source holds."""
        stub, source = await self._stub(connector), connector.source
        metadata = self._channels.metadata(source)
        request = pb.DescribeRequest(source=source)
        try:
            described: pb.DescribeResponse | None = await stub.Describe(
                request, timeout=self._limits.unary, metadata=metadata
            )
        except grpc.aio.AioRpcError as error:
            raise _translate(error, source) from None
        if described is None:  # what grpc.aio makes of bytes that are no message
            raise _inconsistent(source, "UNDECODABLE")
        if described.sandbox != (connector.sandbox is not None):
            # Before anybody is looked for: a connector that doesn't know of sandboxes would not refuse the mark.
            raise DsrError(
                "SANDBOX_MISMATCH",
                "The partner and what its connector serves are not of one sort.",
                source=source,
                expected="sandbox" if connector.sandbox else "live",
            )
        return described

    async def locate(self, connector: Connector, subject: pb.Subject, *, with_anchors: bool) -> Found:
        """Where the person is."""
        source = connector.source
        request = pb.LocateRequest(
            source=source, subjects=[subject], with_anchors=with_anchors, sandbox=connector.sandbox
        )
        located: pb.Located | None = None
        anchors: list[pb.Anchors] = []
        size = 0
        async for message in self._stream(connector, "Locate", request):
            kind = message.WhichOneof("result")
            if kind == "anchors":
                _same(message.anchors.subject_ref, subject.subject_ref, source)
                anchors.append(message.anchors)
                size += message.ByteSize()
                if size > MAX_ANCHOR_BYTES:
                    raise DsrError(
                        "CAP_EXCEEDED", "One person's anchors exceed 8 MiB.", source=source, cap="8388608", records="0"
                    )
            elif kind == "located":
                _same(message.located.subject_ref, subject.subject_ref, source)
                if located is not None:
                    raise _inconsistent(source, "LOCATED_TWICE")
                located = message.located
        if located is None:
            raise _inconsistent(source, "NOT_LOCATED")
        if any(c.records < 0 for c in located.collections):
            raise _inconsistent(source, "NEGATIVE_COUNT")
        asked = tuple((i.type, i.value) for i in subject.identities)
        return Found(asked, located, tuple(anchors))

    def export(self, connector: Connector, request: pb.ExportRequest) -> AsyncIterator[pb.ExportResponse]:
        """The raw stream of an export."""
        return self._stream(connector, "Export", request)

    async def erase(self, connector: Connector, request: pb.EraseRequest) -> pb.Erased:
        """Erases one person."""
        source = connector.source
        result: pb.Erased | None = None
        async for message in self._stream(connector, "Erase", request):
            if message.WhichOneof("result") == "erased":
                _same(message.erased.subject_ref, request.subjects[0].subject.subject_ref, source)
                result = message.erased
        if result is None:
            raise _inconsistent(source, "NO_OUTCOME")
        return result

    async def amend(self, connector: Connector, request: pb.AmendRequest) -> pb.Amended:
        """Sets one person's fields and flags, or says what would be set."""
        source = connector.source
        result: pb.Amended | None = None
        async for message in self._stream(connector, "Amend", request):
            if message.WhichOneof("result") == "amended":
                _same(message.amended.subject_ref, request.subject.subject_ref, source)
                result = message.amended
        if result is None:
            raise _inconsistent(source, "NO_OUTCOME")
        return result

    async def verify(self, connector: Connector, request: pb.VerifyRequest) -> pb.Verified:
        """What is left of one person."""
        source = connector.source
        if connector.sandbox is not None:
            request.sandbox.CopyFrom(connector.sandbox)
        result: pb.Verified | None = None
        async for message in self._stream(connector, "Verify", request):
            if message.WhichOneof("result") == "verified":
                _same(message.verified.subject_ref, request.subjects[0].subject.subject_ref, source)
                result = message.verified
        if result is None:
            raise _inconsistent(source, "NOT_VERIFIED")
        return result

    async def count_people(self, connector: Connector, request: pb.CountPeopleRequest) -> pb.PeopleTotals:
        """How many people a source has. Collections that contradict the totals end it: SOURCE_INCONSISTENT."""
        source, most, total = connector.source, 0, 0
        totals: pb.PeopleTotals | None = None
        async for message in self._stream(connector, "CountPeople", request):
            kind = message.WhichOneof("result")
            if totals is not None:
                raise _inconsistent(source, "AFTER_TOTALS")
            if kind == "count":
                most, total = max(most, message.count.people), total + message.count.people
            elif kind == "totals":
                totals = message.totals
        known = (pb.CERTAINTY_EXACT, pb.CERTAINTY_ESTIMATED)
        if totals is None or totals.certainty not in known or not most <= totals.people <= total:
            raise _inconsistent(source, "TOTALS")
        return totals

    async def list_inactive(
        self, connector: Connector, request: pb.ListInactiveRequest
    ) -> AsyncGenerator[pb.ListInactiveResponse, None]:
        """People by when they were last seen; the last message is the totals, and says what was listed."""
        source, listed = connector.source, 0
        totals: pb.InactiveTotals | None = None
        async for message in self._stream(connector, "ListInactive", request):
            kind = message.WhichOneof("result")
            if totals is not None:
                raise _inconsistent(source, "AFTER_TOTALS")
            if kind == "page":
                listed += len(message.page.identities)
            elif kind == "totals":
                totals = message.totals
                if totals.people < 0 or totals.unknown < 0 or (totals.people != listed and not request.count_only):
                    raise _inconsistent(source, "TOTALS")
            if kind in ("page", "totals"):
                yield message
        if totals is None:
            raise _inconsistent(source, "NO_TOTALS")

    def give_back(self, connector: Connector, request: pb.ReturnRequest) -> AsyncIterator[pb.ExportResponse]:
        """The raw stream of a return."""
        return self._stream(connector, "Return", request)

    async def destroy(self, connector: Connector, request: pb.DestroyRequest) -> pb.Destroyed:
        """Destroys, or counts, a whole source."""
        source = connector.source
        result: pb.Destroyed | None = None
        async for message in self._stream(connector, "Destroy", request):
            if result is not None:
                raise _inconsistent(source, "AFTER_RESULT")
            if message.WhichOneof("result") == "destroyed":
                result = message.destroyed
        if result is None:
            raise _inconsistent(source, "NO_OUTCOME")
        if any(c.destroyed < 0 or c.left < 0 for c in result.collections):
            raise _inconsistent(source, "NEGATIVE_COUNT")
        return result

    async def _stream(self, connector: Connector, rpc: str, request: Any) -> AsyncIterator[Any]:
        source = connector.source
        method = getattr(await self._stub(connector), rpc)
        total = self._limits.whole if rpc in _WHOLE else self._limits.total
        call = method(request, timeout=total, metadata=self._channels.metadata(source))
        size, most = 0, self._limits.export if rpc in _LONG else self._limits.answer
        try:
            while True:
                message = await asyncio.wait_for(call.read(), self._limits.idle)
                if message is grpc.aio.EOF:
                    return
                if message is None:  # what grpc.aio makes of bytes that are no message
                    raise _inconsistent(source, "UNDECODABLE")
                size += max(message.ByteSize(), _LEAST_MESSAGE)
                if size > most:
                    text = "The connector sends more than one call may bring."
                    raise DsrError("CAP_EXCEEDED", text, source=source, cap=str(most), records="0")
                yield message
        except TimeoutError:
            raise DsrError("SOURCE_TIMEOUT", "The connector took too long.", source=source) from None
        except grpc.aio.AioRpcError as error:
            raise _translate(error, source) from None
        finally:
            call.cancel()


def _same(found: str, expected: str, source: str) -> None:
    if found != expected:
        raise _inconsistent(source, "FOREIGN_SUBJECT")


def _inconsistent(source: str, why: str) -> DsrError:
    return DsrError("SOURCE_INCONSISTENT", "The connector's answer contradicts itself.", source=source, why=why)


def _unavailable(source: str) -> DsrError:
    return DsrError("SOURCE_UNAVAILABLE", "The connector can't be reached.", source=source)


def _translate(error: grpc.aio.AioRpcError, source: str) -> DsrError:
    info = from_rpc_error(error)
    if info is not None and info.reason in _NAMES_A_FIELD:
        # Governance repeats the name only where it is one of its own.
        field = f"{info.metadata.get('collection', '')}.{info.metadata.get('field', '')}"
        return DsrError(info.reason, "The connector could not set it.", source=source, field=field[:_LONGEST_NAME])
    if info is not None and info.reason in FROM_CONNECTORS and info.reason in CODES:
        # Only the code travels on: a partner's connector might put anything into a message.
        return DsrError(info.reason, "The connector could not do it.", source=source)
    code = error.code()
    if code is grpc.StatusCode.UNAVAILABLE:
        if any(words in (error.details() or "") for words in _UNTRUSTED):
            text = "Who answers at the connector's address is not who was confirmed: TLS failed."
            return DsrError("CONNECTOR_UNTRUSTED", text, source=source)
        return _unavailable(source)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DsrError("SOURCE_TIMEOUT", "The connector took too long.", source=source)
    return DsrError("SOURCE_REJECTED", "The connector rejected the call.", source=source, why=code.name)
