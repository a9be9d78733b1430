"""Lies about describing, locating and copying; and hanging."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from dsrkit.errors import DsrError, invalid
from tests.conformance.liar import Liar


class _Locates(Liar):
    """Changes what Locate answers."""

    def change(self, message: pb.LocateResponse) -> None:
        raise NotImplementedError

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        async for message in self.honest.locate(request):
            if message.HasField("located"):
                self.change(message)
            yield message


class LocatesTooFew(_Locates):
    """Overlooks a record."""

    def change(self, message: pb.LocateResponse) -> None:
        for count in message.located.collections:
            count.records -= 1


class ChangesFingerprints(_Locates):
    """A new fingerprint at every call."""

    def change(self, message: pb.LocateResponse) -> None:
        for count in message.located.collections:
            count.fingerprint = secrets.token_bytes(32)


class ForgetsTheAbsent(Liar):
    """No answer for people of whom nothing was found."""

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        async for message in self.honest.locate(request):
            if message.located.collections:
                yield message


class MatchesPrefixes(Liar):
    """C-1 also matches whatever begins with it."""

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        for subject in request.subjects:
            for identity in subject.identities:
                if identity.value.startswith("C-1"):
                    identity.value = "C-1"
        async for message in self.honest.locate(request):
            yield message


class IgnoresTypes(Liar):
    """Compares a value with fields of any type."""

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        for subject in request.subjects:
            for identity in subject.identities:
                identity.type = "customer_number"
        async for message in self.honest.locate(request):
            yield message


class HidesOutage(Liar):
    """A backend that is down looks empty."""

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        try:
            async for message in self.honest.locate(request):
                yield message
        except DsrError:
            for subject in request.subjects:
                yield pb.LocateResponse(located=pb.Located(subject_ref=subject.subject_ref))


class LeaksIdentities(Liar):
    """Repeats a value in an error."""

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        if request.subjects[0].identities[0].type == "conformance_unknown":
            raise invalid("subjects", f"no field for {request.subjects[0].identities[0].value}")
        async for message in self.honest.locate(request):
            yield message


class _Exports(Liar):
    """Changes what Export answers."""

    def change(self, message: pb.ExportResponse) -> bool:
        """Returns False to swallow the message."""
        raise NotImplementedError

    async def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        async for message in self.honest.export(request, grant):
            if self.change(message):
                yield message


class WrongHash(_Exports):
    """The checksum is of other bytes."""

    def change(self, message: pb.ExportResponse) -> bool:
        if message.HasField("trailer"):
            message.trailer.sha256 = hashlib.sha256(b"other").digest()
        return True


class WrongTotals(_Exports):
    """The totals are of another export."""

    def change(self, message: pb.ExportResponse) -> bool:
        if message.HasField("totals"):
            message.totals.records += 1
        return True


class NoTotals(_Exports):
    """Ends early, and says OK."""

    def change(self, message: pb.ExportResponse) -> bool:
        return not message.HasField("totals")


class GarbageLines(Liar):
    """Lines that are not JSON, correctly counted and hashed."""

    async def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        garbage = b"\xff\xfe not json\n"
        async for message in self.honest.export(request, grant):
            if message.HasField("data"):
                continue
            if message.HasField("trailer") and message.trailer.records:
                yield pb.ExportResponse(data=garbage * message.trailer.records)
                message.trailer.bytes = len(garbage) * message.trailer.records
                message.trailer.sha256 = hashlib.sha256(garbage * message.trailer.records).digest()
            yield message


class IgnoresInstructions(Liar):
    """Copies everything, whatever the grant says."""

    async def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        del grant.instructions[:]
        grant.instructions.extend(CollectionInstruction(collection=name) for name in ("avatars", "letters"))
        async for message in self.honest.export(request, grant):
            yield message


class EndlessExport(Liar):
    """Sends data without end."""

    async def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        yield pb.ExportResponse(header=pb.CollectionHeader(collection="letters"))
        while True:
            yield pb.ExportResponse(data=b"\n" * (1 << 20))


class EndlessProgress(Liar):
    """Sends signs of life, and nothing else, without end."""

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        while True:
            yield pb.LocateResponse(progress=pb.Progress(records=1))
            await asyncio.sleep(0.01)  # a trickle, so that it is the time and not the size that ends it


class ExportsSomebodyElse(Liar):
    """As many events, of another person."""

    async def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        other = pb.ExportRequest()
        other.CopyFrom(request)
        for identity in other.subject.identities:
            identity.value = "C-12"
        theirs, name, more = [], "", 0
        async for message in self.honest.export(other, grant):
            name = message.header.collection or name
            if name == "events" and not message.HasField("totals"):
                theirs.append(message)
        async for message in self.honest.export(request, grant):
            name = message.header.collection or name
            if message.HasField("totals"):
                message.totals.bytes += more
            elif name == "events":
                if message.HasField("trailer"):
                    more = sum(one.trailer.bytes for one in theirs) - message.trailer.bytes
                    for one in theirs:
                        yield one
                continue
            yield message


class ExportsOneRecordTwice(Liar):
    """And another one not at all; every number is right."""

    async def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        name, data, delta = "", b"", 0
        async for message in self.honest.export(request, grant):
            name = message.header.collection or name
            if name == "letters" and message.HasField("data"):
                data += message.data
                continue
            if name == "letters" and message.HasField("trailer"):
                lines = data.splitlines(keepends=True)
                twice = b"".join([lines[0], *lines[:-1]])
                delta = len(twice) - message.trailer.bytes
                message.trailer.bytes, message.trailer.sha256 = len(twice), hashlib.sha256(twice).digest()
                yield pb.ExportResponse(data=twice)
            if message.HasField("totals"):
                message.totals.bytes += delta
            yield message


class LocatesTwice(Liar):
    """Each person is told twice."""

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        async for message in self.honest.locate(request):
            yield message
            if message.HasField("located"):
                yield message


class HangsInLocate(Liar):
    """Takes the call and never answers."""

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        await asyncio.Event().wait()
        yield pb.LocateResponse()


class HangsInExport(Liar):
    """The same, for a copy."""

    async def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        await asyncio.Event().wait()
        yield pb.ExportResponse()


class HangsInVerify(Liar):
    """Accepts the call and never answers."""

    async def verify(self, request: pb.VerifyRequest) -> AsyncIterator[pb.VerifyResponse]:
        await asyncio.Event().wait()
        yield pb.VerifyResponse()


class HangsInDescribe(Liar):
    """The same, at the very first call."""

    async def describe(self) -> pb.DescribeResponse:
        await asyncio.Event().wait()
        raise AssertionError


class AnonymisesUnseen(Liar):
    """Would empty fields, and shows nobody that it did."""

    async def describe(self) -> pb.DescribeResponse:
        described = await self.honest.describe()
        described.capabilities[:] = [pb.CAPABILITY_ERASE, pb.CAPABILITY_ANONYMISE]
        return described


class DescribesNonsense(Liar):
    """A key of fields that don't exist."""

    async def describe(self) -> pb.DescribeResponse:
        described = await self.honest.describe()
        described.collections[0].primary_key.append("nothing")
        return described
