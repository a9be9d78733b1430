"""One gRPC server for many sources. Everything that doesn't depend on the kind of backend is decided here."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.connector_pb2_grpc import ConnectorServiceServicer
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant, Sandbox, SignedGrant

from connectors import meter
from connectors.attempts import Attempts, Relay
from connectors.backend import Amends, Backend, BeginsAnew, CountsPeople, Destroys, GivesBack, ListsInactive
from connectors.limits import (
    check_amendments,
    check_counts,
    check_expected,
    check_instructions,
    check_subject,
    check_subjects,
    check_value,
)
from dsrkit.auth import current_caller
from dsrkit.errors import DsrError, not_found
from dsrkit.grants import GrantVerifier

T = TypeVar("T")

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["ConnectorService"].full_name


@dataclass
class Source:
    """One source, and what its backend can do once that has been asked."""

    name: str
    backend: Backend
    sandbox: bool
    _capabilities: frozenset["pb.Capability.ValueType"] | None = None

    async def capabilities(self) -> frozenset["pb.Capability.ValueType"]:
        """What the backend declares. Asked once: a kind doesn't learn new things while it runs."""
        if self._capabilities is None:
            self._capabilities = frozenset((await self.backend.describe()).capabilities)
        return self._capabilities

    async def require(self, capability: "pb.Capability.ValueType", what: str) -> None:
        """METHOD_UNKNOWN unless the backend declares the capability."""
        if capability not in await self.capabilities():
            raise DsrError("METHOD_UNKNOWN", f"This source's connector doesn't declare {what}.")


@dataclass
class ConnectorHost(ConnectorServiceServicer):
    """The servicer. `backends` by source name; they are opened by their first call and closed by `close`."""

    backends: Mapping[str, Backend]
    verifier: GrantVerifier
    clock: Callable[[], datetime]
    kinds: Mapping[str, str] = field(default_factory=dict)
    """Of the backends, as metrics name them."""
    sandboxes: Collection[str] = ()
    """Names of the sources that are sandboxes; every other one is live."""
    _attempts: Attempts = field(default_factory=Attempts)
    _relays: set[Relay[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._sources = {name: Source(name, backend, name in self.sandboxes) for name, backend in self.backends.items()}

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeResponse:
        source = self._source(request.source)
        described = await source.backend.describe()
        described.sandbox = source.sandbox
        return described

    async def Probe(self, request: pb.ProbeRequest, context: Any) -> pb.ProbeResponse:
        return await self._source(request.source).backend.probe()

    async def Locate(self, request: pb.LocateRequest, context: Any) -> AsyncIterator[pb.LocateResponse]:
        source = self._source(request.source)
        check_subjects(request.subjects)
        await self._same_side(source, request.sandbox if request.HasField("sandbox") else None)
        async for message in self._read(Relay(source.backend.locate(request)), context):
            yield message

    async def Export(self, request: pb.ExportRequest, context: Any) -> AsyncIterator[pb.ExportResponse]:
        source = self._source(current_caller().audience)
        grant = await self._grant(request.grant, source, Grant.OPERATION_EXPORT)
        await source.require(pb.CAPABILITY_EXPORT, "EXPORT")
        if request.cursor:
            await source.require(pb.CAPABILITY_EXPORT_RESUME, "EXPORT_RESUME")
        check_subject(request.subject)
        relay = await self._attempts.start(
            source.name, f"export {grant.task}", grant.attempt, lambda: source.backend.export(request, grant)
        )
        kind = self.kinds.get(source.name, "unknown")
        async for message in self._read(relay, context):
            meter.exported(kind, message)
            yield message

    async def Erase(self, request: pb.EraseRequest, context: Any) -> AsyncIterator[pb.EraseResponse]:
        source = self._source(current_caller().audience)
        grant = await self._grant(request.grant, source, Grant.OPERATION_ERASE)
        await source.require(pb.CAPABILITY_ERASE, "ERASE")
        if any(i.action == CollectionInstruction.ACTION_ANONYMISE for i in grant.instructions):
            await source.require(pb.CAPABILITY_ANONYMISE, "ANONYMISE")
        check_subjects([subject.subject for subject in request.subjects], "subjects[{}].subject")
        check_expected(request.subjects)
        relay = await self._attempts.start(
            source.name, f"erase {grant.task}", grant.attempt, lambda: source.backend.erase(request, grant)
        )
        kind = self.kinds.get(source.name, "unknown")
        async for message in self._read(relay, context):
            meter.erased(kind, message)
            yield message

    async def Verify(self, request: pb.VerifyRequest, context: Any) -> AsyncIterator[pb.VerifyResponse]:
        source = self._source(request.source)
        await source.require(pb.CAPABILITY_ERASE, "ERASE")
        check_subjects([subject.subject for subject in request.subjects], "subjects[{}].subject")
        check_instructions((i.collection for i in request.instructions), "instructions")
        await self._same_side(source, request.sandbox if request.HasField("sandbox") else None)
        async for message in self._read(Relay(source.backend.verify(request)), context):
            yield message

    async def CountPeople(self, request: pb.CountPeopleRequest, context: Any) -> AsyncIterator[pb.CountPeopleResponse]:
        source = self._source(current_caller().audience)
        grant = await self._grant(request.grant, source, Grant.OPERATION_COUNT)
        await source.require(pb.CAPABILITY_COUNT, "COUNT")
        if not isinstance(source.backend, CountsPeople):
            raise TypeError("a backend that declares COUNT has count_people")
        async for message in self._read(Relay(source.backend.count_people(request, grant)), context):
            yield message

    async def ListInactive(
        self, request: pb.ListInactiveRequest, context: Any
    ) -> AsyncIterator[pb.ListInactiveResponse]:
        source = self._source(current_caller().audience)
        grant = await self._grant(request.grant, source, Grant.OPERATION_LIST_INACTIVE)
        await source.require(pb.CAPABILITY_INACTIVE, "INACTIVE")
        if not isinstance(source.backend, ListsInactive):
            raise TypeError("a backend that declares INACTIVE has list_inactive")
        check_value(request.value, "value")
        async for message in self._read(Relay(source.backend.list_inactive(request, grant)), context):
            yield message

    async def Return(self, request: pb.ReturnRequest, context: Any) -> AsyncIterator[pb.ExportResponse]:
        source = self._source(current_caller().audience)
        grant = await self._grant(request.grant, source, Grant.OPERATION_RETURN)
        await source.require(pb.CAPABILITY_RETURN, "RETURN")
        backend = source.backend
        if not isinstance(backend, GivesBack):
            raise TypeError("a backend that declares RETURN has give_back")
        relay = await self._attempts.start(
            source.name, f"return {grant.task}", grant.attempt, lambda: backend.give_back(request, grant)
        )
        kind = self.kinds.get(source.name, "unknown")
        async for message in self._read(relay, context):
            meter.exported(kind, message)
            yield message

    async def Destroy(self, request: pb.DestroyRequest, context: Any) -> AsyncIterator[pb.DestroyResponse]:
        source = self._source(current_caller().audience)
        grant = await self._grant(request.grant, source, Grant.OPERATION_DESTROY)
        await source.require(pb.CAPABILITY_DESTROY, "DESTROY")
        backend = source.backend
        if not isinstance(backend, Destroys):
            raise TypeError("a backend that declares DESTROY has destroy")
        relay = await self._attempts.start(
            source.name, f"destroy {grant.task}", grant.attempt, lambda: backend.destroy(request, grant)
        )
        async for message in self._read(relay, context):
            yield message

    async def Amend(self, request: pb.AmendRequest, context: Any) -> AsyncIterator[pb.AmendResponse]:
        source = self._source(current_caller().audience)
        grant = await self._grant(request.grant, source, Grant.OPERATION_AMEND)
        await source.require(pb.CAPABILITY_AMEND, "AMEND")
        if not isinstance(source.backend, Amends):
            raise TypeError("a backend that declares AMEND has amend")
        check_amendments(grant, preview=request.preview)
        check_subject(request.subject)
        check_counts(request.expected, "expected")
        backend = source.backend
        relay = await self._attempts.start(
            source.name, f"amend {grant.task}", grant.attempt, lambda: backend.amend(request, grant)
        )
        async for message in self._read(relay, context):
            yield message

    async def close(self) -> None:
        """Waits for the backends' last work, then closes them. Called when the server has drained."""
        for relay in list(self._relays):
            relay.stop()
            await relay.ended()
        for source in self._sources.values():
            await source.backend.close()

    def _source(self, name: str) -> Source:
        """The source of that name. A token speaks for one source: for it, every other one doesn't exist."""
        source = self._sources.get(name)
        if source is None or current_caller().audience != name:
            raise not_found("data source")
        return source

    async def _grant(self, signed: SignedGrant, source: Source, operation: "Grant.Operation.ValueType") -> Grant:
        grant = self.verifier.verify(signed, source.name, operation, self.clock(), sandbox=source.sandbox)
        check_instructions((i.collection for i in grant.instructions), "grant.instructions")
        if source.sandbox:
            await self._same_side(source, grant.sandbox)
        return grant

    async def _same_side(self, source: Source, mark: Sandbox | None) -> None:
        """SANDBOX_MISMATCH unless the call is of the source's own sort; a sandbox that was reset begins anew first."""
        if (mark is not None) != source.sandbox:
            raise DsrError(
                "SANDBOX_MISMATCH",
                "The call and the data source are not of one sort.",
                source=source.name,
                expected="sandbox" if source.sandbox else "live",
            )
        if mark is not None and isinstance(source.backend, BeginsAnew):
            await source.backend.begin_anew(mark.resets)

    async def _read(self, relay: Relay[T], context: Any) -> AsyncIterator[T]:
        """The relay's messages. Its work ends when the call does, even if nobody resumes this generator."""
        self._relays.add(relay)
        relay.task.add_done_callback(lambda _: self._relays.discard(relay))
        context.add_done_callback(lambda _: relay.stop())
        async for message in relay.messages():
            yield message
