"""Connectors, as the rights services call them. What a connector answers is checked, never believed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.connector_pb2_grpc import ConnectorServiceStub

from dsrkit.channels import Channels
from dsrkit.errors import CODES, DsrError, from_rpc_error
from dsrkit.requests.model import Found

if TYPE_CHECKING:
    from dsr.connector.v1.connector_pb2_grpc import ConnectorServiceAsyncStub

_FROM_CONNECTORS = frozenset(
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
        "RATE_LIMITED",
    }
)
MAX_ANCHOR_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """How long a connector may keep us waiting, in seconds."""

    unary: float = 20.0
    idle: float = 60.0
    total: float = 3600.0


class Connectors:
    """A client of `ConnectorService` at any address."""

    def __init__(self, channels: Channels, limits: Limits | None = None) -> None:
        self._channels = channels
        self._limits = limits or Limits()

    def _stub(self, address: str, source: str) -> "ConnectorServiceAsyncStub":
        try:
            return ConnectorServiceStub(self._channels.get(address))
        except ValueError:
            raise DsrError("BACKEND_UNENCRYPTED", "The connector's address needs TLS.", source=source) from None

    async def describe(self, address: str, source: str) -> pb.DescribeResponse:
        """What the source holds."""
        stub = self._stub(address, source)
        metadata = self._channels.metadata(source)
        try:
            return await stub.Describe(pb.DescribeRequest(source=source), timeout=self._limits.unary, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise _translate(error, source) from None

    async def locate(self, address: str, source: str, subject: pb.Subject, *, with_anchors: bool) -> Found:
        """Where the person is."""
        request = pb.LocateRequest(source=source, subjects=[subject], with_anchors=with_anchors)
        located: pb.Located | None = None
        anchors: list[pb.Anchors] = []
        size = 0
        async for message in self._stream(self._stub(address, source).Locate, request, source):
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

    def export(self, address: str, source: str, request: pb.ExportRequest) -> AsyncIterator[pb.ExportResponse]:
        """The raw stream of an export."""
        return self._stream(self._stub(address, source).Export, request, source)

    async def erase(self, address: str, source: str, request: pb.EraseRequest) -> pb.Erased:
        """Erases one person."""
        result: pb.Erased | None = None
        async for message in self._stream(self._stub(address, source).Erase, request, source):
            if message.WhichOneof("result") == "erased":
                _same(message.erased.subject_ref, request.subjects[0].subject.subject_ref, source)
                result = message.erased
        if result is None:
            raise _inconsistent(source, "NO_OUTCOME")
        return result

    async def verify(self, address: str, source: str, request: pb.VerifyRequest) -> pb.Verified:
        """What is left of one person."""
        result: pb.Verified | None = None
        async for message in self._stream(self._stub(address, source).Verify, request, source):
            if message.WhichOneof("result") == "verified":
                _same(message.verified.subject_ref, request.subjects[0].subject.subject_ref, source)
                result = message.verified
        if result is None:
            raise _inconsistent(source, "NOT_VERIFIED")
        return result

    async def _stream(self, method: Any, request: Any, source: str) -> AsyncIterator[Any]:
        call = method(request, timeout=self._limits.total, metadata=self._channels.metadata(source))
        try:
            while True:
                message = await asyncio.wait_for(call.read(), self._limits.idle)
                if message is grpc.aio.EOF:
                    return
                if message is None:  # what grpc.aio makes of bytes that are no message
                    raise _inconsistent(source, "UNDECODABLE")
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


def _translate(error: grpc.aio.AioRpcError, source: str) -> DsrError:
    info = from_rpc_error(error)
    if info is not None and info.reason in _FROM_CONNECTORS and info.reason in CODES:
        # Only the code travels on: a partner's connector might put anything into a message.
        return DsrError(info.reason, "The connector could not do it.", source=source)
    code = error.code()
    if code is grpc.StatusCode.UNAVAILABLE:
        return DsrError("SOURCE_UNAVAILABLE", "The connector can't be reached.", source=source)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DsrError("SOURCE_TIMEOUT", "The connector took too long.", source=source)
    return DsrError("SOURCE_REJECTED", "The connector rejected the call.", source=source, why=code.name)
