"""May this person's files be removed as instructed? Pure."""

from collections.abc import Mapping, Sequence

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction

from connectors.filesystem.found import Found
from connectors.objects.found import Digests

Instructions = Mapping[str, CollectionInstruction]

DELETE = CollectionInstruction.ACTION_DELETE
RETAIN = CollectionInstruction.ACTION_RETAIN


def counts(digests: Digests, found: Found) -> list[pb.CollectionCount]:
    """What Locate says of a person, and what Erase compares."""
    files = [
        pb.CollectionCount(
            collection=name, records=len(records), fingerprint=digests.collection(name, records.values())
        )
        for name, records in found.records.items()
    ]
    return [*files, *found.lake.counts(digests)]


def judge(
    instructions: Instructions,
    expected: Sequence[pb.CollectionCount],
    counted: Sequence[pb.CollectionCount],
    findings: Sequence[pb.Finding],
    max_records: int,
) -> pb.Erased | None:
    """None if they may; else the answer that says why nothing was done. CHANGED before BLOCKED before CAP_EXCEEDED."""
    now = {c.collection: (c.records, c.fingerprint) for c in counted if c.records}
    then = {c.collection: (c.records, c.fingerprint) for c in expected if c.records}
    if now != then:
        return pb.Erased(outcome=pb.Erased.OUTCOME_CHANGED)
    blocking = [f for f in findings if _action(instructions, f.collection) not in (None, RETAIN)]
    blocking += [_undecided(name) for name in now if _action(instructions, name) not in (None, DELETE, RETAIN)]
    if blocking:
        return pb.Erased(outcome=pb.Erased.OUTCOME_BLOCKED, findings=blocking)
    touched = {name: records for name, (records, _) in now.items() if _action(instructions, name) == DELETE}
    if sum(touched.values()) > max_records or any(n > instructions[name].cap for name, n in touched.items()):
        return pb.Erased(outcome=pb.Erased.OUTCOME_CAP_EXCEEDED)
    return None


def _action(instructions: Instructions, collection: str) -> "CollectionInstruction.Action.ValueType | None":
    """What to do with a collection; None: it isn't named, and so is left alone."""
    instruction = instructions.get(collection)
    return instruction.action if instruction else None


def _undecided(collection: str) -> pb.Finding:
    return pb.Finding(
        code="UNDECIDED_ACTION",
        collection=collection,
        detail="The collection has records and the grant says neither DELETE nor RETAIN. Decide it in the data map.",
        blocks_erasure=True,
    )
