"""Rules about grants: nothing is copied, erased or amended without a good one."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import Message

from dsr.conformance.bench import Bench
from dsr.conformance.check import Check, NotApplicable, require
from dsr.conformance.checks import amend, requests
from dsr.conformance.grants import GrantKey
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant, SignedGrant

_OPERATIONS = (
    ("Export", pb.CAPABILITY_EXPORT, Grant.OPERATION_EXPORT),
    ("Erase", pb.CAPABILITY_ERASE, Grant.OPERATION_ERASE),
    ("Amend", pb.CAPABILITY_AMEND, Grant.OPERATION_AMEND),
)
_OTHERS = (
    ("ListInactive", pb.CAPABILITY_INACTIVE, Grant.OPERATION_LIST_INACTIVE),
    ("CountPeople", pb.CAPABILITY_COUNT, Grant.OPERATION_COUNT),
)
"""What carries no instructions."""


class _GrantCheck(Check):
    code = "PERMISSION_DENIED / GRANT_INVALID"
    caller = "gets a new grant, then retries once"
    remedy = (
        "Verify the signature over the bytes received, then source, operation, task and times, before anything else."
    )

    def spoil(self, bench: Bench, grant: Grant) -> SignedGrant | None:
        """The grant that must be refused; `grant` would be good. None: none at all."""
        raise NotImplementedError

    async def run(self, bench: Bench) -> None:
        """Every declared operation must refuse it, and nothing may have happened."""
        tried = False
        for rpc, capability, operation in (*_OPERATIONS, *_OTHERS):
            if await bench.declares(capability):
                tried = True
                grant = bench.grant(operation, [requests.instruct(name) for name in await bench.personal()])
                request = self._request(bench, rpc, self.spoil(bench, grant), grant)
                requests.refused(await bench.call(rpc, request), self, rpc)
        if not tried:
            raise NotApplicable("nothing that needs a grant is declared")

    def _request(self, bench: Bench, rpc: str, signed: SignedGrant | None, grant: Grant) -> Message:
        person = bench.material.present
        if rpc == "Export":
            return pb.ExportRequest(grant=signed, subject=person.subject("one"))
        if rpc == "ListInactive":
            return pb.ListInactiveRequest(grant=signed, count_only=True)
        if rpc == "Amend":
            request = amend.harmless(bench, grant, person)
            if signed is not None:
                request.grant.CopyFrom(signed)
            return request
        if rpc == "CountPeople":
            return pb.CountPeopleRequest(grant=signed)
        return pb.EraseRequest(grant=signed, subjects=requests.harmless(bench, person, list(grant.instructions)))


class NoGrant(_GrantCheck):
    rule = "grant.none"
    condition = "no grant"
    code = "INVALID_ARGUMENT / FIELD_REQUIRED"
    meaning = "Nothing is done without permission."

    def spoil(self, bench: Bench, grant: Grant) -> SignedGrant | None:
        return None


class Unsigned(_GrantCheck):
    rule = "grant.bad-signature"
    condition = "64 bytes that are no signature"
    meaning = "Not governance's."

    def spoil(self, bench: Bench, grant: Grant) -> SignedGrant:
        signed = bench.sign(grant)
        return SignedGrant(grant=signed.grant, key_id=signed.key_id, signature=b"\1" * 64)


class Tampered(_GrantCheck):
    rule = "grant.tampered"
    condition = "a grant with its attempt, or one cap, raised after it was signed"
    meaning = "Not what governance signed."

    def spoil(self, bench: Bench, grant: Grant) -> SignedGrant:
        signed = bench.sign(grant)
        changed = Grant.FromString(signed.grant)
        changed.attempt += 1
        for instruction in changed.instructions:
            instruction.cap += 1
        return SignedGrant(grant=changed.SerializeToString(), key_id=signed.key_id, signature=signed.signature)


class OtherKey(_GrantCheck):
    rule = "grant.other-key"
    condition = "a grant signed by another key under the known key id"
    meaning = "Not governance's."

    def spoil(self, bench: Bench, grant: Grant) -> SignedGrant:
        return GrantKey(bench.key.key_id, Ed25519PrivateKey.generate()).sign(grant)


class UnknownKey(_GrantCheck):
    rule = "grant.unknown-key"
    condition = "a grant under an unknown key id"
    meaning = "The key isn't trusted, or not any more."

    def spoil(self, bench: Bench, grant: Grant) -> SignedGrant:
        return GrantKey("nobody", Ed25519PrivateKey.generate()).sign(grant)


class NotAGrant(_GrantCheck):
    rule = "grant.garbage"
    condition = "signed bytes that are no grant"
    meaning = "It can't be read."

    def spoil(self, bench: Bench, grant: Grant) -> SignedGrant:
        payload = b"\xff\xff\xff\xff"
        signature = bench.key.private_key.sign(b"dsr.connector.v1.Grant\0" + payload)
        return SignedGrant(grant=payload, key_id=bench.key.key_id, signature=signature)


class Expired(_GrantCheck):
    rule = "grant.expired"
    condition = "an expired grant"
    meaning = "A hold may have been placed since."

    def spoil(self, bench: Bench, grant: Grant) -> SignedGrant:
        return bench.key.sign(grant, issued=datetime.now(UTC) - timedelta(minutes=10))


class NotYet(_GrantCheck):
    rule = "grant.not-yet"
    condition = "a grant issued an hour from now"
    meaning = "Its time can't be trusted."

    def spoil(self, bench: Bench, grant: Grant) -> SignedGrant:
        return bench.key.sign(grant, issued=datetime.now(UTC) + timedelta(hours=1))


class TooLong(_GrantCheck):
    rule = "grant.too-long"
    condition = "a grant that lives longer than 5 minutes"
    meaning = "It would outlive a hold."

    def spoil(self, bench: Bench, grant: Grant) -> SignedGrant:
        return bench.key.sign(grant, lifetime=timedelta(hours=1))


class OtherSource(_GrantCheck):
    rule = "grant.other-source"
    condition = "a grant for another source"
    meaning = "Permission is for one source."

    def spoil(self, bench: Bench, grant: Grant) -> SignedGrant:
        grant.source = f"{bench.source}-other"
        return bench.sign(grant)


class OtherOperation(_GrantCheck):
    rule = "grant.other-operation"
    condition = "a grant for the other operation"
    meaning = "Permission to copy isn't permission to erase."

    def spoil(self, bench: Bench, grant: Grant) -> SignedGrant:
        erase = grant.operation == Grant.OPERATION_ERASE
        grant.operation = Grant.OPERATION_EXPORT if erase else Grant.OPERATION_ERASE
        return bench.sign(grant)


class OtherSandbox(_GrantCheck):
    rule = "grant.other-sandbox"
    condition = "a grant with a sandbox's mark for a live source, or without it for a sandbox"
    meaning = "Made-up people and real ones are never mixed."
    remedy = "Compare whether the grant has `sandbox` with what your Describe says."

    def spoil(self, bench: Bench, grant: Grant) -> SignedGrant:
        if grant.HasField("sandbox"):
            grant.ClearField("sandbox")
        else:
            grant.sandbox.SetInParent()
        return bench.sign(grant)


class NoTask(_GrantCheck):
    rule = "grant.no-task"
    condition = "a grant without task or attempt"
    meaning = "Nothing could be repeated safely."

    def spoil(self, bench: Bench, grant: Grant) -> SignedGrant:
        grant.task = ""
        grant.attempt = 0
        return bench.sign(grant)


class ForeignInstruction(Check):
    rule = "grant.unknown-collection"
    condition = "an instruction for a collection that the source doesn't have"
    code = "INVALID_ARGUMENT / FIELD_INVALID"
    meaning = "The data map is out of date; what the instruction was about would be left undone in silence."
    caller = "stops; the data map is compared with Describe"
    remedy = "Check every instruction against your collections before you begin."

    async def run(self, bench: Bench) -> None:
        """Every declared operation must refuse it."""
        for rpc, request in await _instructed(bench, "conformance.nothing"):
            requests.refused(await bench.call(rpc, request), self, rpc)


async def _instructed(bench: Bench, *collections: str) -> list[tuple[str, Message]]:
    """Requests of the declared operations with these instructions; an Amend has none."""
    person = bench.material.present
    found: list[tuple[str, Message]] = []
    for rpc, capability, operation in _OPERATIONS:
        if await bench.declares(capability):
            instructions = [requests.instruct(name) for name in collections]
            signed = bench.sign(bench.grant(operation, instructions))
            if rpc == "Export":
                found.append((rpc, requests.export(signed, person)))
            elif rpc == "Erase":
                subjects = requests.harmless(bench, person, instructions)
                found.append((rpc, pb.EraseRequest(grant=signed, subjects=subjects)))
    require(found, "neither EXPORT nor ERASE is declared")
    return found


class DoubleInstruction(Check):
    rule = "grant.double-instruction"
    condition = "two instructions for one collection"
    code = "INVALID_ARGUMENT / FIELD_INVALID"
    meaning = "Which one holds would be a guess."
    caller = "doesn't retry; an engineer looks"
    remedy = "Refuse a collection that is named twice."

    async def run(self, bench: Bench) -> None:
        """Every declared operation must refuse it."""
        name = next(iter(await bench.personal()))
        for rpc, request in await _instructed(bench, name, name):
            requests.refused(await bench.call(rpc, request), self, rpc)


def _checks() -> Iterator[Check]:
    yield from (NoGrant(), Unsigned(), Tampered(), OtherKey(), UnknownKey(), NotAGrant(), Expired(), NotYet())
    yield from (
        TooLong(),
        OtherSource(),
        OtherOperation(),
        OtherSandbox(),
        NoTask(),
        ForeignInstruction(),
        DoubleInstruction(),
    )


CHECKS: Sequence[Check] = tuple(_checks())
