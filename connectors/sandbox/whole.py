"""The whole sandbox destroyed, in one transaction."""

from collections.abc import Sequence

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from connectors.sandbox.store import Store, answered, answers, everything

_WHOLE = ""
"""Under whom the journal has a whole source."""


def destroy(store: Store, grant: Grant, blocking: Sequence[pb.Finding], *, count_only: bool) -> pb.Destroyed:
    """The contract's Destroy. `blocking`: what keeps it from being done, besides what the grant says."""
    caps = {i.collection: i.cap for i in grant.instructions if i.action == CollectionInstruction.ACTION_DELETE}
    with store.transaction() as database:
        past = pb.Destroyed() if count_only else pb.Destroyed.FromString(answers(database, grant).get(_WHOLE, b""))
        gone = {c.collection: c.destroyed for c in past.collections}
        result = pb.Destroyed(outcome=pb.Destroyed.OUTCOME_COUNTED, findings=blocking)
        for name, rows in everything(database).items():
            result.collections.add(collection=name, destroyed=gone.get(name, 0), left=len(rows))
        if count_only:
            return result
        detail = "The collection has records and the grant doesn't say that they go: they weren't returned."
        for name in (c.collection for c in result.collections if c.left and c.collection not in caps):
            result.findings.add(code="UNNAMED_COLLECTION", collection=name, detail=detail, blocks_erasure=True)
        if result.findings:
            result.outcome = pb.Destroyed.OUTCOME_BLOCKED
        elif any(c.left and c.destroyed + c.left > caps[c.collection] for c in result.collections):
            result.outcome = pb.Destroyed.OUTCOME_CAP_EXCEEDED
        else:
            database.execute("DELETE FROM record")
            result.outcome = pb.Destroyed.OUTCOME_DESTROYED
            for count, rows in zip(result.collections, everything(database).values(), strict=True):
                count.destroyed, count.left = count.destroyed + count.left, len(rows)
            answered(database, grant, _WHOLE, result.SerializeToString())
        return result
