"""The sandbox as a source: its answers are honest but for people who are there to see a fault."""

import asyncio
import hmac
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant, Sandbox
from dsr.v1.subject_pb2 import Identity

from connectors import anchors
from connectors.backend import SourceConfig
from connectors.copying import check_instructions, stream
from connectors.sandbox.amend import amend
from connectors.sandbox.erase import becomes, check_anonymise, erase
from connectors.sandbox.faults import Faults
from connectors.sandbox.people import count_people, list_inactive
from connectors.sandbox.seed import KINDS
from connectors.sandbox.store import Found, Store, person
from connectors.sandbox.whole import destroy
from dsrkit.errors import DsrError

_ABLE = (
    pb.CAPABILITY_EXPORT,
    pb.CAPABILITY_ERASE,
    pb.CAPABILITY_ANONYMISE,
    pb.CAPABILITY_ATOMIC,
    pb.CAPABILITY_AMEND,
    pb.CAPABILITY_INACTIVE,
    pb.CAPABILITY_COUNT,
    pb.CAPABILITY_RETURN,
    pb.CAPABILITY_DESTROY,
)
_SHAPES = {name: kind.shape for name, kind in KINDS.items()}


class SandboxBackend:
    """`Backend` over a file of its own."""

    def __init__(self, config: SourceConfig) -> None:
        self._source = config.source
        self._key = config.fingerprint_key
        self._store = Store(config.state_dir / "sandbox.db", config.source)
        self._faults = Faults(self._store, config.source)

    async def begin_anew(self, mark: Sandbox) -> None:
        await asyncio.to_thread(self._store.begin_anew, mark)

    async def describe(self) -> pb.DescribeResponse:
        collections = [kind.described() for kind in KINDS.values()]
        return pb.DescribeResponse(connector="sandbox", version="1", capabilities=_ABLE, collections=collections)

    async def probe(self) -> pb.ProbeResponse:
        try:
            await asyncio.to_thread(self._store.find, pb.Subject())
        except DsrError:
            return pb.ProbeResponse(reachable=False)
        response = pb.ProbeResponse(reachable=True, encrypted_in_transit=True)
        for name, kind in KINDS.items():
            if kind.identities:
                response.permissions.add(operation=f"{name}: delete", allowed=True)
        response.backend_time.GetCurrentTime()
        return response

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        for subject in request.subjects:
            async for message in self._faults.before_locate(subject):
                yield message
            found, reference = await asyncio.to_thread(self._store.find, subject), subject.subject_ref
            for name, rows in found.items() if request.with_anchors else ():
                for field in KINDS[name].identities:
                    values = sorted({str(row[field]) for row in rows if row.get(field)})
                    for message_ in anchors.write(reference, name, [field], [[value] for value in values]):
                        yield pb.LocateResponse(anchors=message_)
            located = pb.Located(subject_ref=reference, collections=self._counts(found))
            located.findings.extend(self._faults.findings(subject))
            for name, rows in found.items():
                for row in rows:
                    key = person(row) if KINDS[name].people else ""
                    if key:
                        located.people.add(collection=name, person=key)
                    for field, kind in KINDS[name].identities.items():
                        if row.get(field):
                            known = Identity(type=kind, value=row[field])
                            located.identities.add(identity=known, collection=name, unique=True, person=key)
            yield pb.LocateResponse(located=located)

    async def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        check_instructions(_SHAPES, grant)
        found = await asyncio.to_thread(self._store.find, request.subject)
        async for message in _copied(found, grant):
            yield self._faults.exported(request.subject, message)

    async def give_back(self, request: pb.ReturnRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        everything = await asyncio.to_thread(self._store.everything)
        whole = Grant(instructions=[CollectionInstruction(collection=name) for name in everything])
        async for message in _copied(everything, whole):
            yield message

    async def destroy(self, request: pb.DestroyRequest, grant: Grant) -> AsyncIterator[pb.DestroyResponse]:
        check_instructions(_SHAPES, grant)
        blocking = await asyncio.to_thread(self._faults.blocking)
        destroyed = await asyncio.to_thread(destroy, self._store, grant, blocking, count_only=request.count_only)
        yield pb.DestroyResponse(destroyed=destroyed)

    async def list_inactive(
        self, request: pb.ListInactiveRequest, grant: Grant
    ) -> AsyncIterator[pb.ListInactiveResponse]:
        everything = await asyncio.to_thread(self._store.everything)
        for message in list_inactive(everything, request, grant.inactivity, self._source, self._faults.is_back):
            yield message

    async def count_people(self, request: pb.CountPeopleRequest, grant: Grant) -> AsyncIterator[pb.CountPeopleResponse]:
        for message in count_people(await asyncio.to_thread(self._store.everything)):
            yield message

    async def amend(self, request: pb.AmendRequest, grant: Grant) -> AsyncIterator[pb.AmendResponse]:
        self._faults.before_amend(request.subject)
        forgets = self._faults.forgets(request.subject)
        amended = await asyncio.to_thread(amend, self._store, request, grant, self._counts, forgets=forgets)
        yield pb.AmendResponse(amended=amended)

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        check_instructions(_SHAPES, grant)
        check_anonymise(grant)
        for subject in request.subjects:
            answer = await asyncio.to_thread(self._erase, subject, grant)
            yield pb.EraseResponse(erased=answer)

    def _erase(self, wanted: pb.EraseSubject, grant: Grant) -> pb.Erased:
        fault = self._faults.before_erase(wanted.subject)
        if fault is not None:
            return fault
        erased = erase(self._store, wanted, grant, self._counts)
        self._faults.after_erase(wanted.subject)
        return erased

    async def verify(self, request: pb.VerifyRequest) -> AsyncIterator[pb.VerifyResponse]:
        instructions = {i.collection: i for i in request.instructions}
        for index, wanted in enumerate(request.subjects):
            known = [
                (a.collection, a.fields[0], anchors.read(value, 1, f"subjects[{index}].anchors")[0])
                for a in wanted.anchors
                for value in a.values
            ]
            found = await asyncio.to_thread(self._store.find, wanted.subject, known)
            verified = pb.Verified(subject_ref=wanted.subject.subject_ref)
            for name, rows in found.items():
                explained = sum(_explained(instructions.get(name), row) for row in rows)
                left = len(rows) - explained
                fields = list(KINDS[name].identities) if left else []
                verified.remnants.add(collection=name, explained=explained, unexplained=left, fields=fields)
            yield pb.VerifyResponse(verified=verified)

    async def close(self) -> None: ...

    def _counts(self, found: Found) -> list[pb.CollectionCount]:
        """Numbers and fingerprints, which are keyed: they say nothing of the rows to anybody else."""
        return [
            pb.CollectionCount(
                collection=name,
                records=len(rows),
                fingerprint=hmac.digest(self._key, json.dumps([name, rows]).encode(), "sha256"),
            )
            for name, rows in found.items()
        ]


async def _copied(found: Found, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
    """The collections that the grant names, out of what was found now."""

    async def lines(collection: str, included: Sequence[str]) -> AsyncGenerator[bytes, None]:
        for row in found.get(collection, ()):
            yield json.dumps({name: row.get(name) for name in included}).encode() + b"\n"

    async for message in stream(_SHAPES, grant, datetime.now(UTC), lines):
        yield message


def _explained(instruction: CollectionInstruction | None, row: dict[str, object]) -> bool:
    """Whether the instructions say why a record is still there."""
    if instruction is None or instruction.action == CollectionInstruction.ACTION_RETAIN:
        return instruction is not None
    emptied = instruction.action == CollectionInstruction.ACTION_ANONYMISE
    return emptied and all(row.get(a.field) == becomes(a) for a in instruction.anonymise)
