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

    async def require(self, capability: "pb.Capability.ValueType") -> None:
        """METHOD_UNKNOWN unless the backend declares the capability."""
        if capability not in await self.capabilities():
            what = pb.Capability.Name(capability).removeprefix("CAPABILITY_")
            raise DsrError("METHOD_UNKNOWN", f"This source's connector doesn't declare {what}.")

    async def that(self, does: type[T], capability: "pb.Capability.ValueType") -> T:
        """The backend as one that does what the capability stands for. METHOD_UNKNOWN unless it declares it."""
        await self.require(capability)
        if not isinstance(self.backend, does):
            raise TypeError(f"a backend that declares {pb.Capability.Name(capability)} is one that {does.__name__}")
        return self.backend


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
        source, grant = await self._granted(request.grant, Grant.OPERATION_EXPORT)
        await source.require(pb.CAPABILITY_EXPORT)
        if request.cursor:
            await source.require(pb.CAPABILITY_EXPORT_RESUME)
        check_subject(request.subject)
        async for message in self._attempt(source, grant, lambda: source.backend.export(request, grant), context):
            meter.exported(self._kind(source), message)
            yield message

    async def Erase(self, request: pb.EraseRequest, context: Any) -> AsyncIterator[pb.EraseResponse]:
        source, grant = await self._granted(request.grant, Grant.OPERATION_ERASE)
        await source.require(pb.CAPABILITY_ERASE)
        if any(i.action == CollectionInstruction.ACTION_ANONYMISE for i in grant.instructions):
            await source.require(pb.CAPABILITY_ANONYMISE)
        check_subjects([subject.subject for subject in request.subjects], "subjects[{}].subject")
        check_expected(request.subjects)
        async for message in self._attempt(source, grant, lambda: source.backend.erase(request, grant), context):
            meter.erased(self._kind(source), message)
            yield message

    async def Verify(self, request: pb.VerifyRequest, context: Any) -> AsyncIterator[pb.VerifyResponse]:
        source = self._source(request.source)
        await source.require(pb.CAPABILITY_ERASE)
        check_subjects([subject.subject for subject in request.subjects], "subjects[{}].subject")
        check_instructions((i.collection for i in request.instructions), "instructions")
        await self._same_side(source, request.sandbox if request.HasField("sandbox") else None)
        async for message in self._read(Relay(source.backend.verify(request)), context):
            yield message

    async def CountPeople(self, request: pb.CountPeopleRequest, context: Any) -> AsyncIterator[pb.CountPeopleResponse]:
        source, grant = await self._granted(request.grant, Grant.OPERATION_COUNT)
        backend = await source.that(CountsPeople, pb.CAPABILITY_COUNT)
        async for message in self._read(Relay(backend.count_people(request, grant)), context):
            yield message

    async def ListInactive(
        self, request: pb.ListInactiveRequest, context: Any
    ) -> AsyncIterator[pb.ListInactiveResponse]:
        source, grant = await self._granted(request.grant, Grant.OPERATION_LIST_INACTIVE)
        backend = await source.that(ListsInactive, pb.CAPABILITY_INACTIVE)
        check_value(request.value, "value")
        async for message in self._read(Relay(backend.list_inactive(request, grant)), context):
            yield message

    async def Return(self, request: pb.ReturnRequest, context: Any) -> AsyncIterator[pb.ExportResponse]:
        source, grant = await self._granted(request.grant, Grant.OPERATION_RETURN)
        backend = await source.that(GivesBack, pb.CAPABILITY_RETURN)
        async for message in self._attempt(source, grant, lambda: backend.give_back(request, grant), context):
            meter.exported(self._kind(source), message)
            yield message

    async def Destroy(self, request: pb.DestroyRequest, context: Any) -> AsyncIterator[pb.DestroyResponse]:
        source, grant = await self._granted(request.grant, Grant.OPERATION_DESTROY)
        backend = await source.that(Destroys, pb.CAPABILITY_DESTROY)
        async for message in self._attempt(source, grant, lambda: backend.destroy(request, grant), context):
            yield message

    async def Amend(self, request: pb.AmendRequest, context: Any) -> AsyncIterator[pb.AmendResponse]:
        source, grant = await self._granted(request.grant, Grant.OPERATION_AMEND)
        backend = await source.that(Amends, pb.CAPABILITY_AMEND)
        check_amendments(grant, preview=request.preview)
        check_subject(request.subject)
        check_counts(request.expected, "expected")
        async for message in self._attempt(source, grant, lambda: backend.amend(request, grant), context):
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

    def _kind(self, source: Source) -> str:
        return self.kinds.get(source.name, "unknown")

    async def _granted(self, signed: SignedGrant, operation: "Grant.Operation.ValueType") -> tuple[Source, Grant]:
        """The source that the caller's token speaks for, and what governance signed for it."""
        source = self._source(current_caller().audience)
        grant = self.verifier.verify(signed, source.name, operation, self.clock(), sandbox=source.sandbox)
        check_instructions((i.collection for i in grant.instructions), "grant.instructions")
        if source.sandbox:
            await self._same_side(source, grant.sandbox)
        return source, grant

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
            await source.backend.begin_anew(mark)

    async def _attempt(
        self, source: Source, grant: Grant, begin: Callable[[], AsyncIterator[T]], context: Any
    ) -> AsyncIterator[T]:
        """The messages of a task's attempt. An earlier attempt has ended before it begins, or it doesn't begin."""
        task = f"{Grant.Operation.Name(grant.operation)} {grant.task}"
        relay = await self._attempts.start(source.name, task, grant.attempt, begin)
        async for message in self._read(relay, context):
            yield message

    async def _read(self, relay: Relay[T], context: Any) -> AsyncIterator[T]:
        """The relay's messages. Its work ends when the call does, even if nobody resumes this generator."""
        self._relays.add(relay)
        relay.task.add_done_callback(lambda _: self._relays.discard(relay))
        context.add_done_callback(lambda _: relay.stop())
        async for message in relay.messages():
            yield message
