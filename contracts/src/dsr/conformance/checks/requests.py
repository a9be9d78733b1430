"""Requests that are right in every respect, for checks to spoil in one."""

from collections.abc import Sequence

from dsr.conformance.bench import Answer, Bench
from dsr.conformance.check import Check, Failed, require
from dsr.conformance.material import Person
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant, SignedGrant

DELETE = CollectionInstruction.ACTION_DELETE
RETAIN = CollectionInstruction.ACTION_RETAIN
NO_FINGERPRINT = b"\0" * 32
"""A fingerprint that no set of records has: an Erase that expects it must touch nothing."""


def instruct(
    collection: str, action: "CollectionInstruction.Action.ValueType" = DELETE, cap: int = 100_000
) -> CollectionInstruction:
    """An instruction."""
    return CollectionInstruction(collection=collection, action=action, cap=cap, reason="conformance")


def locate(bench: Bench, subjects: Sequence[pb.Subject], anchors: bool = False) -> pb.LocateRequest:
    """A Locate."""
    return pb.LocateRequest(source=bench.source, subjects=subjects, with_anchors=anchors)


async def located(bench: Bench, *subjects: pb.Subject) -> dict[str, pb.Located]:
    """What Locate says of each subject, by reference."""
    messages = await bench.answer("Locate", locate(bench, subjects))
    found = [m.located for m in messages if m.WhichOneof("result") == "located"]
    by_reference = {located.subject_ref: located for located in found}
    require(len(by_reference) == len(found), "Locate sent more than one `located` for a subject")
    return by_reference


async def locate_one(bench: Bench, person: Person) -> pb.Located:
    """What Locate says of one person. Failed if it says nothing."""
    found = await located(bench, person.subject("one"))
    require("one" in found, "Locate sent no `located` for the subject")
    return found["one"]


def records(located: pb.Located) -> dict[str, int]:
    """Collection to number of records."""
    return {count.collection: count.records for count in located.collections if count.records}


def state(located: pb.Located) -> dict[str, tuple[int, bytes]]:
    """Collection to number and fingerprint."""
    return {c.collection: (c.records, c.fingerprint) for c in located.collections if c.records}


async def export_grant(bench: Bench) -> Grant:
    """A grant to export everything that holds personal data."""
    return bench.grant(Grant.OPERATION_EXPORT, [instruct(name) for name in await bench.personal()])


def export(grant: SignedGrant, person: Person) -> pb.ExportRequest:
    """An Export."""
    return pb.ExportRequest(grant=grant, subject=person.subject("one"))


def expect(located: pb.Located, instructions: Sequence[CollectionInstruction]) -> list[pb.CollectionCount]:
    """`expected` of an Erase: one entry per collection instructed or located, 0 records where none was."""
    counts = {count.collection: count for count in located.collections}
    for instruction in instructions:
        counts.setdefault(instruction.collection, pb.CollectionCount(collection=instruction.collection))
    return list(counts.values())


def harmless(bench: Bench, person: Person, instructions: Sequence[CollectionInstruction]) -> list[pb.EraseSubject]:
    """Subjects of an Erase that must touch nothing even if it were allowed: the fingerprints are wrong."""
    expected = [
        pb.CollectionCount(collection=i.collection, records=1, fingerprint=NO_FINGERPRINT) for i in instructions
    ]
    return [pb.EraseSubject(subject=person.subject("one"), expected=expected)]


async def erase_one(bench: Bench, grant: Grant, person: Person, expected: Sequence[pb.CollectionCount]) -> pb.Erased:
    """Erases one person. Failed if it doesn't say once what came of it."""
    subject = pb.EraseSubject(subject=person.subject("one"), expected=expected)
    messages = await bench.answer("Erase", pb.EraseRequest(grant=bench.sign(grant), subjects=[subject]))
    erased = [m.erased for m in messages if m.WhichOneof("result") == "erased"]
    require([e.subject_ref for e in erased] == ["one"], "Erase must send exactly one `erased` for the subject")
    result: pb.Erased = erased[0]
    return result


def verify(
    bench: Bench, person: Person, instructions: Sequence[CollectionInstruction], anchors: Sequence[pb.Anchors] = ()
) -> pb.VerifyRequest:
    """A Verify."""
    subject = pb.VerifySubject(subject=person.subject("one"), anchors=anchors)
    return pb.VerifyRequest(source=bench.source, subjects=[subject], instructions=instructions)


async def verify_one(
    bench: Bench, person: Person, instructions: Sequence[CollectionInstruction], anchors: Sequence[pb.Anchors] = ()
) -> pb.Verified:
    """What is left of one person. Failed if nothing is said of them."""
    messages = await bench.answer("Verify", verify(bench, person, instructions, anchors))
    verified = [m.verified for m in messages if m.WhichOneof("result") == "verified"]
    require([v.subject_ref for v in verified] == ["one"], "Verify must send exactly one `verified` for the subject")
    result: pb.Verified = verified[0]
    return result


def refused(answer: Answer, check: Check, what: str = "") -> None:
    """Failed unless the answer is the error that the rule says, and nothing else."""
    if answer.code != check.code:
        raise Failed(f"{what or 'the call'} was answered {answer.code}, not {check.code}")
    require(not answer.messages, f"{what or 'the call'} sent messages before the error")
