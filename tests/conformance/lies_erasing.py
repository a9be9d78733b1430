"""Lies about erasing and verifying."""

import asyncio
import secrets
from collections.abc import AsyncIterator

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from tests.conformance.liar import Liar


class DeletesNothing(Liar):
    """ "200 OK, deleted", and deletes nothing."""

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        for subject in request.subjects:
            counts = [
                pb.CollectionOutcome(collection=c.collection, deleted=c.records) for c in subject.expected if c.records
            ]
            erased = pb.Erased(
                subject_ref=subject.subject.subject_ref, outcome=pb.Erased.OUTCOME_ERASED, collections=counts
            )
            yield pb.EraseResponse(erased=erased)


class DeletesNothingAndVerifiesIt(DeletesNothing):
    """The same, and Verify confirms it."""

    async def verify(self, request: pb.VerifyRequest) -> AsyncIterator[pb.VerifyResponse]:
        for subject in request.subjects:
            yield pb.VerifyResponse(verified=pb.Verified(subject_ref=subject.subject.subject_ref))


class CountsTooMany(Liar):
    """One more than was erased."""

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        async for message in self.honest.erase(request, grant):
            for outcome in message.erased.collections:
                outcome.deleted += 1
            yield message


class SaysItTwice(Liar):
    """Each person is erased once, and told twice."""

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        async for message in self.honest.erase(request, grant):
            yield message
            if message.HasField("erased"):
                yield message


class HangsInErase(Liar):
    """Takes the call and never answers."""

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        await asyncio.Event().wait()
        yield pb.EraseResponse()


class ReplaysZero(Liar):
    """A retry after success is told that nothing was erased."""

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        async for message in self.honest.erase(request, grant):
            if message.erased.outcome == pb.Erased.OUTCOME_REPLAYED:
                message.erased.outcome = pb.Erased.OUTCOME_ERASED
                del message.erased.collections[:]
            yield message


class _Rewrites(Liar):
    """Changes the request before the honest backend sees it."""

    def rewrite(self, request: pb.EraseRequest, grant: Grant) -> None:
        raise NotImplementedError

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        self.rewrite(request, grant)
        async for message in self.honest.erase(request, grant):
            yield message


class IgnoresAttempts(_Rewrites):
    """Every attempt is the newest."""

    def rewrite(self, request: pb.EraseRequest, grant: Grant) -> None:
        grant.attempt = 1_000


class IgnoresTask(_Rewrites):
    """Not idempotent: every call is new."""

    def rewrite(self, request: pb.EraseRequest, grant: Grant) -> None:
        grant.task = secrets.token_hex(8)


class IgnoresCap(_Rewrites):
    """Caps are for others."""

    def rewrite(self, request: pb.EraseRequest, grant: Grant) -> None:
        for instruction in grant.instructions:
            instruction.cap = 1_000_000


class DeletesRetained(_Rewrites):
    """What was to be kept is gone."""

    def rewrite(self, request: pb.EraseRequest, grant: Grant) -> None:
        for instruction in grant.instructions:
            instruction.action = CollectionInstruction.ACTION_DELETE


class IgnoresExpected(_Rewrites):
    """Erases whatever is there by now."""

    def rewrite(self, request: pb.EraseRequest, grant: Grant) -> None:
        self._pending = request

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        subjects = [subject.subject for subject in request.subjects]
        async for message in self.honest.locate(pb.LocateRequest(source=grant.source, subjects=subjects)):
            for subject in request.subjects:
                if message.located.subject_ref == subject.subject.subject_ref:
                    del subject.expected[:]
                    subject.expected.extend(message.located.collections)
        async for answer in self.honest.erase(request, grant):
            yield answer


class DeletesNeighbours(Liar):
    """Takes the person whose number begins alike as well."""

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        async for message in self.honest.erase(request, grant):
            done = message.erased.outcome == pb.Erased.OUTCOME_ERASED
            if done and any(c.deleted for c in message.erased.collections):
                await self._take(request, grant)
            yield message

    async def _take(self, request: pb.EraseRequest, grant: Grant) -> None:
        neighbour = pb.Subject()
        neighbour.CopyFrom(request.subjects[0].subject)
        neighbour.identities[0].value = neighbour.identities[0].value[:-1]
        locate = pb.LocateRequest(source=grant.source, subjects=[neighbour])
        (found,) = [m.located async for m in self.honest.locate(locate) if m.HasField("located")]
        subject = pb.EraseSubject(subject=neighbour, expected=found.collections)
        other = Grant()
        other.CopyFrom(grant)
        other.task = f"{grant.task}-neighbour"
        async for _ in self.honest.erase(pb.EraseRequest(subjects=[subject]), other):
            pass


class VerifiesEverything(Liar):
    """Nothing is ever left."""

    async def verify(self, request: pb.VerifyRequest) -> AsyncIterator[pb.VerifyResponse]:
        for subject in request.subjects:
            yield pb.VerifyResponse(verified=pb.Verified(subject_ref=subject.subject.subject_ref))


class DestroysNothing(Liar):
    """Says that the whole source is destroyed."""

    async def destroy(self, request: pb.DestroyRequest, grant: Grant) -> AsyncIterator[pb.DestroyResponse]:
        counted = pb.DestroyRequest(count_only=True)
        async for message in super().destroy(counted, grant):
            if message.HasField("destroyed") and not request.count_only:
                message.destroyed.outcome = pb.Destroyed.OUTCOME_DESTROYED
                for count in message.destroyed.collections:
                    count.destroyed, count.left = count.left, 0
            yield message


class DestroysWhatWasNotReturned(Liar):
    """Looks at no cap and at no name."""

    async def destroy(self, request: pb.DestroyRequest, grant: Grant) -> AsyncIterator[pb.DestroyResponse]:
        del grant.instructions[:]
        for collection in (await self.honest.describe()).collections:
            delete = CollectionInstruction.ACTION_DELETE
            grant.instructions.add(collection=collection.name, action=delete, cap=1_000_000)
        async for message in super().destroy(request, grant):
            yield message


class ReturnsOneCollectionLess(Liar):
    """Forgets the avatars, and says so nowhere."""

    async def give_back(self, request: pb.ReturnRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        name, totals = "", pb.ExportTotals()
        async for message in super().give_back(request, grant):
            if message.HasField("totals"):
                totals.snapshot_time.CopyFrom(message.totals.snapshot_time)
                yield pb.ExportResponse(totals=totals)
                continue
            name = message.header.collection or name
            if name == "avatars":
                continue
            if message.HasField("trailer"):
                totals.collections += 1
                totals.records += message.trailer.records
                totals.bytes += message.trailer.bytes
            yield message
